/**
 * Why a message is parked. `undecodable`, `unknown-type`, `schema`: see `decode`. `domain`: its handler says
 * never. `retries-exhausted`: it failed as often as it may. `crash`: it took the process down with it.
 * `blocked`: nothing is wrong with it, it waits for one that is.
 */
export const deadLetterReasons = [
  "undecodable",
  "unknown-type",
  "schema",
  "domain",
  "retries-exhausted",
  "crash",
  "blocked",
] as const;
export type DeadLetterReason = (typeof deadLetterReasons)[number];

export interface Failure {
  readonly reason: DeadLetterReason;
  /** In words that an operator can act on. */
  readonly error: string;
  readonly stack?: string;
  /** How often it was tried. */
  readonly attempts: number;
}

export interface DeadLetter extends Failure {
  readonly id: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** As it came. */
  readonly value: Uint8Array | null;
  /** What an operator put in its place. */
  readonly edited: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly replays: number;
  /** Milliseconds since the epoch. */
  readonly parkedAt: number;
}

/** A letter as a row of `dead_letters`, selected by these columns. */
export type DeadLetterRow = Omit<DeadLetter, "headers" | "stack"> & { headers: string; stack: string | null };

export const COLUMNS = `id, topic, partition, offset, key, value, edited, headers, reason, error, stack, attempts, replays,
  parked_at AS parkedAt`;

export function toLetter({ headers, stack, ...row }: DeadLetterRow): DeadLetter {
  return {
    ...row,
    headers: JSON.parse(headers) as Record<string, string>,
    ...(stack === null ? {} : { stack }),
  };
}
