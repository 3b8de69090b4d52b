/**
 * How the last stop of the broker is known: a file that exists from a clean stop to the next start. After a clean stop no
 * file has an unfinished write, so every invalid byte is damage and nothing is cut off.
 *
 * The file has what the next start needs to know of the logs, so that it does not have to read them. Without it, or when a
 * byte of it is damaged, they are read.
 */
import { join } from "node:path";
import { crc32c } from "../log/crc32c.ts";
import type { Disk } from "./disk.ts";

const FILE = "clean-stop";

/** Changes with the content, so that a start does not take the one of another version. */
const VERSION = 2;

export class CleanStop<Summary extends object> {
  readonly #path: string;

  constructor(
    private readonly disk: Disk,
    private readonly directory: string,
  ) {
    this.#path = join(directory, FILE);
  }

  /** Whether the last stop was clean. A new directory counts as an unclean stop: there is nothing to cut off. */
  async isRecorded(): Promise<boolean> {
    return (await this.disk.list(this.directory)).includes(FILE);
  }

  /** What the last stop recorded; undefined when it is missing, damaged, or of another version. */
  async summary(): Promise<Summary | undefined> {
    const text = String((await this.disk.readWhole(this.#path)) ?? "");
    const content = text.slice(text.indexOf(" ") + 1);
    // The checksum shows that `record` wrote it.
    return text === withChecksum(content) ? (JSON.parse(content) as Summary) : undefined;
  }

  /** Call when all files are closed and none has a torn tail. */
  record(summary: Summary): Promise<void> {
    return this.disk.writeWhole(this.#path, Buffer.from(withChecksum(JSON.stringify(summary))));
  }

  /** Durable when it resolves. Call before the first write. */
  async erase(): Promise<void> {
    await this.disk.remove(this.#path);
    await this.disk.syncDirectory(this.directory);
  }
}

function withChecksum(content: string): string {
  return `${VERSION}-${crc32c(Buffer.from(content)).toString(16)} ${content}`;
}
