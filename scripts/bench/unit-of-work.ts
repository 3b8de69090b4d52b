import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OrderPlaced } from "@distributed-messaging/contracts";
import {
  deadLetterTopic,
  Messaging,
  openDatabase,
  silentLogger,
  storedId,
  systemRuntime,
  type Transaction,
} from "@distributed-messaging/messaging";
import { MemoryBroker } from "@distributed-messaging/messaging/memory";
import { type Comparison, compare, type Figure } from "./comparison.ts";
import { perSecond } from "./measure.ts";

const DURATION_MS = 1_500;

/** Measures group commit: the same work, an inbox claim and a message, by different numbers of callers at once. */
export async function measureCommits(rounds: number, say: (line: string) => void): Promise<Comparison[]> {
  const measured = await compare(["together"], rounds, say, measureRound);
  const alone = measured.find(({ name }) => name === nameOf(1))?.values.together ?? [];
  return measured.map((comparison) => ({
    ...comparison,
    values: { ...comparison.values, "one at a time": alone },
  }));
}

const nameOf = (callers: number) => `commits, ${callers.toLocaleString("en")} at once`;

async function measureRound(): Promise<Figure[]> {
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
      "INSERT INTO inbox (message_id, handled_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
    );
    const work = (transaction: Transaction) => {
      const orderId = systemRuntime.newId();
      claim.run(storedId(orderId), transaction.now);
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
      const section = "Units of work, each fsynced before it is answered";
      figures.push({ section, name: nameOf(callers), unit: "a second", value });
    }
    await messaging.stop();
    claim.finalize();
    return figures;
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}
