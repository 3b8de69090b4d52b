/**
 * Fault injection: a test makes the next requests of an API fail as real networks and brokers do.
 *
 *   broker.control.on(ApiKey.Produce, { fault: "drop-response" });          // stored, but without a response
 *   broker.control.on(ApiKey.Fetch, { fault: "fail", code: ErrorCode.NOT_LEADER_OR_FOLLOWER, times: 3 });
 */
import { setTimeout } from "node:timers/promises";
import type { Caller } from "./define-api.ts";
import type { ErrorCode } from "./errors.ts";

/** A request as a rule's predicate sees it. */
export interface Intercepted extends Caller {
  readonly apiKey: number;
  /** The result of the API's `decode`. */
  readonly request: unknown;
}

export type Fault =
  /** Not handled; the response has this code in every error field. */
  | { readonly fault: "fail"; readonly code: ErrorCode }
  /** Handled later: after a time in milliseconds, or when the promise resolves. */
  | { readonly fault: "delay"; readonly until: number | Promise<unknown> }
  /** Handled; then the connection is cut instead of a response. */
  | { readonly fault: "drop-response" }
  /** Not handled; the connection is cut. */
  | { readonly fault: "cut" };

export type Rule = Fault & {
  /** The number of requests it applies to, 1 by default. `Infinity`: until removed. */
  readonly times?: number;
  /** Restricts the rule to requests for which this returns true. */
  readonly when?: (intercepted: Intercepted) => boolean;
};

export interface RuleHandle {
  /** The number of requests it has applied to. */
  readonly hits: number;
  /** Resolves when `hits` reaches `times`. */
  readonly exhausted: Promise<void>;
  remove(): void;
}

/** The fault that `dispatch` applies to one request. */
interface Injection {
  readonly code: ErrorCode | undefined;
  before(): Promise<void>;
  after(): void;
}

/** Thrown through `dispatch`, which closes the connection. */
class ConnectionCut extends Error {
  override readonly name = "ConnectionCut";

  constructor() {
    super("cut by fault injection");
  }
}

class ActiveRule implements RuleHandle {
  hits = 0;
  #exhaust: () => void = () => {};
  readonly exhausted = new Promise<void>((resolve) => {
    this.#exhaust = resolve;
  });

  constructor(
    readonly apiKey: number,
    readonly rule: Rule,
    private readonly rules: Set<ActiveRule>,
  ) {}

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

  /** Adds a rule. If several match a request, the oldest applies. */
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
        await (typeof fault.until === "number" ? setTimeout(fault.until) : fault.until);
      }
    },
    after() {
      if (fault.fault === "drop-response") throw new ConnectionCut();
    },
  };
}
