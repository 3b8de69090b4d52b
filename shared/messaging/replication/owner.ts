import type { Database } from "bun:sqlite";
import { ownerTopic } from "../contract/define.ts";
import { errorText } from "../errors.ts";
import { CHANGE_LOG, type Claim, contentOf, ownerAfter, recordOf } from "../ownership/claim.ts";
import { forgetTakeOver, isFileOf } from "../ownership/ownership.ts";
import { RepeatedFailure } from "../repeated-failure.ts";
import type { Logger, Runtime } from "../runtime.ts";
import type { Subscription, Transport } from "../transport/transport.ts";

/*
 * A service with a change log is found in the log of the owners, too: its leader claims it for the change log. So a process
 * without one, on whatever file, is refused. And until the change log has the content of the file that was the service's
 * before, the instance with that file leads, and no other.
 */

const RETRY_MS = 1_000;
/** After so long, a claim that was sent is not in the log. */
const LOST_MS = 10_000;

interface OwnerOptions {
  readonly service: string;
  /** The run of the process. */
  readonly instance: string;
  readonly transport: Transport;
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Of the instance's database, which may be replaced. */
  readonly sql: () => Database;
  /** Called when it may have become another one. */
  changed(): void;
}

/** Who the log of the owners says has a replicated service. */
export class OwnerOfReplicas {
  readonly #options: OwnerOptions;
  readonly #failing: RepeatedFailure;
  readonly #following: Subscription | undefined;
  #owner: Claim | undefined;
  #isRead = false;
  #wants = false;
  #cancelRetry: (() => void) | undefined;

  constructor(options: OwnerOptions) {
    const { service, transport, runtime, log } = options;
    this.#options = options;
    this.#failing = new RepeatedFailure(runtime, log);
    this.#following = transport.follow?.({
      topic: ownerTopic(service).name,
      deliver: (record) => {
        const content = contentOf(record);
        if (content?.kind !== "claim") return;
        const before = this.#owner;
        this.#owner = ownerAfter(before, content);
        if (this.#wants && this.#owner.file === CHANGE_LOG) forgetTakeOver(options.sql());
        if (this.#isRead && this.#owner.epoch !== before?.epoch) options.changed();
      },
      caughtUp: () => {
        this.#failing.over("reading", {}, "the owners of the service are read again");
        if (this.#isRead) return;
        this.#isRead = true;
        options.changed();
      },
      failed: (error) => {
        this.#failing.failed(
          "reading",
          error,
          {},
          `the owners of the service are not read: ${errorText(error)}`,
        );
      },
    });
  }

  /** Whether the instance may lead; undefined until the log was read. */
  allows(): boolean | undefined {
    if (!this.#isRead) return undefined;
    const owner = this.#owner;
    return owner === undefined || owner.file === CHANGE_LOG || isFileOf(owner, this.#options.sql());
  }

  /** Claims the service for the change log, unless that has it, until the log of the owners says so. */
  claim(): void {
    this.#wants = true;
    this.#claim();
  }

  #claim(): void {
    const { service, instance, transport, runtime } = this.#options;
    this.#cancelRetry?.();
    if (!this.#wants || this.#owner?.file === CHANGE_LOG) return;
    const claim = {
      ...{ kind: "claim" as const, file: CHANGE_LOG, epoch: (this.#owner?.epoch ?? 0) + 1, instance },
      ...{ place: "several", since: runtime.now(), age: 0, released: false },
    };
    const again = (delayMs: number) => {
      this.#cancelRetry = runtime.after(delayMs, () => this.#claim());
    };
    transport.publish([recordOf(service, claim)]).then(
      () => {
        this.#failing.over("claiming", {}, "the service was claimed for its change log");
        again(LOST_MS);
      },
      (error: unknown) => {
        const text = `the service cannot be claimed for its change log, it is tried again: ${errorText(error)}`;
        this.#failing.failed("claiming", error, { topic: ownerTopic(service).name }, text);
        again(RETRY_MS);
      },
    );
  }

  async stop(): Promise<void> {
    this.#wants = false;
    this.#cancelRetry?.();
    await this.#following?.stop();
  }
}
