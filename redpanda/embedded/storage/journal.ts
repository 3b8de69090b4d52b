/**
 * A small durable map from string to JSON, for topics, committed offsets and other metadata. Changes are appended to one
 * file and synced in groups. When the file has grown to REWRITE_FACTOR times the live entries, it is rewritten.
 *
 * A line is eight hexadecimal digits of CRC-32C, a space, and `["key",value]`; the value `null` removes the key.
 */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ErrorCode, KafkaError } from "../errors.ts";
import { crc32c } from "../log/crc32c.ts";
import { messageOf } from "../logger.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { GroupCommit } from "./group-commit.ts";

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type Change = readonly [key: string, value: Json];

/** A smaller file is not rewritten. */
const REWRITE_MIN_BYTES = 1024 * 1024;
const REWRITE_FACTOR = 4;

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

  /** Opens or creates the journal. Reading ends at the first invalid line, and the rest is truncated. */
  static async open(disk: Disk, path: string): Promise<Journal> {
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    const file = await disk.open(path, content ? "existing" : "create");
    const journal = new Journal(disk, path, file);
    for (const { change, end } of readLines(content ?? Buffer.alloc(0))) {
      journal.#apply(change);
      journal.#size = end;
    }
    if (content && journal.#size < content.length) await file.truncate(journal.#size);
    journal.#sizeRewritten = journal.#size;
    return journal;
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

  async close(): Promise<void> {
    await this.#commits.idle();
    await this.file.close();
  }

  async #commit(changes: readonly Change[]): Promise<void> {
    const bytes = Buffer.from(changes.map(line).join(""));
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
    const bytes = Buffer.from([...this.#entries].map(line).join(""));
    const temporary = `${this.path}.new`;
    const file = await this.disk.open(temporary, "create");
    try {
      await file.write(bytes, 0);
      await file.sync();
      await this.disk.rename(temporary, this.path);
    } catch {
      // A disk without space for a second file may have space for a line, and the old file is complete.
      this.#sizeRewritten = this.#size;
      return file.close();
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

function line(change: Change): string {
  const text = JSON.stringify(change);
  return `${checksum(Buffer.from(text))} ${text}\n`;
}

function checksum(bytes: Uint8Array): string {
  return crc32c(bytes).toString(16).padStart(8, "0");
}

function* readLines(content: Buffer): Generator<{ change: Change; end: number }> {
  let at = 0;
  for (let end = content.indexOf(10, at); end >= 0; end = content.indexOf(10, at)) {
    const text = content.subarray(at + 9, end);
    if (content.toString("latin1", at, at + 8) !== checksum(text)) return;
    // The checksum shows that `line` wrote these bytes.
    yield { change: JSON.parse(text.toString()) as Change, end: end + 1 };
    at = end + 1;
  }
}
