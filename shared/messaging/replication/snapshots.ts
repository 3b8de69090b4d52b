import { Database } from "bun:sqlite";
import { readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { changesTopic } from "../contract/define.ts";
import { errorText, StorageError, UsageError } from "../errors.ts";
import { createPrivateFile } from "../private-files.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { Subscription, Transport } from "../transport/transport.ts";
import { entryOf } from "./records.ts";
import { measure, named, type Snapshot, type SnapshotStore, snapshotOf } from "./snapshot-store.ts";

/*
 * A snapshot is a database as it was after a group of the change log, all of whose groups are confirmed, with the offset
 * from which it is followed. Whoever has made one trims the log to where the last but one begins, so that two of them lead
 * to its end.
 */

/** Instances that find at the same time that a snapshot is due make it after a time of up to so long, if it still is. */
const SPREAD_MS = 5_000;
const RETRY_MS = 10_000;
/** How long the store may take to answer: what takes longer has failed, so that nothing waits for it for ever. */
const ANSWER_MS = 30_000;
/** How long a stop waits for a snapshot that is made. */
const STOP_MS = 2_000;
/** And to take or give a snapshot. */
const COPY_MS = 10 * 60_000;
/** To give one to an instance that can as well begin with the log. */
const SHORT_COPY_MS = 60_000;
/** How many are kept. The log begins where the oldest of them ends. */
const KEPT = 2;
const DEFAULT_EVERY = 100_000;

export interface SnapshotOptions {
  readonly store: SnapshotStore;
  /**
   * After how many groups of the change log a follower makes one; the leader makes one after twice as many.
   *
   * @defaultValue 100,000
   */
  readonly every?: number;
}

interface Options extends SnapshotOptions {
  readonly service: string;
  /** Of the database: beside it a snapshot is made, and checked. */
  readonly path: string;
  readonly transport: Transport;
  readonly runtime: Runtime;
  readonly log: Logger;
}

/** What of the instance goes into a snapshot. */
export interface Source {
  readonly log: string;
  /** The last group that is confirmed. */
  readonly confirmed: number;
  readonly isLeader: boolean;
  /**
   * Writes a snapshot into a file.
   *
   * @returns its place in the log, once all of its groups are confirmed
   * @throws when it is not known whether they are
   */
  copyTo(file: string): Promise<Pick<Snapshot, "epoch" | "seq" | "next">>;
}

/** A snapshot that was taken from the store and is in order. */
export interface Taken {
  readonly file: string;
  readonly snapshot: Snapshot;
}

class TooLate extends StorageError {}

/** Makes snapshots of an instance, trims the log behind them, and finds the one that a new instance begins with. */
export class Snapshots {
  readonly #options: Options;
  readonly #failing: RepeatedFailure;
  readonly #every: number;
  readonly #begunWith = new Set<string>();
  #newest: Snapshot | undefined;
  /** Resolves when the one that is made now is done, or has failed. */
  #making: Promise<void> | undefined;
  #isStopped = false;
  /** Rejects what waits for the store. */
  readonly #aborted = Promise.withResolvers<never>();
  /** When the next one is made, if it is still due: of the monotonic clock. */
  #dueMs: number | undefined;
  #reading: Subscription | undefined;

  /** @throws UsageError */
  constructor(options: Options) {
    const { every = DEFAULT_EVERY } = options;
    if (!Number.isSafeInteger(every) || every < 1)
      throw new UsageError("snapshots are made every 1 or more groups");
    this.#options = options;
    this.#every = every;
    this.#failing = new RepeatedFailure(options.runtime, options.log);
    this.#aborted.promise.catch(() => {});
  }

  /** The newest one in the store of the log that is followed, as far as this instance knows. */
  get newest(): Snapshot | undefined {
    return this.#newest;
  }

  /** Makes one, if it is time for it. To be called often. */
  makeIfDue(source: Source): void {
    const { runtime } = this.#options;
    if (this.#making !== undefined || this.#isStopped || !this.#isDue(source)) return;
    const now = runtime.monotonic();
    this.#dueMs ??= now + runtime.random() * SPREAD_MS;
    if (now < this.#dueMs) return;
    this.#making = this.#make(source)
      .then(
        () => {
          this.#dueMs = undefined;
          this.#failing.over("making", {}, "snapshots are made again");
        },
        (error: unknown) => {
          this.#dueMs = runtime.monotonic() + RETRY_MS;
          if (this.#isStopped) return;
          this.#failing.failed("making", error, {}, `no snapshot is made: ${errorText(error)}`);
        },
      )
      .finally(() => {
        this.#making = undefined;
      });
  }

  /**
   * Takes the newest snapshot that leads to the end of the log, into a file beside the database.
   *
   * @returns undefined when there is none, or it cannot be had now
   */
  async take(): Promise<Taken | undefined> {
    try {
      const beginning = await this.#beginning();
      if (beginning === undefined) return undefined;
      const all = await this.#list(beginning.log);
      this.#failing.over("taking", {}, "the snapshots can be read again");
      const usable = all.filter(({ name, next }) => next >= beginning.offset && !this.#begunWith.has(name));
      for (const snapshot of usable.reverse()) {
        const file = await this.#get(snapshot, beginning.offset === 0 ? SHORT_COPY_MS : COPY_MS);
        if (file !== undefined) return { file, snapshot };
      }
    } catch (error) {
      if (this.#isStopped) return undefined;
      this.#failing.failed("taking", error, {}, `the snapshots cannot be read: ${errorText(error)}`);
    }
    return undefined;
  }

  /** It has taken the place of the database, and is not taken again: what was missing then would be missing again. */
  begunWith({ name }: Snapshot): void {
    this.#begunWith.add(name);
  }

  /** Waits some time for a snapshot that is made now. After that nothing is made, and nothing of it is left here. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#reading?.stop();
    const late = Promise.withResolvers<void>();
    const cancel = this.#options.runtime.after(STOP_MS, late.resolve);
    await Promise.race([this.#making, late.promise]);
    cancel();
    this.#aborted.reject(new StorageError("the instance was stopped"));
    await this.#aborted.promise.catch(() => {});
  }

  #isDue({ log, confirmed, isLeader }: Source): boolean {
    // Of a log without a name nobody could tell whether a snapshot is of it.
    if (log === "") return false;
    const seq = this.#newest?.log === log ? this.#newest.seq : 0;
    return confirmed - seq >= this.#every * (isLeader ? 2 : 1);
  }

  async #make(source: Source): Promise<void> {
    const { service, store, runtime, log } = this.#options;
    this.#newest = (await this.#list(source.log)).at(-1);
    // Another instance may have made one.
    if (!this.#isDue(source)) return;
    const file = this.#fileFor("made");
    try {
      createPrivateFile(file);
      const place = await source.copyTo(file);
      const snapshot = named({ service, log: source.log, ...place, ...(await measure(file, runtime)) });
      await this.#inTime(store.put(snapshot.name, file), COPY_MS);
      const all = await this.#list(source.log);
      if (!all.some(({ name }) => name === snapshot.name))
        throw new StorageError("the store does not have it");
      this.#newest = all.at(-1);
      log.info({ groups: snapshot.seq, bytes: snapshot.bytes }, "a snapshot was made");
      await this.#trim(all);
      for (const { name } of all.slice(0, -KEPT)) await this.#inTime(store.remove(name), ANSWER_MS);
    } finally {
      rmSync(file, { force: true });
    }
  }

  /** The log begins where the oldest snapshot that is kept ends. */
  async #trim(all: readonly Snapshot[]): Promise<void> {
    const { service, transport } = this.#options;
    const kept = all.slice(-KEPT);
    if (kept.length < KEPT || transport.trim === undefined) return;
    const { name: topic } = changesTopic(service);
    try {
      await transport.trim(topic, Math.min(...kept.map(({ next }) => next)));
      this.#failing.over("trimming", { topic }, "the change log is trimmed again");
    } catch (error) {
      this.#failing.failed(
        "trimming",
        error,
        { topic },
        `the change log is not trimmed, and grows: ${errorText(error)}`,
      );
    }
  }

  /** Those of a log, the newest last. */
  async #list(log: string): Promise<Snapshot[]> {
    const { service, store } = this.#options;
    const objects = await this.#inTime(store.list(), ANSWER_MS);
    return objects
      .map(snapshotOf)
      .filter((snapshot) => snapshot !== undefined)
      .filter((snapshot) => snapshot.service === service && snapshot.log === log)
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** @returns undefined when it cannot be had, or is damaged */
  async #get(snapshot: Snapshot, withinMs: number): Promise<string | undefined> {
    const { store, runtime, log } = this.#options;
    const { name } = snapshot;
    const file = this.#fileFor("taken");
    try {
      createPrivateFile(file);
      const copied = store.get(name, file);
      await this.#inTime(copied, withinMs).catch((error: unknown) => {
        // It may still be written.
        const remove = () => rmSync(file, { force: true });
        copied.then(remove, remove);
        throw error;
      });
    } catch (error) {
      rmSync(file, { force: true });
      if (error instanceof TooLate) throw error;
      log.warn({ snapshot: name, error: errorText(error) }, "a snapshot cannot be had");
      return undefined;
    }
    const { bytes, digest } = await measure(file, runtime);
    const isWhole = bytes === snapshot.bytes && digest === snapshot.digest;
    if (isWhole && isInOrder(file, snapshot)) return file;
    log.error({ snapshot: name }, "a snapshot is damaged, or is not what its name says: it is passed over");
    rmSync(file, { force: true });
    return undefined;
  }

  /** A new name each time: what took too long may still be read or written. */
  #fileFor(what: "made" | "taken"): string {
    const { path, runtime } = this.#options;
    return `${path}.snapshot-${what}-${runtime.newId()}`;
  }

  /** Removes what earlier processes have left. Only the one with the lock of the database may do so. */
  removeFiles(): void {
    const { path } = this.#options;
    const directory = dirname(path);
    const prefix = `${basename(path)}.snapshot-`;
    for (const name of readdirSync(directory)) {
      if (name.startsWith(prefix)) rmSync(join(directory, name), { force: true });
    }
  }

  /** @throws TooLate */
  #inTime<Result>(answer: Promise<Result>, withinMs: number): Promise<Result> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.runtime.after(withinMs, () =>
      late.reject(new TooLate(`the store of snapshots has not answered for ${withinMs / 1_000} s`)),
    );
    return Promise.race([answer, late.promise, this.#aborted.promise]).finally(cancel);
  }

  /** Where the log begins, and which one it is; undefined where nothing in it says that. Waits for the broker. */
  #beginning(): Promise<{ readonly offset: number; readonly log: string } | undefined> {
    const { service, transport } = this.#options;
    const found = Promise.withResolvers<{ readonly offset: number; readonly log: string } | undefined>();
    let offset: number | undefined;
    this.#reading = transport.follow?.({
      topic: changesTopic(service).name,
      deliver: (record) => {
        offset ??= record.offset;
        // Versions without snapshots do not say it.
        const log = entryOf(record)?.log ?? "";
        if (log !== "") found.resolve({ offset, log });
      },
      caughtUp: () => found.resolve(undefined),
    });
    return found.promise.finally(() => this.#reading?.stop());
  }
}

/** Makes a copy of a database a snapshot: it has none of what an instance has for itself. */
export function turnIntoSnapshot(
  file: string,
  { epoch, seq, next }: Pick<Snapshot, "epoch" | "seq" | "next">,
): void {
  using database = new Database(file, { strict: true });
  database.run("PRAGMA journal_mode = DELETE");
  database
    .transaction(() => {
      database.run("DELETE FROM change_log");
      database.run("UPDATE replication SET epoch = ?, seq = ?, confirmed = ?, next = ?, led = ''", [
        ...[epoch, seq, seq],
        next,
      ]);
      // Which file owns the service.
      const owners = "SELECT 1 FROM sqlite_schema WHERE name = 'ownership'";
      if (database.query(owners).get() !== null) database.run("DELETE FROM ownership");
    })
    .immediate();
}

/** Whether a file is a database without damage, and what its name says. */
function isInOrder(file: string, { epoch, seq, next, log }: Snapshot): boolean {
  try {
    using database = new Database(file, { readonly: true });
    const check = database.query<{ quick_check: string }, []>("PRAGMA quick_check").all();
    const place = database.query("SELECT epoch, seq, confirmed, next, log FROM replication").get();
    return check[0]?.quick_check === "ok" && Bun.deepEquals(place, { epoch, seq, confirmed: seq, next, log });
  } catch {
    return false;
  }
}
