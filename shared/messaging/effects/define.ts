import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { UsageError } from "../errors.ts";
import type { RetryPolicy } from "../inbox/decision.ts";
import type { Synchronous, Transaction } from "../unit-of-work.ts";

/** What one try of an effect knows. */
export interface EffectContext {
  /**
   * The same for every try, and also if the message that enqueued the effect is handled again from an older copy of the
   * database. The other system has to recognise it, for example as the `Idempotency-Key` of a request.
   */
  readonly idempotencyKey: string;
  /** Aborted when the time is up, or when the process stops. */
  readonly signal: AbortSignal;
  /** From 1. */
  readonly attempt: number;
}

/** A side effect on another system, which is performed after the commit of the transaction that enqueued it. */
export interface Effect<Input extends TSchema = TSchema> {
  readonly name: string;
  readonly input: Input;
  readonly check: TypeCheck<Input>;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly retry: RetryPolicy;
  run(input: unknown, context: EffectContext): Promise<unknown>;
  completed?(output: unknown, input: unknown, transaction: Transaction): unknown;
  failed?(error: unknown, input: unknown, transaction: Transaction): unknown;
}

/** Ten tries within about ten minutes: a call to another system fails for longer than a handler does. */
const RETRY: RetryPolicy = { backoff: { firstMs: 1_000, mostMs: 120_000 }, attempts: 10 };
const TIMEOUT_MS = 10_000;
const CONCURRENCY = 4;

/**
 * Defines a kind of side effect: a call of another system that has no transaction with this database.
 *
 * @param options.input the schema of what it is given, which is stored as JSON
 * @param options.run performs it, at least once; a DomainError means that it can never succeed
 * @param options.timeoutMs the time of one try; after that it has failed, whether `run` heeds its signal or not
 * @param options.concurrency how many of its kind are performed at a time, so that a slow one leaves room for others; 4
 *   unless given
 * @param options.retry tries and their delays; by default ten tries within about ten minutes
 * @param options.completed applies the result, exactly once: in the transaction that removes the effect
 * @param options.failed reacts to the last failure, in the transaction that makes the effect a dead one
 * @throws UsageError when `concurrency` is no positive integer
 */
export function defineEffect<Input extends TSchema, Output, Completed, Failed>(options: {
  name: string;
  input: Input;
  run: (input: Static<Input>, context: EffectContext) => Promise<Output>;
  timeoutMs?: number;
  concurrency?: number;
  retry?: RetryPolicy;
  completed?: (output: Output, input: Static<Input>, transaction: Transaction) => Synchronous<Completed>;
  failed?: (error: unknown, input: Static<Input>, transaction: Transaction) => Synchronous<Failed>;
}): Effect<Input> {
  // Sound: the functions are given only what `check` accepts and what `run` has returned.
  const { run, completed, failed } = options as unknown as Effect<Input>;
  const { concurrency = CONCURRENCY } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new UsageError(`effect ${options.name}: concurrency is ${concurrency}`);
  }
  return {
    name: options.name,
    input: options.input,
    check: TypeCompiler.Compile(options.input),
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    concurrency,
    retry: options.retry ?? RETRY,
    run,
    ...(completed === undefined ? {} : { completed }),
    ...(failed === undefined ? {} : { failed }),
  };
}
