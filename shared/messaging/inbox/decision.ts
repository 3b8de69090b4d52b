import type { Failure } from "../dead-letters/store.ts";
import { DeadLettersFull, DomainError, errorText, StorageError, UsageError } from "../errors.ts";
import { type Backoff, backoffMs, STORAGE_PAUSE_MS } from "../runtime.ts";
import type { Handled, Rejected } from "./inbox.ts";

export interface RetryLimits {
  readonly backoff: Backoff;
  /** Tries, the first one included, before the message is parked. */
  readonly attempts: number;
}

/** How a message whose handler failed is retried. */
export interface RetryPolicy extends RetryLimits {
  /**
   * Decides by the error: parked at once, other limits than those of the policy, or `undefined` for those. Not asked
   * about DomainError and UsageError, which are never retried, and faults of the storage, which always are.
   */
  readonly classify?: (error: unknown) => "park" | RetryLimits | undefined;
}

/** Ten tries within a minute: the delays between them add up to 26 to 51 seconds. */
export const defaultRetryPolicy: RetryPolicy = { backoff: { firstMs: 100, mostMs: 30_000 }, attempts: 10 };

/** A message during whose handling so many processes ended is parked. */
export const MAX_CRASHES = 3;

/** What one attempt to handle a message came to. */
export type Attempt =
  | Handled
  | Rejected
  /** Not tried: an earlier message of its key is parked. */
  | { readonly status: "blocked" }
  /** So many processes ended while they handled it. */
  | { readonly status: "crashed"; readonly crashes: number }
  /** Rolled back with this error. */
  | { readonly status: "failed"; readonly error: unknown };

/** What happens next with the message. */
export type Decision =
  | { readonly action: "ack"; readonly handled: Handled }
  | { readonly action: "retry"; readonly delayMs: number; readonly failure: Failure }
  | { readonly action: "park"; readonly failure: Failure }
  /** Try again: the storage was at fault, not the message, so the try does not count. */
  | { readonly action: "wait"; readonly delayMs: number };

/**
 * Decides between ack, retry and park, for messages that are consumed, that are released after they were blocked,
 * and that an operator replays. Nothing else decides it.
 *
 * @param tries how often the message has been tried in its life, this attempt included
 */
export function decide(attempt: Attempt, tries: number, policy: RetryPolicy, random: () => number): Decision {
  switch (attempt.status) {
    case "handled":
    case "duplicate":
    case "skipped":
      return { action: "ack", handled: attempt };
    case "rejected":
      return park({ reason: attempt.reason, error: attempt.detail, attempts: tries });
    case "blocked":
      return park({ reason: "blocked", error: "an earlier message of its key is parked", attempts: tries });
    case "crashed": {
      const error = `the process ended ${attempt.crashes} times while it was handled`;
      const failure: Failure = { reason: "crash", error, attempts: tries };
      return attempt.crashes >= MAX_CRASHES ? park(failure) : { action: "retry", delayMs: 0, failure };
    }
    case "failed": {
      const { error } = attempt;
      if (error instanceof StorageError || error instanceof DeadLettersFull) {
        return { action: "wait", delayMs: STORAGE_PAUSE_MS };
      }
      const failure = { error: errorText(error), ...stackOf(error), attempts: tries };
      if (error instanceof DomainError) return park({ reason: "domain", ...failure });
      if (error instanceof UsageError) return park({ reason: "handler-error", ...failure });
      const limits = limitsFor(error, policy);
      if (limits === "park") return park({ reason: "handler-error", ...failure });
      if (tries >= limits.attempts) return park({ reason: "retries-exhausted", ...failure });
      const delayMs = backoffMs(limits.backoff, tries, random);
      return { action: "retry", delayMs, failure: { reason: "failed", ...failure } };
    }
    default:
      return attempt satisfies never;
  }
}

/** The limits of the policy also where it fails to classify an error: a message must not wait because of that. */
export function limitsFor(error: unknown, policy: RetryPolicy): "park" | RetryLimits {
  try {
    return policy.classify?.(error) ?? policy;
  } catch {
    return policy;
  }
}

function park(failure: Failure): Decision {
  return { action: "park", failure };
}

function stackOf(error: unknown): { stack?: string } {
  return error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};
}
