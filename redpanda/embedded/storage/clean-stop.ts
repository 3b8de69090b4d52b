/**
 * How the last stop of the broker is known: an empty file that exists from a clean stop to the next start. After a clean
 * stop no file has an unfinished write, so every invalid byte is damage and nothing is cut off.
 */
import { join } from "node:path";
import type { Disk } from "./disk.ts";

const FILE = "clean-stop";

export class CleanStop {
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

  /** Call when all files are closed and none has a torn tail. */
  async record(): Promise<void> {
    const file = await this.disk.open(this.#path, "create");
    await file.close();
  }

  /** Durable when it resolves. Call before the first write. */
  async erase(): Promise<void> {
    await this.disk.remove(this.#path);
    await this.disk.syncDirectory(this.directory);
  }
}
