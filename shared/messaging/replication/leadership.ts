import type { GroupLog } from "../database.ts";
import { errorText, NotOwner, StorageError } from "../errors.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { Transport } from "../transport/transport.ts";
import { Capture, everythingIn, schemaChanges } from "./capture.ts";
import type { OwnerOfReplicas } from "./owner.ts";
import { PART_BYTES, recordOf } from "./records.ts";
import type { ReplicaFile } from "./replica-file.ts";

/** The leader writes at least so often. */
const ALIVE_MS = 1_000;
export const RETRY_MS = 500;
/**
 * How long anybody waits during a stop: for what is not confirmed, for the broker to take that the leader has ended, and for
 * the next one to lead.
 */
export const STOP_MS = 1_000;
/** Groups in one send. */
const BATCH = 200;

/** Who waits until a group is confirmed. */
interface Waiting {
  readonly seq: number;
  readonly callback: (error?: Error) => void;
  /** Of a limit. */
  cancel: () => void;
}

interface LeadershipOptions {
  readonly service: string;
  readonly transport: Transport;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Where this instance answers requests. */
  readonly address?: string;
}

/** What the leader does: stores, sends and confirms groups. */
export class Leadership implements GroupLog {
  readonly release: () => Promise<void>;
  readonly #options: LeadershipOptions;
  readonly #instance: string;
  readonly #file: ReplicaFile;
  readonly #epoch: number;
  readonly #log: string;
  readonly #capture: Capture;
  readonly #owner: OwnerOfReplicas | undefined;
  readonly #failing: RepeatedFailure;
  readonly #lost: ((reason: NotOwner) => void)[] = [];
  #waiting: Waiting[] = [];
  /** The last group that the broker has acknowledged, or is about to. */
  #sent: number;
  #sending: Promise<void> | undefined;
  #sentMs = Number.NEGATIVE_INFINITY;
  #ended: Error | undefined;
  /** Nobody waits for long any more. */
  #isStopping = false;
  #isSaying = false;
  #cancelAlive: () => void = () => {};
  #cancelRetry: () => void = () => {};

  constructor(
    options: LeadershipOptions,
    instance: string,
    file: ReplicaFile,
    owner: OwnerOfReplicas | undefined,
    release: () => Promise<void>,
  ) {
    this.release = release;
    this.#options = options;
    this.#instance = instance;
    this.#file = file;
    this.#owner = owner;
    this.#epoch = file.position.epoch;
    this.#log = file.position.log;
    this.#failing = new RepeatedFailure(options.runtime, options.log);
    this.#capture = new Capture(file.database.sql);
    file.begin(instance);
    // Before the first group the whole database is one.
    if (file.position.seq > 0) this.#capture.install();
    this.#sent = file.position.confirmed;
    this.#send();
    this.#sayAlive();
  }

  onLost(listener: (reason: NotOwner) => void): void {
    this.#lost.push(listener);
  }

  begin(): void {
    if (this.#file.position.seq === 0) this.#storeEverything();
    // Before that is confirmed, it is only in this file.
    this.whenConfirmed((error) => {
      if (error === undefined) this.#owner?.claim();
    });
  }

  #storeEverything(): void {
    const { sql } = this.#file.database;
    sql
      .transaction(() => {
        this.#file.add(everythingIn(this.#file.database.sql));
        this.#capture.install();
      })
      .immediate();
    this.#file.committed();
    this.#send();
  }

  store(): void {
    const changes = this.#capture.take();
    if (changes === undefined) return;
    this.#mustLead();
    this.#file.add(changes);
  }

  changeSchema(change: (store: (statements: readonly string[]) => void) => void): void {
    this.#mustLead();
    if (this.#file.position.seq === 0) {
      change(() => {});
      return;
    }
    this.#capture.remove();
    try {
      change((statements) => {
        if (statements.length > 0) this.#file.add(schemaChanges(this.#file.database.sql, statements));
      });
      this.#file.committed();
    } finally {
      this.#capture.install();
    }
    this.#send();
  }

  /**
   * The position of one that was deposed is behind the claim of the other. Stored with a group, it would keep the next
   * process from reading that claim, and from setting the file aside.
   */
  #mustLead(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }

  committed(callback: (error?: Error) => void): void {
    this.#file.committed();
    this.whenConfirmed(callback);
  }

  whenConfirmed(callback: (error?: Error) => void): void {
    const { seq, confirmed } = this.#file.position;
    if (this.#ended !== undefined) callback(this.#ended);
    else if (seq <= confirmed) callback();
    else {
      const waiting = { seq, callback, cancel: () => {} };
      this.#waiting.push(waiting);
      if (this.#isStopping) this.#limit(waiting);
      this.#send();
    }
  }

  /** More of the log has been read. */
  confirmed(): void {
    const { confirmed } = this.#file.position;
    this.#sent = Math.max(this.#sent, confirmed);
    let count = 0;
    while ((this.#waiting[count]?.seq ?? Number.POSITIVE_INFINITY) <= confirmed) count += 1;
    for (const { callback, cancel } of this.#waiting.splice(0, count)) {
      cancel();
      callback();
    }
  }

  /** The log has lost a group that the broker had acknowledged. */
  sendAgain(): void {
    this.#sent = this.#file.position.confirmed;
    this.#send();
  }

  /** Another instance leads. */
  lose(): void {
    const reason = new NotOwner("another instance leads in place of this one");
    this.#close(reason);
    for (const listener of this.#lost) listener(reason);
  }

  async drain(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      for (const waiting of this.#waiting) this.#limit(waiting);
    }
    await new Promise<void>((resolve) => this.whenConfirmed(() => resolve()));
  }

  /** Ends a wait after some time. */
  #limit(waiting: Waiting): void {
    waiting.cancel = this.#options.runtime.after(STOP_MS, () => {
      this.#waiting = this.#waiting.filter((other) => other !== waiting);
      waiting.callback(new StorageError("the process stops, and the change log does not have it yet"));
    });
  }

  async end(says: boolean): Promise<void> {
    const { runtime } = this.#options;
    const isLeader = this.#ended === undefined;
    this.#close(new StorageError("the instance was stopped"));
    if (!says || !isLeader) return;
    const late = Promise.withResolvers<void>();
    const cancel = runtime.after(STOP_MS, late.resolve);
    await Promise.race([this.#say("release").catch(() => {}), late.promise]);
    cancel();
  }

  #close(reason: Error): void {
    this.#ended ??= reason;
    this.#cancelAlive();
    this.#cancelRetry();
    this.#reject(reason);
  }

  #reject(reason: Error): void {
    for (const { callback, cancel } of this.#waiting.splice(0)) {
      cancel();
      callback(reason);
    }
  }

  #send(): void {
    if (this.#sending !== undefined || this.#ended !== undefined) return;
    this.#cancelRetry();
    this.#sending = this.#drainLog().finally(() => {
      this.#sending = undefined;
    });
  }

  async #drainLog(): Promise<void> {
    const { service, transport, runtime } = this.#options;
    // What was committed in the same turn goes into one send.
    await new Promise<void>((resolve) => runtime.soon(resolve));
    while (this.#ended === undefined) {
      const groups = this.#file.after(this.#sent, BATCH);
      const last = groups.at(-1);
      if (last === undefined) return;
      const before = this.#sent;
      this.#sent = last.seq;
      try {
        await transport.publish(
          groups.flatMap(({ seq, body }) =>
            partsOf(body).map((part) =>
              recordOf(service, { ...part, kind: "group", epoch: this.#epoch, log: this.#log, seq }),
            ),
          ),
        );
        this.#sentMs = runtime.monotonic();
        this.#failing.over("sending", {}, "the change log is written again");
      } catch (error) {
        this.#sent = Math.min(before, this.#sent);
        this.#failing.failed(
          "sending",
          error,
          {},
          `the change log cannot be written, nothing is answered or sent: ${errorText(error)}`,
        );
        this.#cancelRetry = runtime.after(RETRY_MS, () => this.#send());
        return;
      }
    }
  }

  #sayAlive(): void {
    const { runtime } = this.#options;
    this.#cancelAlive = runtime.after(ALIVE_MS, () => {
      // What fails here, the groups or the reader say.
      const isSilent = runtime.monotonic() - this.#sentMs >= ALIVE_MS;
      if (isSilent && !this.#isSaying) {
        this.#isSaying = true;
        this.#say("alive")
          .catch(() => {})
          .finally(() => {
            this.#isSaying = false;
          });
      }
      this.#sayAlive();
    });
  }

  #say(kind: "alive" | "release"): Promise<void> {
    const { service, transport, address = "" } = this.#options;
    const { confirmed: seq } = this.#file.position;
    return transport.publish([
      recordOf(service, { kind, epoch: this.#epoch, log: this.#log, instance: this.#instance, seq, address }),
    ]);
  }
}

function partsOf(
  body: Uint8Array,
): { readonly part: number; readonly parts: number; readonly body: Uint8Array }[] {
  const parts = Math.max(1, Math.ceil(body.byteLength / PART_BYTES));
  return Array.from({ length: parts }, (_, index) => ({
    part: index + 1,
    parts,
    body: body.subarray(index * PART_BYTES, (index + 1) * PART_BYTES),
  }));
}
