import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OrderPlaced } from "@distributed-messaging/contracts";
import {
  deadLetterTopic,
  Messaging,
  openDatabase,
  silentLogger,
  systemRuntime,
  type Transaction,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { type Figure, perSecond, report } from "./measure.ts";

const DURATION_MS = 1_500;

/** Measures group commit: the same work, an inbox claim and a message, by different numbers of callers at once. */
export async function benchUnitOfWork(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const database = openDatabase(join(folder, "order.sqlite"));
  try {
    const deadLetters = deadLetterTopic(OrderPlaced.source);
    // Not started: nothing is consumed or sent.
    const messaging = new Messaging({
      service: OrderPlaced.source,
      database,
      transport: new MemoryBroker([OrderPlaced.topic, deadLetters], systemRuntime),
      definitions: [],
      handlers: [],
      deadLetterTopic: deadLetters.name,
      runtime: systemRuntime,
      log: silentLogger,
    });
    const { unitOfWork } = messaging;
    const claim = database.sql.prepare(
      "INSERT INTO inbox (consumer, message_id, handled_at) VALUES ('bench', ?, ?) ON CONFLICT DO NOTHING",
    );
    const work = (transaction: Transaction) => {
      const orderId = systemRuntime.newId();
      claim.run(orderId, transaction.now);
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
    await messaging.stop();
    claim.finalize();
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}
