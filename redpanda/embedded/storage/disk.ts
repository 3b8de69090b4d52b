/**
 * The file operations of the broker, on disk or in memory. All are asynchronous, so that no flush blocks the event loop.
 * A test sets `fault` to simulate a full or broken disk.
 */
import { dirname, resolve } from "node:path";
import { type FileSystem, nodeFileSystem, type OpenFile } from "./file-system.ts";

export type DiskOperation = "open" | "read" | "write" | "sync" | "truncate" | "rename";

const COPY_BYTES = 1024 * 1024;

export class Disk {
  /** Called before every operation; the operation fails with the error that it throws. */
  fault: ((operation: DiskOperation, path: string) => void) | undefined;
  /** The number of files that are open. */
  openFiles = 0;

  constructor(private readonly files: FileSystem = nodeFileSystem) {}

  /** Opens a file for reading and writing. `create`: an empty file with a durable directory entry. */
  async open(path: string, mode: "existing" | "create"): Promise<DiskFile> {
    this.fault?.("open", path);
    const handle = await this.files.open(path, mode === "create" ? "w+" : "r+");
    const file = new DiskFile(this, handle, path);
    this.openFiles += 1;
    try {
      if (mode === "create") await this.syncDirectory(dirname(path));
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Moves the bytes from `position` on to a new file beside this one, durably.
   * @returns the path of the new file
   */
  async cutOff(file: DiskFile, position: number): Promise<string> {
    const keptIn = `${file.path}.cut-${Date.now()}`;
    const end = await file.size();
    const copy = await this.open(keptIn, "create");
    try {
      for (let at = position; at < end; at += COPY_BYTES) {
        await copy.write(await file.read(at, Math.min(COPY_BYTES, end - at)), at - position);
      }
      await copy.sync();
    } finally {
      await copy.close();
    }
    await file.truncate(position);
    return keptIn;
  }

  /** Writes a new file, or replaces the content of one. Durable when it resolves; a crash before may leave a part of it. */
  async writeWhole(path: string, bytes: Uint8Array): Promise<void> {
    const file = await this.open(path, "create");
    try {
      await file.write(bytes, 0);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Creates a directory and its missing parents, durably. */
  async makeDirectory(path: string): Promise<void> {
    const last = resolve(path);
    const first = await this.files.mkdir(last, { recursive: true });
    if (first === undefined) return;
    for (let made = last; made.length >= first.length; made = dirname(made)) {
      await this.syncDirectory(dirname(made));
    }
  }

  /** Replaces `to` with `from` atomically; durable after `syncDirectory`. */
  async rename(from: string, to: string): Promise<void> {
    this.fault?.("rename", to);
    await this.files.rename(from, to);
  }

  /** Removes a file or a directory with its content, if it exists. */
  async remove(path: string): Promise<void> {
    await this.files.rm(path, { recursive: true, force: true });
  }

  /** A new or renamed file survives a power failure only after its directory was synced. */
  async syncDirectory(path: string): Promise<void> {
    this.fault?.("sync", path);
    await this.files.syncDirectory(path);
  }

  /** The names in a directory. */
  list(path: string): Promise<string[]> {
    return this.files.readdir(path);
  }

  /** The content of a file; undefined when there is none. */
  async readWhole(path: string): Promise<Buffer | undefined> {
    this.fault?.("read", path);
    return this.files.readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
  }
}

export class DiskFile {
  constructor(
    private readonly disk: Disk,
    private readonly handle: OpenFile,
    readonly path: string,
  ) {}

  async size(): Promise<number> {
    return (await this.handle.stat()).size;
  }

  /** Up to `length` bytes from `position`; fewer at the end of the file. */
  async read(position: number, length: number): Promise<Buffer> {
    this.disk.fault?.("read", this.path);
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.handle.read(buffer, filled, length - filled, position + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  /** Writes all bytes at `position`. Repeats short writes, so that their cause (a full disk) is thrown. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    this.disk.fault?.("write", this.path);
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.handle.write(
        bytes,
        written,
        bytes.length - written,
        position + written,
      );
      written += bytesWritten;
    }
  }

  /** Resolves when content and length are on disk (fdatasync). */
  async sync(): Promise<void> {
    this.disk.fault?.("sync", this.path);
    await this.handle.datasync();
  }

  async truncate(size: number): Promise<void> {
    this.disk.fault?.("truncate", this.path);
    await this.handle.truncate(size);
    await this.handle.sync();
  }

  async close(): Promise<void> {
    this.disk.openFiles -= 1;
    await this.handle.close();
  }
}
