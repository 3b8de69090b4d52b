import { Database } from "bun:sqlite";
import { mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import type { Comparison } from "./comparison.ts";
import { load } from "./generator.ts";
import { System } from "./system.ts";

const PARTS = 20;
/** The id of an order is remembered for four times as long as the order: all of it has to happen within half of the run. */
const ORDERS_PER_SECOND_OF_RETENTION = 20_000;
const MOST_BACKLOG_MS = 120_000;

interface Part {
  readonly perSecond: number;
  /** Orders whose end the gateway had not applied yet when their customers were notified. */
  readonly backlog: number;
  /** Bytes of all databases. */
  readonly bytes: number;
}

/**
 * Orders pass through a store that keeps them for a short time. The loop is closed over all services: a part ends, and the
 * next one begins, when every order is notified and the gateway's projections show it as final.
 *
 * @throws CommandFailed unless every order was confirmed
 */
export async function measureRetention(
  orders: number,
  atOnce: number,
  report: (line: string) => void,
): Promise<Comparison[]> {
  const seconds = Math.max(2, Math.round(orders / ORDERS_PER_SECOND_OF_RETENTION));
  const kept = `${seconds}s`;
  const dataDir = mkdtempSync(join(tmpdir(), "bench-retention-"));
  const env = {
    ...{ ORDER_RETENTION: kept, NOTIFICATION_RETENTION: kept, BACKORDER_TTL: kept },
    // The shortest: a run has to be longer than that for its claims to be as many at the end as before.
    ...{ INBOX_RETENTION: "1m", IDEMPOTENCY_RETENTION: "1m" },
  };
  await using system = await System.start("store", { dataDir, env });
  const file = (name: string) => join(dataDir, `${name}.sqlite`);
  using gateway = new Database(file("api-gateway"), { readonly: true });
  using open = gateway.prepare<{ count: number }, []>(
    `SELECT count(*) AS count FROM orders WHERE NOT EXISTS (
       SELECT 1 FROM order_steps WHERE order_seq = seq AND type IN (4, 5, 6))`,
  );
  const backlogNow = () => open.get()?.count ?? 0;
  const parts: Part[] = [];
  for (let part = 1; part <= PARTS; part += 1) {
    const count = Math.ceil(orders / PARTS);
    const { done } = await load({ system }, { warmUp: 0, orders: count, arrivals: { atOnce } });
    const endedAt = performance.now();
    const backlog = backlogNow();
    await eventually(() => backlogNow() === 0, "the gateway has applied every order", MOST_BACKLOG_MS);
    const perSecond = count / (done.seconds + (performance.now() - endedAt) / 1_000);
    const bytes = serviceNames.reduce((sum, name) => sum + statSync(file(name)).size, 0);
    parts.push({ perSecond, backlog, bytes });
    report(
      `retention: ${part} of ${PARTS}, ${perSecond.toFixed(0)} a second, ${(bytes / 1e6).toFixed(0)} MB`,
    );
  }
  const middle = parts.slice(PARTS / 2, (3 * PARTS) / 4);
  const end = parts.slice((3 * PARTS) / 4);
  const mean = (some: readonly Part[], of: (part: Part) => number) =>
    some.reduce((sum, part) => sum + of(part), 0) / some.length;
  const section = `Retention, ${orders.toLocaleString("en")} orders`;
  const figure = (name: string, unit: string, value: number) => ({
    ...{ section, name, unit },
    values: { store: [value] },
  });
  const early = mean(middle, ({ perSecond }) => perSecond);
  const late = mean(end, ({ perSecond }) => perSecond);
  return [
    figure("orders", "a second", late),
    figure("rate at the end, to that before", "times", late / early),
    figure("disk of the databases", "MB", mean(end, ({ bytes }) => bytes) / 1e6),
    figure(
      "disk at the end, to that before",
      "times",
      mean(end, ({ bytes }) => bytes) / mean(middle, ({ bytes }) => bytes),
    ),
    figure(
      "most orders that the gateway had not applied",
      "orders",
      Math.max(...parts.map(({ backlog }) => backlog)),
    ),
  ];
}
