import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OrderPlaced } from "@distributed-messaging/contracts";
import { migrate, openDatabase, systemRuntime, type Transaction } from "@distributed-messaging/messaging";
import {
  Inbox,
  kitMigrations,
  Outbox,
  TimerStore,
  UnitOfWork,
} from "@distributed-messaging/messaging/internal";
import { type Figure, perSecond, report } from "./measure.ts";

const DURATION_MS = 1_500;

/** Measures group commit: the same work, an inbox claim and a message, by different numbers of callers at once. */
export async function benchUnitOfWork(): Promise<void> {
  const path = join(tmpdir(), `bench-${crypto.randomUUID()}.sqlite`);
  const database = openDatabase(path);
  try {
    migrate(database, "messaging", kitMigrations);
    const inbox = new Inbox(database);
    const outbox = new Outbox(database);
    const timers = new TimerStore(database);
    const unitOfWork = new UnitOfWork({
      database,
      outbox,
      timers,
      source: OrderPlaced.source,
      runtime: systemRuntime,
    });
    const work = (transaction: Transaction) => {
      const orderId = systemRuntime.newId();
      inbox.claim("bench", orderId, transaction.now);
      transaction.emit(OrderPlaced, {
        orderId,
        customerId: "BENCH",
        items: [{ productId: "PRODUCT_001", quantity: 1, unitPrice: { amount: 1000, currency: "EUR" } }],
        total: { amount: 1000, currency: "EUR" },
      });
    };
    const figures: Figure[] = [];
    for (const callers of [1, 10, 100, 1_000]) {
      const value = await perSecond(DURATION_MS, async () => {
        await Promise.all(Array.from({ length: callers }, () => unitOfWork.run(work)));
        return callers;
      });
      figures.push({ what: `${callers} at once`, value, unit: "commits/s" });
    }
    report("Units of work, each fsynced before it is answered", figures);
    for (const part of [inbox, outbox, timers]) part.close();
  } finally {
    database.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
  }
}
