import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import { and, eq, sql } from "drizzle-orm";
import { idempotencyKeys, type Operation } from "./tables.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** Each new key takes so many old ones with it: the table shrinks for as long as there is traffic. */
const PRUNED_A_KEY = 2;

/** A request that its client may send again. */
export interface KeyedRequest {
  readonly customerId: string;
  /** The client's `Idempotency-Key`, if it sent one. */
  readonly key: string | undefined;
  readonly operation: Operation;
  /** What is asked for, spelled so that the same is spelled the same. */
  readonly content: string;
}

export interface Remembered {
  /** What it was done to, or what it made. */
  readonly target: string;
  /** What was answered, as far as the target does not say so. */
  readonly answer: string;
}

/**
 * Which requests were accepted, by the keys that their clients gave them: each client has keys of its own. A key is
 * good for `retentionMs` at least; after that, the same request with the same key is a new one.
 */
export class IdempotencyKeys {
  readonly #retentionMs: number;
  readonly #find;
  readonly #add;
  readonly #prune;

  constructor({ orm }: ServiceDatabase, retentionMs = 7 * DAY_MS) {
    this.#retentionMs = retentionMs;
    const customerId = sql.placeholder("customerId");
    const key = sql.placeholder("key");
    this.#find = orm
      .select()
      .from(idempotencyKeys)
      .where(and(eq(idempotencyKeys.customerId, customerId), eq(idempotencyKeys.key, key)))
      .prepare();
    this.#add = orm
      .insert(idempotencyKeys)
      .values({
        customerId,
        key,
        operation: sql.placeholder("operation"),
        content: sql.placeholder("content"),
        target: sql.placeholder("target"),
        answer: sql.placeholder("answer"),
        createdAt: sql.placeholder("now"),
      })
      .prepare();
    this.#prune = orm
      .delete(idempotencyKeys)
      .where(
        sql`(customer_id, key) IN (
          SELECT customer_id, key FROM idempotency_keys WHERE created_at < ${sql.placeholder("before")}
          ORDER BY created_at LIMIT ${PRUNED_A_KEY}
        )`,
      )
      .prepare();
  }

  /**
   * What was done about the same request before; undefined when it is the first, or has no key.
   *
   * @throws ServiceError invalid: key-conflict, when the key came with something else
   */
  find({ customerId, key, operation, content }: KeyedRequest): Remembered | undefined {
    const row = key === undefined ? undefined : this.#find.get({ customerId, key });
    if (row === undefined) return undefined;
    if (row.operation !== operation || row.content !== content) throw keyConflict();
    return { target: row.target, answer: row.answer };
  }

  /** Only after `find` found nothing, in the same transaction. */
  remember(request: KeyedRequest, { target, answer }: Remembered, { now }: Transaction): void {
    const { key } = request;
    if (key === undefined) return;
    this.#prune.run({ before: now - this.#retentionMs });
    this.#add.run({ ...request, key, target, answer, now });
  }
}

export function keyConflict(): ServiceError {
  return new ServiceError(
    "invalid",
    "key-conflict",
    "This Idempotency-Key came with another request before.",
  );
}
