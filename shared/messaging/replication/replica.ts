import { createHash } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { changesTopic } from "../contract/define.ts";
import { type Migration, mismatchOf, type OpenOptions, type ServiceDatabase } from "../database.ts";
import { errorText, StorageError, UsageError } from "../errors.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import { kitMigrations } from "../schema.ts";
import type { IncomingRecord, Subscription, Transport } from "../transport/transport.ts";
import { Leadership, RETRY_MS, STOP_MS } from "./leadership.ts";
import { OwnerOfReplicas } from "./owner.ts";
import { decompress, type Entry, entryOf, type Notice, recordOf } from "./records.ts";
import { type Position, ReplicaFile } from "./replica-file.ts";
import { type SnapshotOptions, Snapshots, type Taken } from "./snapshots.ts";

/*
 * A replicated service has one leader, which does its work, and followers, which have its database. Everything that the
 * leader commits is in the change log of the service, a topic with one partition:
 *
 * - In the transaction of each group the leader stores what the group changed (capture.ts). It sends that in order, and
 *   reads its own log. A group is confirmed once it has been read back with no other claim before it. Only then is
 *   anything of it told to anybody: its messages leave the outbox, and who waits for it is answered.
 * - A follower applies the groups in the order of the log. When the log has been silent for some time, or its leader has
 *   ended, it claims: a record with the next epoch. It leads once it has read its own claim, so with all groups before it.
 * - A claim counts if its epoch is higher than that of all claims before it: of two, the first. What has a lower epoch and
 *   stands behind it is ignored by everybody. So the log alone decides; a leader that wakes up after a long pause can write
 *   to it, and nothing of that is ever confirmed.
 *
 * A group that was confirmed is before the claim of each later leader, so that has it. One that was not confirmed, nobody
 * has seen: where the log goes on without it, the file that has it is set aside.
 *
 * The log need not be kept whole: an instance without a database, or one that lacks what was removed from the log, begins
 * with a snapshot (snapshots.ts).
 */

/** After such a silence in a log that can be read, a follower claims. */
const SILENT_MS = 5_000;
const CHECK_MS = 250;
/** After so long, a claim that was sent is not in the log. */
const LOST_MS = 10_000;
/** How often an instance that lacks something looks for a snapshot that has it. */
const LOOK_MS = 30_000;

/** `refused`: its database is another one than that of the service. `released`: it has led, and another instance may lead. */
export type Role = "following" | "leading" | "released" | "deposed" | "refused" | "stopped";

export interface ReplicaState {
  readonly role: Role;
  /** Of the last leader that is known; 0 where there was none. */
  readonly epoch: number;
  /** Where that answers requests, as it says; undefined where it does not, or has ended. */
  readonly leader: string | undefined;
  /** The last group in the database. */
  readonly seq: number;
  /** Whether it has read everything that the log had when it was last asked. */
  readonly isCurrent: boolean;
  /** Whether it lacks something of the log. Such an instance does not lead. */
  readonly lacks: boolean;
  /** Whether it waits for a snapshot to begin with. */
  readonly isRestoring: boolean;
  /** The newest snapshot that this instance knows of. */
  readonly snapshot: { readonly seq: number; readonly bytes: number } | undefined;
  /** Whether the log of the owners says that the service has another file, and no change log. Such an instance does not lead. */
  readonly isForeign: boolean;
  /** Why this version cannot work with the schema of the database, which a newer one has changed. Such an instance does not lead. */
  readonly outdated: string | undefined;
}

export interface ReplicaOptions extends OpenOptions {
  readonly service: string;
  readonly path: string;
  /** Of a service whose topics include `changesTopic(service)`. */
  readonly transport: Transport;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Where this instance answers requests: the others learn it from the change log. */
  readonly address?: string;
  /**
   * Whether the change log is the service's owner: a process without it is refused, and so is every instance but the one
   * with the service's file, until the change log has the content of that. Needs `ownerTopic(service)` among the topics.
   *
   * @defaultValue `false`
   */
  readonly ownership?: boolean;
  /**
   * Where snapshots are kept. The change log is trimmed behind them, and an instance without a database begins with one.
   *
   * @defaultValue none: the change log is kept whole
   */
  readonly snapshots?: SnapshotOptions;
  /**
   * The schema of this version of the service. While the database has steps of a newer one that are not additive, the
   * instance follows and does not lead.
   *
   * @defaultValue none: it leads with any schema
   */
  readonly migrations?: readonly Migration[];
  /** Called once, when another instance leads in place of this one: to follow it, the process has to start again. */
  deposed?(): void;
}

/** One instance of a replicated service. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #instance: string;
  readonly #failing: RepeatedFailure;
  readonly #leads = Promise.withResolvers<ServiceDatabase>();
  readonly #owner: OwnerOfReplicas | undefined;
  readonly #snapshots: Snapshots | undefined;
  #isRestoring = false;
  #state: Role = "following";
  #file: ReplicaFile;
  /** The parts of the group that is being read. */
  #parts: Uint8Array[] = [];
  /** The last group that is in the log, as far as it was told: one that has not been read may be missing. */
  #behind = 0;
  /** The log does not continue what this instance has. */
  #lacks = false;
  /** Before this offset, records that name another log are known to be late ones. */
  #strayUntil = 0;
  /** The epoch of the last leader that was logged. */
  #followed = 0;
  /** Whether the leader is known to have ended. */
  #hasEnded = false;
  /** When the leader last wrote, or the log could not be read: of the monotonic clock. */
  #heardMs: number;
  /** Own claim that has not been read yet. */
  #claim: { readonly epoch: number; readonly atMs: number } | undefined;
  #isAtEnd = false;
  /** After which group one is missing at the end of the log, and since when: of the monotonic clock. */
  #gap: { readonly after: number; readonly sinceMs: number; isOld: boolean } | undefined;
  #cancelLook: () => void = () => {};
  /** Whether no claim was read of a log that had nothing. */
  #isLogEmpty = false;
  #following: Subscription | undefined;
  /** Stands for the subscription whose calls count. */
  #reading: object | undefined;
  #leadership: Leadership | undefined;
  #released: Promise<void> | undefined;
  /** The last claim after this one has led and has ended. */
  #successor: Pick<Notice, "epoch" | "address"> | undefined;
  /** Resolves once there is one. */
  readonly #succeeded = Promise.withResolvers<void>();
  /** Whether this version can lead, as of a group. */
  #checked: { readonly seq: number; readonly outdated: string | undefined } | undefined;
  #cancelCheck: () => void = () => {};
  #stopped: Promise<void> | undefined;

  /** Begins to follow. @throws as `openDatabase` does; UsageError */
  constructor(options: ReplicaOptions) {
    if (options.transport.follow === undefined) throw new UsageError("the transport cannot follow a topic");
    this.#options = options;
    this.#instance = options.runtime.newId();
    this.#failing = new RepeatedFailure(options.runtime, options.log);
    this.#heardMs = options.runtime.monotonic();
    this.#snapshots =
      options.snapshots === undefined ? undefined : new Snapshots({ ...options, ...options.snapshots });
    this.#file = new ReplicaFile(options);
    this.#snapshots?.removeFiles();
    // Its process has this file no more, since this one has its lock.
    this.#hasEnded = this.#file.wasLeader();
    this.#owner = options.ownership === true ? this.#watchOwner() : undefined;
    if (this.#snapshots !== undefined && this.#file.isEmpty()) this.#restore();
    else this.#follow();
    this.#check();
  }

  /** Resolves once this instance leads, with its database. Rejects when it is stopped before that. */
  leads(): Promise<ServiceDatabase> {
    return this.#leads.promise;
  }

  state(): ReplicaState {
    const { epoch, seq, leader } = this.#file.position;
    const isOver = this.#hasEnded || (leader === this.#instance && this.#state !== "leading");
    const { address } = isOver ? (this.#successor ?? { address: "" }) : this.#file.position;
    return {
      ...{ role: this.#state, epoch, seq, leader: address === "" ? undefined : address },
      ...{ isCurrent: this.#isAtEnd, lacks: this.#isBehind(), isForeign: this.#owner?.allows() === false },
      ...{ isRestoring: this.#isRestoring, snapshot: this.#snapshots?.newest },
      outdated: this.#outdated(),
    };
  }

  /** Whether the log can be read. */
  healthy(): boolean {
    return this.#following?.healthy() ?? false;
  }

  /** Ends it: a leader says so, and a follower leads at once. Closes the database. May be called again. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    // A follower claims no more.
    if (this.#state !== "leading" && this.#state !== "released") this.#state = "stopped";
    this.#cancelCheck();
    this.#cancelLook();
    this.#leads.promise.catch(() => {});
    this.#leads.reject(new StorageError("the instance was stopped before it led"));
    await this.#release();
    if (this.#state === "released") await this.#untilSucceeded();
    this.#state = "stopped";
    await this.#leadership?.end(false);
    await this.#owner?.stop();
    await this.#following?.stop();
    await this.#snapshots?.stop();
    this.#file.close();
  }

  /** A leader says that it has ended, once what it has stored is confirmed. It reads on, to know who leads after it. */
  #release(): Promise<void> {
    this.#released ??= this.#endLeading();
    return this.#released;
  }

  async #endLeading(): Promise<void> {
    if (this.#state !== "leading") return;
    await this.#leadership?.drain();
    // Another one may lead by now.
    if (this.#state !== "leading") return;
    this.#state = "released";
    await this.#leadership?.end(true);
  }

  /** What others ask of this instance until then, it can have the next leader answer. */
  async #untilSucceeded(): Promise<void> {
    const cancel = this.#options.runtime.after(STOP_MS, this.#succeeded.resolve);
    await this.#succeeded.promise;
    cancel();
  }

  /** Closes the database at once, without a word, as the end of the process would. */
  close(): void {
    this.#state = "stopped";
    this.#cancelCheck();
    this.#cancelLook();
    void this.#owner?.stop();
    void this.#snapshots?.stop();
    this.#file.close();
  }

  #watchOwner(): OwnerOfReplicas {
    const { service, transport, runtime, log } = this.#options;
    return new OwnerOfReplicas({
      ...{ service, transport, runtime, log, instance: this.#instance, sql: () => this.#file.database.sql },
      changed: () => {
        if (!this.#isReading() || this.#owner?.allows() !== false) return;
        log.error({}, "the service has another file, and no change log: this instance does not lead");
        if (this.#state === "leading") this.#depose();
      },
    });
  }

  #follow(): void {
    const { service, transport } = this.#options;
    void this.#following?.stop();
    this.#isAtEnd = false;
    this.#isLogEmpty = false;
    this.#parts = [];
    this.#file.position.next = this.#file.resume;
    const reading = {};
    this.#reading = reading;
    // One that was stopped while it delivered a batch may deliver the rest of it, after the position has changed.
    const isCurrent = () => this.#reading === reading && this.#isReading();
    this.#following = transport.follow?.({
      topic: changesTopic(service).name,
      from: this.#file.position.next,
      deliver: (record) => {
        if (isCurrent()) this.#attempt(() => this.#read(record));
        else if (this.#reading === reading && this.#state === "released") this.#readSuccessor(record);
      },
      caughtUp: (end) => {
        if (!isCurrent()) return;
        this.#isAtEnd = true;
        if (end > this.#file.position.next) this.#lack();
        if (end === 0 && this.#state === "following") this.#beginLog();
        this.#failing.over("reading", {}, "the change log is read again");
        this.#failing.over("applying", {}, "the change log is applied again");
        this.#sayWhoLeads();
        // One that lacks something finds that again after a restart: what was read behind the gap is not stored.
        if (!this.#lacks) this.#attempt(() => this.#file.save());
        this.#claimIfFree();
      },
      failed: (error) => {
        if (isCurrent()) this.#readingFailed(error);
      },
    });
  }

  #readingFailed(error: Error): void {
    // Silence says nothing while nothing can be read.
    this.#heardMs = this.#options.runtime.monotonic();
    this.#isAtEnd = false;
    this.#failing.failed("reading", error, {}, `the change log cannot be read: ${errorText(error)}`);
  }

  /**
   * A record names another log. Either that has taken the place of this one; or the record came late, from a process that had sent it
   * to a former log of the topic, or that claimed an empty one after another. What the log begins with says which: nothing more
   * is read before that is known.
   */
  #doubt(offset: number): void {
    const { service, transport, log } = this.#options;
    const { log: own } = this.#file.position;
    const reading = {};
    this.#reading = reading;
    this.#isAtEnd = false;
    // What was read before counts: the name of the log, if it had none before, is to be known afterwards.
    this.#file.save();
    void this.#following?.stop();
    const isCurrent = () => this.#reading === reading && this.#isReading();
    this.#following = transport.follow?.({
      topic: changesTopic(service).name,
      deliver: (record) => {
        const name = entryOf(record)?.log ?? "";
        if (!isCurrent() || name === "") return;
        if (name === own) {
          this.#strayUntil = offset + 1;
          log.warn({ offset }, "a record that names another change log is passed over");
        } else this.#lack();
        if (this.#isReading()) this.#follow();
      },
      // It was created anew meanwhile.
      caughtUp: () => {
        if (isCurrent()) this.#follow();
      },
      failed: (error) => {
        if (isCurrent()) this.#readingFailed(error);
      },
    });
  }

  /** What cannot be stored is read again. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#failing.failed("applying", error, {}, "the change log cannot be applied, it is tried again");
      this.#reading = undefined;
      this.#isAtEnd = false;
      if (this.#state === "following") this.#file.undo();
      void this.#following?.stop();
      this.#options.runtime.after(RETRY_MS, () => {
        // Unless another file is followed with by now.
        if (this.#isReading() && this.#reading === undefined) this.#follow();
      });
    }
  }

  #isReading(): boolean {
    return this.#state === "following" || this.#state === "leading";
  }

  #read(record: IncomingRecord): void {
    const entry = entryOf(record);
    // Another file may take its place.
    const file = this.#file;
    const { position } = file;
    if (record.offset > position.next) this.#lack();
    // A log that took the place of this one is read from its beginning.
    if (record.offset < position.next) this.#strayUntil = 0;
    // Epochs of another log say nothing.
    const isOfAnother = entry !== undefined && this.#isOfAnother(entry);
    if (isOfAnother && record.offset >= this.#strayUntil && !this.#lacks) {
      this.#doubt(record.offset);
      return;
    }
    position.next = record.offset + 1;
    if (entry !== undefined && !isOfAnother) this.#readEntry(entry);
    if (this.#parts.length === 0) file.resume = position.next;
  }

  #readEntry(entry: Entry): void {
    const { epoch } = this.#file.position;
    if (entry.kind === "claim") this.#readClaim(entry);
    else if (entry.epoch === epoch) {
      this.#adoptName(entry);
      this.#readOfLeader(entry);
    }
    // Its claim was not read.
    else if (entry.epoch > epoch) this.#lack();
  }

  /** Whether a record is of another log. Versions without snapshots do not say. */
  #isOfAnother({ log }: Entry): boolean {
    const own = this.#file.position.log;
    return own !== "" && log !== "" && log !== own;
  }

  /** A version without names may have read the claim that names the log. */
  #adoptName({ log }: Entry): void {
    if (this.#file.position.log === "") this.#file.position.log = log;
  }

  /** Nothing is in the log: it is a new one, which the first claim names, also where this file is of an earlier one. */
  #beginLog(): void {
    this.#isLogEmpty = true;
    const file = this.#file;
    file.position.log = "";
    file.position.next = 0;
    file.resume = 0;
  }

  /** What this instance has not is in the log no more, or the log is another one: it does not lead, and needs a snapshot. */
  #lack(): void {
    if (this.#lacks) return;
    this.#lacks = true;
    this.#needSnapshot();
  }

  #needSnapshot(): void {
    this.#options.log.error(
      {},
      this.#snapshots === undefined
        ? "the change log does not continue what this database has: start the instance on a copy of the database of another follower"
        : "the change log does not continue what this database has: it is set aside once there is a snapshot to begin with",
    );
    if (this.#state === "leading") this.#depose();
    // Not inside of the delivery of a record.
    else this.#options.runtime.soon(() => this.#restore());
  }

  #readClaim({ epoch, log, instance, seq, address }: Notice): void {
    const { position } = this.#file;
    if (epoch <= position.epoch) return;
    const isOwn = instance === this.#instance;
    if (!isOwn && position.seq === 0 && this.#file.hasTables()) {
      this.#refuse();
      return;
    }
    // Nothing is before the claim in an empty log: its leader has all groups of its file, and no more.
    const known = this.#isLogEmpty ? Math.min(position.confirmed, seq) : position.confirmed;
    const isDiverged = !isOwn && known < position.seq;
    this.#isLogEmpty = false;
    if (position.log === "") position.log = log;
    position.epoch = epoch;
    position.leader = instance;
    position.address = address;
    this.#parts = [];
    this.#behind = Math.max(this.#behind, seq);
    this.#heardMs = this.#options.runtime.monotonic();
    this.#hasEnded = false;
    this.#claim = undefined;
    if (this.#state === "leading") this.#depose();
    else if (isDiverged) this.#setAside(position.seq - known);
    // Something that stands before the claim may be missing: then it is claimed again by one that has it.
    else if (isOwn && !this.#isBehind()) this.#lead();
  }

  /** Of an instance that has led and has ended: its file stays as it is. */
  #readSuccessor(record: IncomingRecord): void {
    const entry = entryOf(record);
    if (entry?.kind !== "claim" || this.#isOfAnother(entry)) return;
    if (entry.epoch <= (this.#successor ?? this.#file.position).epoch) return;
    this.#successor = entry;
    this.#succeeded.resolve();
  }

  #readOfLeader(entry: Entry): void {
    const { position } = this.#file;
    this.#heardMs = this.#options.runtime.monotonic();
    if (entry.kind === "alive") this.#behind = Math.max(this.#behind, entry.seq);
    if (entry.kind === "release") this.#hasEnded = true;
    if (entry.kind !== "group") return;
    const { seq, part, parts, body } = entry;
    if (seq <= position.confirmed) return;
    if (seq > position.confirmed + 1) {
      this.#behind = Math.max(this.#behind, seq);
      this.#leadership?.sendAgain();
      return;
    }
    if (part === 1) this.#parts = [];
    if (part !== this.#parts.length + 1) return;
    this.#parts.push(body);
    if (part < parts) return;
    const isOwn = seq <= position.seq;
    if (isOwn) position.confirmed = seq;
    else this.#file.apply(seq, decompress(Buffer.concat(this.#parts)));
    this.#parts = [];
    this.#leadership?.confirmed();
  }

  #sayWhoLeads(): void {
    const { epoch, leader } = this.#file.position;
    if (this.#state !== "following" || epoch === this.#followed || leader === this.#instance) return;
    this.#followed = epoch;
    this.#options.log.info({ epoch }, "another instance leads or led, this one follows");
  }

  #check(): void {
    this.#cancelCheck = this.#options.runtime.after(CHECK_MS, () => {
      this.#watchGap();
      this.#claimIfFree();
      this.#makeSnapshotIfDue();
      this.#check();
    });
  }

  /** A leader sends again what the broker has lost, if it has that. If nobody does for long, a snapshot has it. */
  #watchGap(): void {
    const { confirmed } = this.#file.position;
    const now = this.#options.runtime.monotonic();
    if (this.#state !== "following" || !this.#isAtEnd || this.#behind <= confirmed) this.#gap = undefined;
    else if (this.#gap?.after !== confirmed) this.#gap = { after: confirmed, sinceMs: now, isOld: false };
    else if (!this.#gap.isOld && now - this.#gap.sinceMs >= LOOK_MS) {
      this.#gap.isOld = true;
      this.#needSnapshot();
    }
  }

  #needsSnapshot(): boolean {
    const { confirmed } = this.#file.position;
    return this.#lacks || (this.#gap?.isOld === true && this.#gap.after === confirmed);
  }

  #isBehind(): boolean {
    return this.#lacks || this.#behind > this.#file.position.confirmed;
  }

  /** Why this version cannot lead; undefined when it can. */
  #outdated(): string | undefined {
    const { migrations, service } = this.#options;
    if (migrations === undefined || this.#state !== "following") return undefined;
    const { database, position } = this.#file;
    if (this.#checked?.seq !== position.seq) {
      const found =
        mismatchOf(database, "messaging", kitMigrations) ?? mismatchOf(database, service, migrations);
      this.#checked = { seq: position.seq, outdated: found };
    }
    return this.#checked?.outdated;
  }

  /** Claims the service if it has no leader. */
  #claimIfFree(): void {
    const { runtime, service, transport } = this.#options;
    const { epoch, confirmed, log } = this.#file.position;
    const now = runtime.monotonic();
    if (this.#claim !== undefined && now - this.#claim.atMs > LOST_MS) this.#claim = undefined;
    const canRead = this.#isAtEnd && this.healthy();
    if (!canRead) this.#heardMs = now;
    if (this.#state !== "following" || this.#claim !== undefined || !canRead || this.#isBehind()) return;
    if (this.#owner !== undefined && this.#owner.allows() !== true) return;
    const isFree = epoch === 0 || this.#hasEnded || now - this.#heardMs >= SILENT_MS;
    if (!isFree || this.#outdated() !== undefined) return;
    const claim = { epoch: epoch + 1, atMs: now };
    this.#claim = claim;
    transport
      .publish([
        recordOf(service, {
          ...{ kind: "claim", epoch: claim.epoch, log: log || nameOfLog(runtime.newId()) },
          ...{ instance: this.#instance, seq: confirmed },
          address: this.#options.address ?? "",
        }),
      ])
      .then(
        () => this.#failing.over("claiming", {}, "the claim was written"),
        (error: unknown) => {
          this.#failing.failed("claiming", error, {}, `the service cannot be claimed: ${errorText(error)}`);
          if (this.#claim === claim)
            this.#claim = { ...claim, atMs: runtime.monotonic() - LOST_MS + RETRY_MS };
        },
      );
  }

  #lead(): void {
    const { log } = this.#options;
    const { epoch, seq } = this.#file.position;
    const leadership = new Leadership(this.#options, this.#instance, this.#file, this.#owner, () =>
      this.#release(),
    );
    this.#leadership = leadership;
    this.#state = "leading";
    log.info({ epoch, seq }, "this instance leads");
    // What an earlier process on this file stored and nobody has seen goes first.
    leadership.whenConfirmed((error) => {
      if (error === undefined) this.#leads.resolve({ ...this.#file.database, replication: leadership });
    });
  }

  #depose(): void {
    const { log, deposed } = this.#options;
    const { epoch } = this.#file.position;
    this.#state = "deposed";
    log.warn({ epoch }, "another instance leads in place of this one");
    this.#leadership?.lose();
    deposed?.();
  }

  /** The file has content that does not come from the log. */
  #refuse(): void {
    const { log, path } = this.#options;
    this.#state = "refused";
    log.error(
      { path },
      "the database is not one of this change log: start the instance on an empty one, which is then built from the log",
    );
  }

  #makeSnapshotIfDue(): void {
    const { log, confirmed } = this.#file.position;
    if (!this.#mayMakeSnapshot()) return;
    this.#snapshots?.makeIfDue({
      ...{ log, confirmed, isLeader: this.#state === "leading" },
      copyTo: (path) => this.#copyTo(path),
    });
  }

  /** What a former leader has stored and nobody has seen may never be in the log: only one that leads can wait for it. */
  #mayMakeSnapshot(): boolean {
    if (this.#isBehind()) return false;
    if (this.#state === "leading") return true;
    const { seq, confirmed } = this.#file.position;
    return this.#state === "following" && this.#isAtEnd && confirmed === seq;
  }

  async #copyTo(path: string): Promise<Position> {
    if (!this.#mayMakeSnapshot()) throw new StorageError("the instance is not at the end of its log");
    const position = this.#file.copyTo(path);
    const leadership = this.#leadership;
    if (this.#state === "leading" && leadership !== undefined) {
      await new Promise<void>((resolve, reject) =>
        leadership.whenConfirmed((error) => (error === undefined ? resolve() : reject(error))),
      );
    }
    return position;
  }

  /** Begins with a snapshot if there is one. */
  #restore(): void {
    if (this.#snapshots === undefined || this.#isRestoring || this.#state !== "following") return;
    this.#isRestoring = true;
    const restored = async (snapshots: Snapshots) => {
      const taken = await snapshots.take();
      this.#isRestoring = false;
      if (taken !== undefined) this.#beginWith(taken);
      else if (this.#following === undefined && this.#state === "following") this.#follow();
      this.#cancelLook();
      if (this.#needsSnapshot()) {
        this.#cancelLook = this.#options.runtime.after(
          LOOK_MS,
          () => this.#needsSnapshot() && this.#restore(),
        );
      }
    };
    restored(this.#snapshots).catch((error: unknown) => {
      this.#options.log.error({ error: errorText(error) }, "the instance cannot begin with a snapshot");
      this.#state = "deposed";
      this.#options.deposed?.();
    });
  }

  #beginWith({ file, snapshot }: Taken): void {
    const { log, path } = this.#options;
    // It may lead by now, or have read what it lacked.
    if (this.#state !== "following" || !(this.#needsSnapshot() || this.#file.isEmpty())) {
      rmSync(file, { force: true });
      return;
    }
    this.#snapshots?.begunWith(snapshot);
    const { seq, bytes } = snapshot;
    const aside = this.#file.isEmpty() ? this.#file.remove() : this.#file.setAside();
    renameSync(file, path);
    log.info({ groups: seq, bytes, aside }, "this instance begins with a snapshot");
    this.#reopen();
  }

  /** What this file has and nobody has seen is not in the log. */
  #setAside(groups: number): void {
    const { log } = this.#options;
    const aside = this.#file.setAside();
    log.warn(
      { aside, groups },
      "another instance leads without groups that this database has: it is set aside, and built anew from the log",
    );
    this.#reopen();
  }

  /** Follows from where another file is. */
  #reopen(): void {
    this.#file = new ReplicaFile(this.#options);
    this.#behind = 0;
    this.#lacks = false;
    this.#gap = undefined;
    this.#follow();
  }
}

/** Of a log that begins with a claim. */
function nameOfLog(id: string): string {
  return createHash("sha256").update(id).digest("hex").slice(0, 12);
}
