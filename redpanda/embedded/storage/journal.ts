/**
 * A small durable map from string to JSON, for topics, committed offsets and other metadata. Changes are appended to one
 * file and synced in groups. When the file has grown to REWRITE_FACTOR times the live entries, it is rewritten.
 *
 * A line is eight hexadecimal digits of CRC-32C, a space, and `[["key",value],…]`: the changes of one group, which take
 * effect together. The value `null` removes the key. Earlier versions wrote a line `["key",value]` for each change.
 */
import { dirname } from "node:path";
import { ErrorCode, KafkaError } from "../errors.ts";
import { crc32c } from "../log/crc32c.ts";
import { type Logger, messageOf } from "../logger.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { GroupCommit } from "./group-commit.ts";

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type Change = readonly [key: string, value: Json];

/** A smaller file is not rewritten. */
const REWRITE_MIN_BYTES = 1024 * 1024;
const REWRITE_FACTOR = 4;
const LINE_FEED = 10;

export class Journal {
  readonly #entries = new Map<string, Json>();
  readonly #commits = new GroupCommit<readonly Change[]>((group) => this.#commit(group.flat()));
  #size = 0;
  /** The size after the last rewrite: about that of the live entries. */
  #sizeRewritten = 0;
  #tailIsTorn = false;

  private constructor(
    private readonly disk: Disk,
    private readonly path: string,
    private file: DiskFile,
  ) {}

  /**
   * Opens or creates the journal. A crash can tear the last line: after an unclean stop it is moved to a file beside the
   * journal.
   * @param cleanStop whether the broker that wrote the file stopped cleanly, so that no line can be torn.
   * @throws Error naming the file and the place of any other damage; the file is left as it is.
   */
  static async open(
    disk: Disk,
    path: string,
    { cleanStop, logger }: { readonly cleanStop: boolean; readonly logger: Logger },
  ): Promise<Journal> {
    const content = await disk.readWhole(path);
    const { lines, end } = readLines(content ?? Buffer.alloc(0));
    const torn = content?.subarray(end) ?? Buffer.alloc(0);
    const nextLine = torn.indexOf(LINE_FEED) + 1;
    if (torn.length > 0 && (cleanStop || (nextLine > 0 && nextLine < torn.length))) {
      throw new Error(`${path} is damaged: line ${lines.length + 1}, at byte ${end}, has a wrong checksum`);
    }
    const file = await disk.open(path, content ? "existing" : "create");
    const journal = new Journal(disk, path, file);
    for (const change of lines.flat()) journal.#apply(change);
    journal.#size = end;
    journal.#sizeRewritten = end;
    if (torn.length > 0) {
      try {
        const keptIn = await disk.cutOff(file, end);
        logger.warn("the torn last line was cut off", { path, position: end, bytes: torn.length, keptIn });
      } catch (error) {
        await file.close();
        throw error;
      }
    }
    return journal;
  }

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** Whether bytes of a failed write are still in the file. */
  get tailIsTorn(): boolean {
    return this.#tailIsTorn;
  }

  get(key: string): Json | undefined {
    return this.#entries.get(key);
  }

  /** The entries with keys that start with `prefix`. */
  *entries(prefix: string): Generator<[key: string, value: Json]> {
    for (const entry of this.#entries) if (entry[0].startsWith(prefix)) yield entry;
  }

  /**
   * Applies the changes atomically. Resolves when they are durable; only then are they readable.
   * @throws KafkaError KAFKA_STORAGE_ERROR: no change was applied.
   */
  write(changes: readonly Change[]): Promise<void> {
    return this.#commits.add(changes);
  }

  /** Resolves when the changes of all earlier calls of `write` are readable or refused. @throws KafkaError as `write` */
  settled(): Promise<void> {
    return this.#commits.add([]);
  }

  async close(): Promise<void> {
    await this.#commits.idle();
    if (this.#tailIsTorn) await this.#repair().catch(() => {});
    await this.file.close();
  }

  async #commit(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    const bytes = Buffer.from(line(changes));
    try {
      if (this.#tailIsTorn) await this.#repair();
      if (this.#size > Math.max(REWRITE_MIN_BYTES, this.#sizeRewritten * REWRITE_FACTOR)) {
        await this.#rewrite();
      }
      await this.file.write(bytes, this.#size);
      await this.file.sync();
    } catch (error) {
      this.#tailIsTorn = true;
      await this.#repair().catch(() => {});
      throw new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, messageOf(error));
    }
    this.#size += bytes.length;
    for (const change of changes) this.#apply(change);
  }

  /** Replaces the file with one that has only the live entries. */
  async #rewrite(): Promise<void> {
    const bytes = Buffer.from([...this.#entries].map((entry) => line([entry])).join(""));
    const temporary = `${this.path}.new`;
    let file: DiskFile | undefined;
    try {
      file = await this.disk.open(temporary, "create");
      await file.write(bytes, 0);
      await file.sync();
      await this.disk.rename(temporary, this.path);
    } catch {
      // A disk without space for a second file may have space for a line, and the old file is complete.
      this.#sizeRewritten = this.#size;
      return file?.close();
    }
    const old = this.file;
    this.file = file;
    this.#size = bytes.length;
    this.#sizeRewritten = bytes.length;
    await old.close();
    await this.disk.syncDirectory(dirname(this.path));
  }

  async #repair(): Promise<void> {
    await this.file.truncate(this.#size);
    this.#tailIsTorn = false;
  }

  #apply([key, value]: Change): void {
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, value);
  }
}

function line(changes: readonly Change[]): string {
  const text = JSON.stringify(changes);
  return `${checksum(Buffer.from(text))} ${text}\n`;
}

function checksum(bytes: Uint8Array): string {
  return crc32c(bytes).toString(16).padStart(8, "0");
}

/** The changes of each line up to the first invalid line, and the position of that line. */
function readLines(content: Buffer): { lines: (readonly Change[])[]; end: number } {
  const lines: (readonly Change[])[] = [];
  let at = 0;
  for (let end = content.indexOf(LINE_FEED, at); end >= 0; end = content.indexOf(LINE_FEED, at)) {
    const text = content.subarray(at + 9, end);
    if (content.toString("latin1", at, at + 9) !== `${checksum(text)} `) break;
    // The checksum shows that `line` wrote these bytes.
    const changes = JSON.parse(text.toString()) as readonly Change[] | Change;
    lines.push(isOne(changes) ? [changes] : changes);
    at = end + 1;
  }
  return { lines, end: at };
}

/** The line of an earlier version. */
function isOne(changes: readonly Change[] | Change): changes is Change {
  return typeof changes[0] === "string";
}
