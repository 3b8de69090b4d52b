/**
 * Fault injection: a test says what shall happen to the next requests of an API, and in which of the ways that real
 * networks and brokers fail.
 *
 *   broker.control.on(ApiKey.Produce, { fault: "drop-response" });          // stored, but the client never learns it
 *   broker.control.on(ApiKey.Fetch, { fault: "fail", code: ErrorCode.NOT_LEADER_OR_FOLLOWER, times: 3 });
 */
import type { Caller } from "./api.ts";
import type { ErrorCode } from "./errors.ts";

/** A request as a rule may look at it; `request` is what the API's `decode` returned. */
export interface Intercepted extends Caller {
  readonly apiKey: number;
  readonly request: unknown;
}

export type Fault =
  /** Answered with the code everywhere that the response has room for one; nothing is done. */
  | { readonly fault: "fail"; readonly code: ErrorCode }
  /** Done later: after a time in milliseconds, or when the promise resolves. */
  | { readonly fault: "delay"; readonly until: number | Promise<unknown> }
  /** Done, and then the connection is cut before the answer. */
  | { readonly fault: "drop-response" }
  /** The connection is cut; nothing is done. */
  | { readonly fault: "cut" };

export type Rule = Fault & {
  /** How many requests it meets before it is gone; 1 unless given. `Infinity`: until removed. */
  readonly times?: number;
  /** Only requests for which this is true count. */
  readonly when?: (intercepted: Intercepted) => boolean;
};

export interface RuleHandle {
  /** How many requests it has met. */
  readonly hits: number;
  /** Resolves when it has met its last one. */
  readonly exhausted: Promise<void>;
  remove(): void;
}

/** What `dispatch` has to do for one request. */
export interface Injection {
  readonly code: ErrorCode | undefined;
  before(): Promise<void>;
  after(): void;
}

/** What `dispatch` throws on, so that the connection is closed. */
class ConnectionCut extends Error {
  override readonly name = "ConnectionCut";

  constructor() {
    super("cut by a test");
  }
}

class ActiveRule implements RuleHandle {
  hits = 0;
  readonly exhausted: Promise<void>;
  readonly #exhaust: () => void;

  constructor(
    readonly apiKey: number,
    readonly rule: Rule,
    private readonly rules: Set<ActiveRule>,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.exhausted = promise;
    this.#exhaust = resolve;
  }

  hit(): void {
    this.hits += 1;
    if (this.hits < (this.rule.times ?? 1)) return;
    this.remove();
    this.#exhaust();
  }

  remove(): void {
    this.rules.delete(this);
  }
}

export class Control {
  readonly #rules = new Set<ActiveRule>();

  /** Adds a rule; of several that fit a request, the oldest takes it. */
  on(apiKey: number, rule: Rule): RuleHandle {
    const active = new ActiveRule(apiKey, rule, this.#rules);
    this.#rules.add(active);
    return active;
  }

  /** Removes all rules. */
  clear(): void {
    this.#rules.clear();
  }

  take(intercepted: Intercepted): Injection | undefined {
    for (const active of this.#rules) {
      if (active.apiKey !== intercepted.apiKey || active.rule.when?.(intercepted) === false) continue;
      active.hit();
      return injectionOf(active.rule);
    }
    return undefined;
  }
}

function injectionOf(fault: Fault): Injection {
  return {
    code: fault.fault === "fail" ? fault.code : undefined,
    async before() {
      if (fault.fault === "cut") throw new ConnectionCut();
      if (fault.fault === "delay") {
        await (typeof fault.until === "number" ? Bun.sleep(fault.until) : fault.until);
      }
    },
    after() {
      if (fault.fault === "drop-response") throw new ConnectionCut();
    },
  };
}
