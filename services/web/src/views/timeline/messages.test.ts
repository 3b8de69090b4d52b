import { expect, test } from "bun:test";
import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import { timelineOf, travelsOf, waitsOf } from "./messages.ts";

const START = Date.parse("2026-01-01T00:00:00.000Z");
/** A record of a message that was emitted and stored so many milliseconds after the start. */
const record = (
  id: string,
  type: string,
  source: string,
  [emitted, stored]: readonly [number, number],
  causationid = "",
): RecordReport => ({
  ...{ topic: "t", partition: 0, offset: 0, key: "A", at: START + stored },
  value: JSON.stringify({ id, type, source, time: new Date(START + emitted).toISOString(), causationid }),
});
const entry = (type: string, service: string, at: number) => ({
  at: new Date(START + at).toISOString(),
  type,
  service,
});
const history = [
  entry("store.order.place.v1", "api-gateway", 0),
  entry("store.order.confirmed.v1", "order", 30),
];
const place = record("1", "store.order.place.v1", "api-gateway", [0, 2]);
const placed = record("2", "store.order.placed.v1", "order/2", [9, 10], "1");
const reserved = record("3", "store.stock.reserved.v1", "inventory", [20, 21], "2");

/** What is waited for, with times since the start. */
function waits(status: Parameters<typeof waitsOf>[0]["status"], records: RecordReport[], known = true) {
  const messages = timelineOf({ history: status === "confirmed" ? history : history.slice(0, 1) }, records);
  return waitsOf({ status }, travelsOf({ status }, messages, known)).map(
    ({ key, kind, lane, from, to }) =>
      `${key} ${kind} ${lane} ${from - START} ${to === undefined ? "now" : to - START}`,
  );
}

test("without records the timeline is the history", () => {
  expect(timelineOf({ history }, []).map(({ type, at, records }) => [type, at - START, records])).toEqual([
    ["store.order.place.v1", 0, []],
    ["store.order.confirmed.v1", 30, []],
  ]);
});

test("records of other messages are inserted by time, and all records of a message belong to it", () => {
  const again = { ...reserved, at: START + 500, offset: 7 };
  const records = [
    place,
    reserved,
    again,
    { ...reserved, value: "not JSON" },
    { ...reserved, value: "[]" },
    { ...reserved, value: null },
    { ...reserved, value: reserved.value?.replace(/"time":"[^"]*"/, '"time":"yesterday"') ?? null },
  ];
  expect(timelineOf({ history }, records).map((message) => [message.type, message.records])).toEqual([
    ["store.order.place.v1", [place]],
    ["store.stock.reserved.v1", [reserved, again]],
    ["store.order.confirmed.v1", []],
  ]);
});

test("a message waits in the outbox until it is stored, and at the broker until its effect is emitted", () => {
  const confirmed = record("4", "store.order.confirmed.v1", "order", [30, 31], "3");
  expect(waits("confirmed", [place, placed, reserved, confirmed])).toEqual([
    "1 outbox api-gateway 0 2",
    "1 broker broker 2 9",
    "2 outbox order 9 10",
    "2 broker broker 10 20",
    "3 outbox inventory 20 21",
    "3 broker broker 21 30",
    // Nothing is known of when the notification service handled it.
    "4 outbox order 30 31",
  ]);
});

test("what nobody has handled yet waits until now, in the outbox or at the broker", () => {
  expect(waits("accepted", [])).toEqual(["0 outbox api-gateway 0 now"]);
  expect(waits("accepted", [], false)).toEqual(["0 broker broker 0 now"]);
  expect(waits("accepted", [place])).toEqual(["1 outbox api-gateway 0 2", "1 broker broker 2 now"]);
  // The gateway has received it, so it was at the broker.
  const received = entry("store.order.placed.v1", "order", 9);
  const messages = timelineOf({ history: [...history.slice(0, 1), received] }, []);
  const pending = travelsOf({ status: "pending" }, messages, true);
  expect(waitsOf({ status: "pending" }, pending).map(({ kind, to }) => [kind, to])).toEqual([
    ["broker", START + 9],
    ["broker", undefined],
  ]);
  expect(waits("pending", [place, placed])).toEqual([
    "1 outbox api-gateway 0 2",
    "1 broker broker 2 9",
    "2 outbox order 9 10",
    "2 broker broker 10 now",
  ]);
});

test("an order waits for stock until the inventory reserves it, or the order is cancelled", () => {
  const short = record("s", "store.stock.short.v1", "inventory", [20, 21], "2");
  const waiting = record("b", "store.order.backordered.v1", "order", [25, 26], "s");
  const inStock = (records: RecordReport[], status: "backordered" | "cancelled" | "confirmed") =>
    waits(status, [place, placed, short, waiting, ...records]).filter((wait) => wait.includes(" stock "));
  expect(inStock([], "backordered")).toEqual(["s stock inventory 20 now"]);
  const late = record("3", "store.stock.reserved.v1", "inventory", [900, 901], "restock");
  expect(inStock([late], "confirmed")).toEqual(["s stock inventory 20 900"]);
  const cancelled = record("c", "store.order.cancelled.v1", "order", [700, 701], "x");
  expect(inStock([cancelled], "cancelled")).toEqual(["s stock inventory 20 700"]);
  // The order service has handled what it waits for: only the stock is missing.
  expect(
    waits("backordered", [place, placed, short, waiting]).filter((wait) => wait.endsWith("now")),
  ).toEqual(["s stock inventory 20 now"]);
});

test("where clocks differ no message precedes its cause, and no wait is negative", () => {
  const early = record("2", "store.order.placed.v1", "order", [-40, -39], "1");
  expect(waits("confirmed", [{ ...place, at: START - 3 }, early])).toEqual([
    "1 broker broker 0 0",
    "2 outbox order -40 -39",
  ]);
});
