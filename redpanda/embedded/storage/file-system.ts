/** Where the broker keeps its files: on disk or in memory. `Disk` is the only caller. */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";

/** An open file, as in node:fs/promises. */
export interface OpenFile {
  stat(): Promise<{ readonly size: number }>;
  /** 0 bytes at the end of the file. */
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  truncate(size: number): Promise<void>;
  sync(): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** The operations as in node:fs/promises, whose error codes it has too. */
export interface FileSystem {
  open(path: string, flags: "r+" | "w+"): Promise<OpenFile>;
  /** @returns the first directory that was made */
  mkdir(path: string, options: { readonly recursive: true }): Promise<string | undefined>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { readonly recursive: true; readonly force: true }): Promise<void>;
  readdir(path: string): Promise<string[]>;
  readFile(path: string): Promise<Buffer>;
  syncDirectory(path: string): Promise<void>;
}

export const nodeFileSystem: FileSystem = {
  open,
  mkdir,
  rename,
  rm,
  readdir,
  readFile,
  async syncDirectory(path) {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
