/**
 * The few file operations that the broker's promises stand on, each asynchronous so that no flush holds up the event
 * loop, and each open to injected faults: a test sets `fault` and sees what a full or broken disk would do.
 */
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";

export type DiskOperation = "open" | "read" | "write" | "sync" | "truncate" | "rename";

export class Disk {
  /** Called before every operation; what it throws is what the operation fails with. */
  fault: ((operation: DiskOperation, path: string) => void) | undefined;

  /** Opens a file for reading and writing; `create` makes it, empty, and makes the directory entry durable. */
  async open(path: string, mode: "existing" | "create"): Promise<DiskFile> {
    this.fault?.("open", path);
    const handle = await open(path, mode === "create" ? "w+" : "r+");
    if (mode === "create") await this.syncDirectory(dirname(path));
    return new DiskFile(this, handle, path);
  }

  /** Makes a directory and the missing ones above it, durable: the entry of each is synced. */
  async makeDirectory(path: string): Promise<void> {
    const last = resolve(path);
    const first = await mkdir(last, { recursive: true });
    if (first === undefined) return;
    for (let made = last; made.length >= first.length; made = dirname(made)) {
      await this.syncDirectory(dirname(made));
    }
  }

  /** Puts `from` in the place of `to` in one step that a crash cannot split; durable after `syncDirectory`. */
  async rename(from: string, to: string): Promise<void> {
    this.fault?.("rename", to);
    await rename(from, to);
  }

  /** Removes a file or a whole directory; what is missing already is fine. */
  async remove(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true });
  }

  /** A new or renamed file survives a power cut only when its directory was synced as well. */
  async syncDirectory(path: string): Promise<void> {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

export class DiskFile {
  constructor(
    private readonly disk: Disk,
    private readonly handle: FileHandle,
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

  /** Writes all bytes at `position`. A short write is continued, so that its cause (a full disk) is thrown. */
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

  /** Resolves when the data (and the length) is on the disk: fdatasync, which skips the timestamps. */
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
    await this.handle.close();
  }
}
