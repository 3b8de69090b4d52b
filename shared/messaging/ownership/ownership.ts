import type { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { hostname } from "node:os";
import { ownerTopic } from "../contract/define.ts";
import type { ServiceDatabase } from "../database.ts";
import { errorText, isLogged, StorageError, UsageError } from "../errors.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import {
  type IncomingRecord,
  PublishError,
  type Subscription,
  type Transport,
} from "../transport/transport.ts";
import type { UnitOfWork } from "../unit-of-work.ts";
import {
  CHANGE_LOG,
  type Claim,
  contentOf,
  instanceIn,
  ownerAfter,
  type Question,
  recordOf,
} from "./claim.ts";

/*
 * One process on one file is a service. A second one, on an empty file, on a copy or on a backup, would take a part of its
 * messages and decide them differently. A lock keeps two processes off one file; what keeps two files apart is a compacted
 * topic of the service, with the claim of its owner:
 *
 * - A process reads the topic to its end before it sends, consumes or fires anything. It claims the service, with the next
 *   epoch, if there is no owner, or if the owner was on the same file and has ended. It owns the service once it has read
 *   its claim, and no other with that epoch before it: the log decides, not a clock.
 * - The epoch of a claim is in the file before it is in the log. So a file whose epoch is not that of the log is not the
 *   file that was used last; nor is one that has handled less than the owner has said. It is refused, and says what to do.
 * - Whether the owner has ended is known where it said so, or was on the file that this process has locked. Elsewhere, as
 *   after a move to another machine, the process asks, and claims if nobody answers for some time.
 * - An owner that reads the claim of another stops at once. One that was paused for so long that another one may have
 *   claimed stores nothing before it has read the log again.
 *
 * Of a service that runs as several instances, each has its own owner in the same topic. The file of one is made again from
 * the topics: an empty one takes the place of one that is lost, if nobody answers.
 */

/** Why this process is not the owner. */
export type Refusal =
  /** Another file is the service's. */
  | "another-file"
  /** The file of the service, but not its newest copy. */
  | "older-file"
  /** The service has a change log, and several files. */
  | "replicated"
  /** The owner answers. */
  | "running-elsewhere"
  /** This process was the owner. */
  | "taken-over";

export type OwnershipState =
  /** The broker could not be asked yet. */
  | { readonly state: "unknown" }
  | { readonly state: "owner"; readonly epoch: number }
  | { readonly state: "refused"; readonly reason: Refusal; readonly owner: Claim };

interface Row {
  readonly file: string;
  readonly epoch: number;
  readonly instance: string;
  readonly takesOver: number;
  /** Whether a claim of a process on this file has counted: 1 or 0. */
  readonly owned: number;
}

/** What a file has of its owners. */
type OwnedFile = Pick<Row, "file" | "epoch" | "instance"> & { readonly age: number };

/** How long an owner has to answer: longer than a rebalance or a failover of a broker takes. */
const ANSWER_MS = 5_000;
const RETRY_MS = 1_000;
/** After so long, a claim that was sent is not in the log. */
const LOST_MS = 10_000;
/** How soon after a commit the owner says how much its file has handled. */
const REPORT_MS = 1_000;
/** An owner that has not run for so long asks the log whether it still is. */
const PAUSED_MS = ANSWER_MS - 1_000;
/** How long it waits for that: it works while the broker is away, too. */
const HELD_MS = 5_000;
/** How often it notes that it runs. */
const BEAT_MS = 1_000;
/** How long a stop waits until the broker has taken that it ended. */
const RELEASE_MS = 1_000;

/** How much a database has handled and emitted: it only grows. */
export const AGE = `
  SELECT (SELECT handled FROM ownership) + coalesce((SELECT sum(batches) FROM consumer_offsets), 0) +
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) AS age`;

const GET = "SELECT file, epoch, instance, takes_over AS takesOver, owned FROM ownership";

/** Why a file is not the one that the owner used last; undefined when it is. */
function differenceFrom(owner: Claim, { file, epoch, instance, age }: OwnedFile): Refusal | undefined {
  if (owner.file === CHANGE_LOG) return "replicated";
  if (owner.file !== file) return "another-file";
  // The epoch is stored before the claim is sent, which may have failed.
  if (owner.epoch < epoch) return undefined;
  const isLast = owner.epoch === epoch && owner.instance === instance;
  return isLast && owner.age <= age ? undefined : "older-file";
}

/** Whether a database, which may be empty, is the file that the owner used last, or is to take over from that. */
export function isFileOf(owner: Claim, sql: Database): boolean {
  const row = hasOwners(sql) ? sql.query<Row, []>(GET).get() : null;
  if (row === null || row.takesOver === 1) return row !== null;
  const { age } = sql.query<{ age: number }, []>(AGE).get() ?? { age: 0 };
  return differenceFrom(owner, { ...row, age }) === undefined;
}

/** A database has taken over. */
export function forgetTakeOver(sql: Database): void {
  if (hasOwners(sql)) sql.run("UPDATE ownership SET takes_over = 0 WHERE takes_over = 1");
}

/**
 * Makes a recovered database the one that its service used last. If the owner of then handles or emits anything after that, it
 * is an older copy again.
 */
export function continueAs({ epoch, instance, age }: Claim, sql: Database): void {
  sql.run(
    `UPDATE ownership SET epoch = ?, instance = ?, owned = 1, takes_over = 0, handled = handled + ? - (${AGE})`,
    [epoch, instance, age],
  );
}

function hasOwners(sql: Database): boolean {
  return sql.query("SELECT 1 FROM sqlite_schema WHERE name = 'ownership'").get() !== null;
}

type TimerName = "answer" | "retry" | "report" | "beat" | "decide";

interface OwnershipOptions {
  readonly service: string;
  /** Of a service that runs as several: the instance that is owned. */
  readonly instanceName: string | undefined;
  readonly database: ServiceDatabase;
  readonly unitOfWork: UnitOfWork;
  readonly transport: Transport;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Called once, when the process owns the service. */
  owned(): void;
  /** Called when it does not, after it did, too. */
  refused(text: string): void;
}

/** Whether this process is the service, as the log of its owners has it. */
export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #instance: string;
  readonly #place: string;
  readonly #statements;
  readonly #failing: RepeatedFailure;
  #state: OwnershipState = { state: "unknown" };
  /** Once: it does not begin again after it was deposed. */
  #hasOwned = false;
  /** The claim that counts, as far as the log was read. */
  #owner: Claim | undefined;
  /** Own claim that has not been read yet. */
  #claimed: number | undefined;
  /** Of the last question of this process: whether it is in the log, and a claim of the owner after it. */
  #question: "in-log" | "answered" | undefined;
  #reported = 0;
  #following: Subscription | undefined;
  /** Why the last record was not stored. */
  #failure: string | undefined;
  /** When this process was last known to run, and when it was found to have been paused: of the monotonic clock. */
  #ranMs: number;
  #wokenMs = Number.NEGATIVE_INFINITY;
  /** How often the log has to be read to its end, after a pause, before work goes on. */
  #unread = 0;
  readonly #timers = new Map<TimerName, () => void>();
  #stopped = false;

  constructor(options: OwnershipOptions) {
    const { database, runtime, transport } = options;
    if (transport.follow === undefined) throw new UsageError("the transport cannot follow a topic");
    this.#options = options;
    this.#instance = runtime.newId();
    this.#place = placeOf(database.path) ?? this.#instance;
    this.#failing = new RepeatedFailure(runtime, options.log);
    this.#ranMs = runtime.monotonic();
    const { sql } = database;
    sql
      .transaction(() =>
        sql.run("INSERT OR IGNORE INTO ownership (singleton, file) VALUES (1, ?)", [runtime.newId()]),
      )
      .immediate();
    this.#statements = {
      get: sql.prepare<Row, []>(GET),
      set: sql.prepare("UPDATE ownership SET epoch = ?, instance = ?"),
      own: sql.prepare(
        // Of a claim that was not sent, the next one takes over.
        "UPDATE ownership SET owned = 1, takes_over = 0 WHERE owned = 0 OR takes_over = 1",
      ),
      age: sql.prepare<{ age: number }, []>(AGE),
    };
  }

  state(): OwnershipState {
    return this.#state;
  }

  /** Whether another claim would be read. */
  healthy(): boolean {
    return this.#following?.healthy() ?? false;
  }

  /** Whether nothing may be stored yet, because the process was paused and another one may be the owner. */
  isHeld(): boolean {
    this.#beat();
    return this.#unread > 0 && this.#options.runtime.monotonic() - this.#wokenMs < HELD_MS;
  }

  #beat(): void {
    const now = this.#options.runtime.monotonic();
    if (this.#state.state === "owner" && now - this.#ranMs >= PAUSED_MS) {
      this.#wokenMs = now;
      // What arrives first may have been sent before the pause.
      this.#unread = 2;
    }
    this.#ranMs = now;
  }

  #beatRegularly(): void {
    this.#beat();
    this.#after("beat", BEAT_MS, () => this.#beatRegularly());
  }

  /** Why the log of the owners cannot be written or read at the moment, in words. */
  failures(): { readonly sending: string | undefined; readonly reading: string | undefined } {
    return { sending: this.#failure, reading: this.#following?.failure?.() };
  }

  start(): void {
    const { service, transport, unitOfWork } = this.#options;
    unitOfWork.onCommit(() => this.#reportSoon());
    this.#following = transport.follow?.({
      topic: ownerTopic(service).name,
      deliver: (record) => this.#read(record),
      caughtUp: () => {
        this.#failing.over("reading", {}, "the owners of the service are read again");
        this.#unread = Math.max(0, this.#unread - 1);
        this.#attempt(() => this.#decide());
      },
      failed: (error) => {
        const text = `the owners of the service are not read: ${errorText(error)}`;
        this.#failing.failed("reading", error, {}, this.#hasOwned ? text : `not consuming yet: ${text}`);
      },
    });
  }

  /** Says that the process has ended, if it is the owner and the broker answers soon. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    if (this.#state.state === "owner" && this.#following?.healthy() === true) {
      const late = Promise.withResolvers<void>();
      const cancel = this.#options.runtime.after(RELEASE_MS, late.resolve);
      await Promise.race([this.#report(true), late.promise]);
      cancel();
    }
    await this.#following?.stop();
  }

  close(): void {
    for (const statement of Object.values(this.#statements)) statement.finalize();
  }

  #read(record: IncomingRecord): void {
    if (instanceIn(record) !== this.#options.instanceName) return;
    const content = contentOf(record);
    if (content?.kind === "claim") this.#readClaim(content);
    else if (content?.kind === "question") this.#readQuestion(content);
  }

  #readClaim(claim: Claim): void {
    const before = this.#owner;
    const owner = ownerAfter(before, claim);
    this.#owner = owner;
    if (owner === claim && this.#question === "in-log") this.#question = "answered";
    const isOwner = this.#state.state === "owner";
    if (owner.instance === this.#instance) {
      if (claim.instance === this.#instance) {
        this.#claimed = undefined;
        this.#cancel("retry");
        if (!isOwner && !this.#stopped) this.#own(claim);
        // Compaction keeps the last one only.
      } else if (isOwner) void this.#report();
    } else if (isOwner) this.#refuse("taken-over", owner);
    else if (claim.epoch === this.#claimed) this.#claimed = undefined;
  }

  #readQuestion({ instance }: Question): void {
    if (instance === this.#instance) this.#question = "in-log";
    else if (this.#state.state === "owner") void this.#report();
  }

  /** What cannot be read in the file, is read again later. */
  #attempt(step: () => void): void {
    try {
      step();
      this.#failing.over("deciding", {}, "the owner in this file is read again");
    } catch (error) {
      this.#failing.failed("deciding", error, {}, "the owner in this file cannot be read, it is tried again");
      this.#after("decide", RETRY_MS, () => this.#attempt(() => this.#decide()));
    }
  }

  /** The log has been read to its end. */
  #decide(): void {
    if (this.#hasOwned || this.#claimed !== undefined || this.#stopped) return;
    const owner = this.#owner;
    const mine = this.#statements.get.get();
    if (mine === null) return;
    const difference = owner && differenceFrom(owner, { ...mine, age: this.#age() });
    const isSamePlace = difference === undefined && owner?.place === this.#place;
    const hasAnswered = this.#state.state === "refused" && this.#state.reason === "running-elsewhere";
    const replaces = owner !== undefined && this.#replaces(mine, difference);
    if (owner !== undefined && difference !== undefined && mine.takesOver === 0 && !replaces)
      this.#refuse(difference, owner);
    else if (owner === undefined || (owner.released && !replaces) || isSamePlace) this.#claim();
    else if (!hasAnswered) this.#ask(owner);
  }

  /** Whether a file that has never been an instance's takes the place of this one's, if nobody answers. */
  #replaces({ owned, takesOver }: Row, difference: Refusal | undefined): boolean {
    const isInstance = this.#options.instanceName !== undefined;
    return isInstance && difference === "another-file" && owned === 0 && takesOver === 0;
  }

  /** Claims the service if its owner does not answer. */
  #ask(owner: Claim): void {
    if (this.#timers.has("answer")) return;
    this.#options.log.warn(
      { owner: owner.place },
      "the owner of the service was elsewhere: it is asked whether it runs",
    );
    this.#question = undefined;
    this.#publish({ kind: "question", instance: this.#instance }).catch(() => {});
    this.#after("answer", ANSWER_MS, () => {
      // A log that cannot be read says nothing: what it has by then is decided when it has been read to its end.
      if (this.#following?.healthy() !== true) return;
      if (this.#question === "answered") this.#refuse("running-elsewhere", this.#owner ?? owner);
      else if (this.#question === "in-log") this.#attempt(() => this.#claim());
      else this.#attempt(() => this.#decide());
    });
  }

  #claim(): void {
    const { unitOfWork, runtime } = this.#options;
    const epoch = Math.max(this.#owner?.epoch ?? 0, this.#statements.get.get()?.epoch ?? 0) + 1;
    this.#claimed = epoch;
    const publish = async () => {
      await unitOfWork.run(() => this.#statements.set.run(epoch, this.#instance));
      await this.#publish(this.#ownClaim(epoch, runtime.now()));
    };
    // Of a claim that was acknowledged, the log may have lost the record.
    const again = (delayMs: number) =>
      this.#after("retry", delayMs, () => {
        this.#claimed = undefined;
        if (this.#following?.healthy() === true) this.#attempt(() => this.#decide());
      });
    publish().then(
      () => again(LOST_MS),
      (error: unknown) => {
        if (error instanceof StorageError && !isLogged(error))
          this.#options.log.warn({ err: error }, "the claim was not stored");
        again(RETRY_MS);
      },
    );
  }

  #own({ epoch }: Claim): void {
    this.#state = { state: "owner", epoch };
    this.#hasOwned = true;
    // Nothing is handled or emitted before that is stored: both come after it in the order of the units of work.
    this.#options.unitOfWork.run(() => this.#statements.own.run()).catch(() => {});
    this.#options.log.info({ epoch }, "this process owns the service");
    this.#ranMs = this.#options.runtime.monotonic();
    this.#beatRegularly();
    this.#options.owned();
  }

  #refuse(reason: Refusal, owner: Claim): void {
    const before = this.#state;
    this.#state = { state: "refused", reason, owner };
    if (before.state === "refused" && before.reason === reason) return;
    const { log, refused } = this.#options;
    const { place, epoch, since } = owner;
    log.error(
      { reason, owner: { place, epoch, since: new Date(since).toISOString() } },
      "this process is not the service: it neither reads, sends nor stores anything",
    );
    refused(`this process is not the service (${reason})`);
  }

  /** How much the file has handled and emitted. */
  #age(): number {
    return this.#statements.age.get()?.age ?? 0;
  }

  #ownClaim(epoch: number, since: number, released = false): Claim {
    const file = this.#statements.get.get()?.file ?? "";
    const age = this.#age();
    this.#reported = age;
    return { kind: "claim", file, epoch, instance: this.#instance, place: this.#place, since, age, released };
  }

  #reportSoon(): void {
    if (this.#state.state !== "owner" || this.#timers.has("report") || this.#stopped) return;
    this.#after("report", REPORT_MS, () => {
      if (this.#wantsToReport()) void this.#report();
    });
  }

  #wantsToReport(): boolean {
    try {
      return this.#age() > this.#reported;
    } catch {
      // The file cannot be read: the report, which fails as well, is tried again.
      return true;
    }
  }

  /** Repeats the own claim, as it is now. */
  async #report(released = false): Promise<void> {
    const owner = this.#owner;
    if (owner === undefined || owner.instance !== this.#instance) return;
    try {
      await this.#publish(this.#ownClaim(owner.epoch, owner.since, released));
    } catch {
      // Also if nothing was handled meanwhile: somebody may have asked.
      this.#reported = -1;
      this.#reportSoon();
    }
  }

  async #publish(content: Claim | Question): Promise<void> {
    const { service, instanceName, transport } = this.#options;
    try {
      await transport.publish([recordOf(service, content, instanceName)]);
      this.#failure = undefined;
      this.#failing.over("writing", {}, "the owner of the service is written again");
    } catch (error) {
      this.#failure = errorText(error);
      // That the broker is away, others say.
      if (error instanceof PublishError) {
        const text = "the owner of the service cannot be written, it is tried again";
        this.#failing.failed("writing", error, { topic: ownerTopic(service).name }, text);
      }
      throw error;
    }
  }

  #cancel(name: TimerName): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  #after(name: TimerName, delayMs: number, callback: () => void): void {
    const cancel = this.#options.runtime.after(delayMs, () => {
      this.#timers.delete(name);
      if (!this.#stopped) callback();
    });
    this.#timers.set(name, cancel);
  }
}

/** The machine and the file; undefined for one in memory. */
function placeOf(path: string): string | undefined {
  if (path === ":memory:") return undefined;
  const { dev, ino } = statSync(path);
  return `${hostname()} ${dev}:${ino}`;
}
