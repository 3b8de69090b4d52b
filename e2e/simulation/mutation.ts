import type { Database } from "bun:sqlite";
import type { Publisher, Subscriber } from "@distributed-messaging/messaging";

export type Transport = Publisher & Subscriber;

/** What a statement can be asked, as the kit and drizzle do. */
export interface StatementCalls {
  run(...parameters: unknown[]): { changes: number; lastInsertRowid: number | bigint };
  get(...parameters: unknown[]): unknown;
  all(...parameters: unknown[]): unknown[];
  values(...parameters: unknown[]): unknown[][];
}

/** One protection taken away from one service, for as long as its database lives. */
export interface ServiceMutation {
  /** Changes the schema, once it is there. */
  file?(sql: Database): void;
  /** Other words for a statement, before it is prepared or run. `""`: nothing is run in its place. */
  rewrite?(sql: string): string;
  /** What a prepared statement does instead. */
  statement?(sql: string, original: StatementCalls): Partial<StatementCalls>;
  /** Another way to the broker. */
  transport?(original: Transport): Transport;
}

/**
 * A kit with one protection less. It is how the simulation is put to the test: whatever is taken away, some
 * seed has to notice.
 */
export interface Mutation {
  readonly name: string;
  /** Called once for each service of a run. */
  create(service: string): ServiceMutation;
}
