import {
  type Migration,
  migrate,
  openDatabase,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import { fingerprint, kitMigrations, type Position } from "@distributed-messaging/messaging/internal";
import type { PartitionLog } from "./broker-log.ts";
import { ledgerMigrations, watchTables } from "./ledger.ts";
import type { ServiceMutation } from "./mutation.ts";

/**
 * A service's file, which outlives its processes, and what can be seen in it from outside. In memory: a commit is
 * as durable as the simulation says, and no fsync slows it down.
 */
export class Disk {
  readonly database: ServiceDatabase;

  constructor(service: string, migrations: readonly Migration[], mutation: ServiceMutation) {
    this.database = openDatabase(":memory:");
    migrate(this.database, service, migrations);
    migrate(this.database, "messaging", kitMigrations);
    migrate(this.database, "simulation", ledgerMigrations);
    mutation.file?.(this.database.sql);
    watchTables(this.database);
  }

  /** How many rows a table has. */
  count(table: string): number {
    const { sql } = this.database;
    return sql.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
  }

  /** Whether all of a partition has been handled. */
  hasHandled({ topic, partition, records, end }: PartitionLog): boolean {
    const last = records.at(-1);
    if (last === undefined) return true;
    const stored = this.database.sql
      .query<Position, [string, number]>(
        "SELECT next_offset AS next, last_record AS lastRecord FROM consumer_offsets WHERE topic = ? AND partition = ?",
      )
      .get(topic, partition);
    // The same number in a log of the same name that was made anew is not the same place.
    return stored?.next === end && stored.lastRecord === fingerprint(last);
  }

  /** What died in the middle of a transaction leaves nothing of it. */
  loseUncommitted(): void {
    const { sql } = this.database;
    if (sql.inTransaction) sql.run("ROLLBACK");
  }

  close(): void {
    this.database.close();
  }
}
