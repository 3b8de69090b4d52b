import type { SnapshotStore, StoredObject } from "./snapshot-store.ts";

/** What is sent at once: an object may be larger than the memory. */
const PART_BYTES = 8 * 1024 * 1024;

export interface S3SnapshotsOptions extends Pick<Bun.S3Options, "accessKeyId" | "region" | "endpoint"> {
  readonly bucket: string;
  /** The secret, or what returns it: called for each request, so that it can be renewed. */
  readonly secretAccessKey?: string | (() => string);
  /** The same of credentials for some time. */
  readonly sessionToken?: string | (() => string);
  /** Before each name. @defaultValue none */
  readonly prefix?: string;
}

/** Snapshots in a bucket of S3, or of a store with its API. */
export class S3Snapshots implements SnapshotStore {
  readonly #options: Omit<S3SnapshotsOptions, "prefix">;
  readonly #prefix: string;

  /** @param options what is not given is that of the environment, as Bun reads it */
  constructor({ prefix = "", ...options }: S3SnapshotsOptions) {
    this.#options = options;
    this.#prefix = prefix;
  }

  /** @throws what a function that returns a secret throws */
  #client(): Bun.S3Client {
    const { secretAccessKey, sessionToken, ...options } = this.#options;
    return new Bun.S3Client({
      ...options,
      ...(secretAccessKey === undefined ? {} : { secretAccessKey: secretIn(secretAccessKey) }),
      ...(sessionToken === undefined ? {} : { sessionToken: secretIn(sessionToken) }),
      partSize: PART_BYTES,
    });
  }

  async list(): Promise<readonly StoredObject[]> {
    const objects: StoredObject[] = [];
    let continuationToken: string | undefined;
    do {
      const page = await this.#client().list({
        ...(this.#prefix === "" ? {} : { prefix: this.#prefix }),
        ...(continuationToken === undefined ? {} : { continuationToken }),
      });
      for (const { key, size } of page.contents ?? []) {
        objects.push({ name: key.slice(this.#prefix.length), bytes: size ?? 0 });
      }
      continuationToken = page.isTruncated === true ? page.nextContinuationToken : undefined;
    } while (continuationToken !== undefined);
    return objects;
  }

  async put(name: string, file: string): Promise<void> {
    await this.#client().write(this.#prefix + name, Bun.file(file));
  }

  async get(name: string, file: string): Promise<void> {
    await Bun.write(file, this.#client().file(this.#prefix + name));
  }

  async remove(name: string): Promise<void> {
    await this.#client().delete(this.#prefix + name);
  }
}

function secretIn(secret: string | (() => string)): string {
  return typeof secret === "string" ? secret : secret();
}
