/**
 * A file system in memory, for a broker that leaves nothing behind. Written here, because memfs copies a whole file at each
 * append. A file takes up to twice its size, because its buffer doubles.
 */
import type { FileSystem, OpenFile } from "./file-system.ts";

const SMALLEST_BUFFER_BYTES = 4096;

/** @param maxBytes the buffers of all files together; a write above fails as on a full disk. */
export function memoryFileSystem(maxBytes: number): FileSystem {
  return new MemoryFileSystem(new Space(maxBytes));
}

class Directory {
  readonly entries = new Map<string, Entry>();
}

type Entry = Directory | MemoryFile;

class MemoryFileSystem implements FileSystem {
  readonly #root = new Directory();

  constructor(private readonly space: Space) {}

  async open(path: string, flags: "r+" | "w+"): Promise<OpenFile> {
    const found = this.#find(path);
    if (found instanceof Directory) throw failure("EISDIR", path);
    if (flags === "r+") return found ?? missing(path);
    const file = new MemoryFile(this.space);
    this.#place(path, file);
    return file;
  }

  async mkdir(path: string): Promise<string | undefined> {
    let at = this.#root;
    let first: string | undefined;
    const names = namesIn(path);
    for (const [index, name] of names.entries()) {
      const next = at.entries.get(name) ?? new Directory();
      if (!(next instanceof Directory)) throw failure("ENOTDIR", path);
      if (!at.entries.has(name)) first ??= `/${names.slice(0, index + 1).join("/")}`;
      at.entries.set(name, next);
      at = next;
    }
    return first;
  }

  async rename(from: string, to: string): Promise<void> {
    const moved = this.#find(from) ?? missing(from);
    this.#parent(from)?.entries.delete(nameOf(from));
    this.#place(to, moved);
  }

  async rm(path: string): Promise<void> {
    const found = this.#find(path);
    if (found === undefined) return;
    this.#parent(path)?.entries.delete(nameOf(path));
    release(found);
  }

  async readdir(path: string): Promise<string[]> {
    const found = this.#find(path);
    if (!(found instanceof Directory)) throw failure(found ? "ENOTDIR" : "ENOENT", path);
    return [...found.entries.keys()];
  }

  async readFile(path: string): Promise<Buffer> {
    const found = this.#find(path) ?? missing(path);
    if (found instanceof Directory) throw failure("EISDIR", path);
    return Buffer.from(found.bytes);
  }

  async syncDirectory(path: string): Promise<void> {
    if (this.#find(path) === undefined) missing(path);
  }

  /** Replaces what is there. */
  #place(path: string, entry: Entry): void {
    const parent = this.#parent(path) ?? missing(path);
    const replaced = parent.entries.get(nameOf(path));
    if (replaced) release(replaced);
    parent.entries.set(nameOf(path), entry);
  }

  #parent(path: string): Directory | undefined {
    const parent = this.#find(`/${namesIn(path).slice(0, -1).join("/")}`);
    return parent instanceof Directory ? parent : undefined;
  }

  #find(path: string): Entry | undefined {
    let found: Entry | undefined = this.#root;
    for (const name of namesIn(path)) {
      found = found instanceof Directory ? found.entries.get(name) : undefined;
    }
    return found;
  }
}

/** The bytes that the buffers of all files may take. */
class Space {
  #used = 0;

  constructor(private readonly maxBytes: number) {}

  /** @param bytes negative: bytes that are free again. */
  take(bytes: number): void {
    if (this.#used + bytes > this.maxBytes) {
      throw failure("ENOSPC", `the files in memory may take ${this.maxBytes} bytes`);
    }
    this.#used += bytes;
  }
}

/** Like a file of POSIX, it can be used while it is open, also when it is removed or renamed. */
class MemoryFile implements OpenFile {
  #buffer = Buffer.alloc(0);
  #size = 0;

  constructor(private readonly space: Space) {}

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#size);
  }

  /** Gives its space back; the bytes stay for those that have the file open. */
  release(): void {
    this.space.take(-this.#buffer.length);
  }

  async stat() {
    return { size: this.#size };
  }

  async read(buffer: Buffer, offset: number, length: number, position: number) {
    const end = Math.min(this.#size, position + length);
    return { bytesRead: position < end ? this.#buffer.copy(buffer, offset, position, end) : 0 };
  }

  async write(bytes: Uint8Array, offset: number, length: number, position: number) {
    this.#reserve(position + length);
    this.#buffer.set(bytes.subarray(offset, offset + length), position);
    this.#size = Math.max(this.#size, position + length);
    return { bytesWritten: length };
  }

  async truncate(size: number): Promise<void> {
    this.#reserve(size);
    this.#buffer.fill(0, Math.min(size, this.#size), Math.max(size, this.#size));
    this.#size = size;
  }

  async sync(): Promise<void> {}

  async datasync(): Promise<void> {}

  async close(): Promise<void> {}

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const capacity = Math.max(size, this.#buffer.length * 2, SMALLEST_BUFFER_BYTES);
    this.space.take(capacity - this.#buffer.length);
    const larger = Buffer.alloc(capacity);
    this.#buffer.copy(larger, 0, 0, this.#size);
    this.#buffer = larger;
  }
}

function release(entry: Entry): void {
  if (entry instanceof MemoryFile) entry.release();
  else for (const child of entry.entries.values()) release(child);
}

function namesIn(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}

function nameOf(path: string): string {
  return namesIn(path).at(-1) ?? "";
}

function missing(path: string): never {
  throw failure("ENOENT", path);
}

function failure(code: string, detail: string): Error {
  return Object.assign(new Error(`${code}: ${detail}`), { code });
}
