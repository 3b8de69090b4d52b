import { expect, test } from "bun:test";
import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import { timelineOf } from "./timeline-messages.ts";

const record = (id: string, type: string, source: string, time: string): RecordReport => ({
  topic: "t",
  partition: 0,
  offset: 0,
  key: "A",
  at: 0,
  value: JSON.stringify({ id, type, source, time }),
});
const history = [
  { at: "2026-01-01T00:00:00.000Z", type: "store.order.place.v1", service: "api-gateway" },
  { at: "2026-01-01T00:00:00.030Z", type: "store.order.confirmed.v1", service: "order" },
];
const order = {
  orderId: "A",
  customerId: "C",
  status: "confirmed",
  items: [],
  total: { amount: 0, currency: "EUR" },
  placedAt: "",
  updatedAt: "",
  history,
} as const;

test("without records the timeline is the history", () => {
  expect(timelineOf(order, []).map(({ type, tookMs, first }) => ({ type, tookMs, first }))).toEqual([
    { type: "store.order.place.v1", tookMs: 0, first: true },
    { type: "store.order.confirmed.v1", tookMs: 30, first: false },
  ]);
});

test("records of other messages are inserted by time, and duplicates are counted", () => {
  const records = [
    record("1", "store.order.place.v1", "api-gateway", "2026-01-01T00:00:00.000Z"),
    record("2", "store.stock.reserved.v1", "inventory", "2026-01-01T00:00:00.020Z"),
    record("2", "store.stock.reserved.v1", "inventory", "2026-01-01T00:00:00.020Z"),
    { ...record("3", "", "", ""), value: "not JSON" },
    { ...record("4", "", "", ""), value: null },
  ];
  expect(timelineOf(order, records).map(({ type, tookMs, copies }) => [type, tookMs, copies])).toEqual([
    ["store.order.place.v1", 0, 1],
    ["store.stock.reserved.v1", 20, 2],
    ["store.order.confirmed.v1", 10, 1],
  ]);
});
