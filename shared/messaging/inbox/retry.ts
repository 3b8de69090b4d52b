import type { Failure } from "../dead-letters/store.ts";
import { DomainError } from "../errors.ts";
import { type Backoff, backoffMs } from "../runtime.ts";

/** How a message that failed is tried again. */
export interface RetryPolicy {
  readonly backoff: Backoff;
  /** Tries, the first included, before the message is parked. */
  readonly attempts: number;
}

/** Ten tries within a minute: the waits between them add up to 26 to 51 seconds. */
export const defaultRetryPolicy: RetryPolicy = { backoff: { firstMs: 100, mostMs: 30_000 }, attempts: 10 };

/** What to do with a message whose handler threw. */
export type Verdict = { readonly retryAfterMs: number } | { readonly park: Failure };

/**
 * The one place that decides between trying again and giving up.
 *
 * @param failures how often it has failed by now, this time included
 */
export function judge(error: unknown, failures: number, policy: RetryPolicy, random: () => number): Verdict {
  const what =
    error instanceof Error
      ? { error: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) }
      : { error: String(error) };
  if (error instanceof DomainError) return { park: { reason: "domain", ...what, attempts: failures } };
  if (failures >= policy.attempts)
    return { park: { reason: "retries-exhausted", ...what, attempts: failures } };
  return { retryAfterMs: backoffMs(policy.backoff, failures, random) };
}
