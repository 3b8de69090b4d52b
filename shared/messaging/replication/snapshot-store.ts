import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { copyFile, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Runtime } from "../runtime.ts";

export interface StoredObject {
  readonly name: string;
  readonly bytes: number;
}

/**
 * Where the snapshots of replicated services are: a folder that all instances see, or a bucket. An object is there whole or
 * not at all, and is not changed once it is there.
 */
export interface SnapshotStore {
  /** What is there, whatever that is, in any order. */
  list(): Promise<readonly StoredObject[]>;
  /** Stores a copy of a file. One of that name is replaced. */
  put(name: string, file: string): Promise<void>;
  /** Writes a copy of what is there into a file. @throws when there is nothing of that name */
  get(name: string, file: string): Promise<void>;
  /** It may be missing. */
  remove(name: string): Promise<void>;
}

/** What the name of a snapshot says of it. */
export interface Snapshot {
  readonly name: string;
  readonly service: string;
  /** Of the last claim that counts in it. */
  readonly epoch: number;
  /** The last group in it. */
  readonly seq: number;
  /** The offset of the change log from which it is followed. */
  readonly next: number;
  /** Which change log that is. */
  readonly log: string;
  readonly bytes: number;
  /** SHA-256 of the file. */
  readonly digest: string;
}

/** As many as the largest safe integer has: names sort as the numbers do. */
const DIGITS = 16;
const NAME =
  /^(?<service>.+)_(?<epoch>\d{16})_(?<seq>\d{16})_(?<next>\d{16})_(?<log>[0-9a-f]{12})_(?<size>\d+)_(?<digest>[0-9a-f]{64})\.snapshot$/;

/** A snapshot with its name. */
export function named(snapshot: Omit<Snapshot, "name">): Snapshot {
  const { service, epoch, seq, next, log, bytes, digest } = snapshot;
  const [e, s, n] = [epoch, seq, next].map((number) => String(number).padStart(DIGITS, "0"));
  return { ...snapshot, name: `${service}_${e}_${s}_${n}_${log}_${bytes}_${digest}.snapshot` };
}

/** @returns undefined for anything else, and for one that is not whole */
export function snapshotOf({ name, bytes }: StoredObject): Snapshot | undefined {
  const { service, epoch, seq, next, log, size, digest } = NAME.exec(name)?.groups ?? {};
  if (service === undefined || log === undefined || digest === undefined) return undefined;
  if (Number(size) !== bytes) return undefined;
  const numbers = { epoch: Number(epoch), seq: Number(seq), next: Number(next) };
  return { name, service, log, bytes, digest, ...numbers };
}

const CHUNK_BYTES = 1024 * 1024;

/** Size and SHA-256 of a file. Other work goes on meanwhile. */
export async function measure(
  file: string,
  runtime: Pick<Runtime, "soon">,
): Promise<Pick<Snapshot, "bytes" | "digest">> {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const descriptor = openSync(file, "r");
  try {
    let bytes = 0;
    for (let read = readSync(descriptor, chunk); read > 0; read = readSync(descriptor, chunk)) {
      bytes += read;
      hash.update(chunk.subarray(0, read));
      await new Promise<void>((resolve) => runtime.soon(resolve));
    }
    return { bytes, digest: hash.digest("hex") };
  } finally {
    closeSync(descriptor);
  }
}

/** What is not whole yet, and the age after which nobody writes it any more. */
const PARTIAL = /^[0-9a-f-]{36}\.partial$/;
const OLD_MS = 24 * 60 * 60_000;

/** Snapshots in a folder, which is created when it is missing. */
export class FolderSnapshots implements SnapshotStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async list(): Promise<readonly StoredObject[]> {
    await this.#create();
    const names = await readdir(this.#folder);
    const objects = names.map(async (name) => {
      // Another process may have removed it.
      const stats = await stat(join(this.#folder, name)).catch(() => undefined);
      return stats?.isFile() === true ? [{ name, bytes: stats.size }] : [];
    });
    return (await Promise.all(objects)).flat();
  }

  async put(name: string, file: string): Promise<void> {
    await this.#create();
    await this.#removeOld();
    // Its own: of two processes that store one name, neither renames what the other still writes.
    const partial = join(this.#folder, `${crypto.randomUUID()}.partial`);
    try {
      await copyFile(file, partial);
      await synced(partial, "r+");
      await rename(partial, join(this.#folder, name));
      await synced(this.#folder, "r");
    } finally {
      await rm(partial, { force: true });
    }
  }

  async get(name: string, file: string): Promise<void> {
    await copyFile(join(this.#folder, name), file);
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#folder, name), { force: true });
  }

  /** What processes that ended during a copy have left. */
  async #removeOld(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (!PARTIAL.test(name)) continue;
      const partial = join(this.#folder, name);
      // Another process may have removed it.
      const stats = await stat(partial).catch(() => undefined);
      if (stats !== undefined && Date.now() - stats.mtimeMs > OLD_MS) await rm(partial, { force: true });
    }
  }

  async #create(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
  }
}

/** Waits until what was written is on disk. */
async function synced(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
