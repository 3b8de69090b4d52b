import { describe, expect, test } from "bun:test";
import { allMessages } from "@distributed-messaging/contracts";
import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import { pathOf } from "@distributed-messaging/web/src/parts/chart";
import { duration, money, plural } from "@distributed-messaging/web/src/parts/format";
import { messageWords } from "@distributed-messaging/web/src/parts/messages";
import { percentile } from "@distributed-messaging/web/src/state/meter";
import { merge } from "@distributed-messaging/web/src/views/timeline-steps";
import { bundlePage } from "./bundle.ts";
import { pageHtml } from "./document.ts";

describe("the bundle", () => {
  test("is small, and the same each time", async () => {
    const settings = { notificationPort: 1, demoSignIn: true };
    const [one, other] = await Promise.all([bundlePage(settings), bundlePage(settings)]);
    const weigh = ({ html, assets }: typeof one) =>
      [html, ...assets.values()].reduce((sum, { bodies }) => sum + bodies.br.byteLength, 0);
    // All that is loaded must be less than 100 kB; what the services answer is a small part of it.
    expect(weigh(one)).toBeLessThan(60_000);
    expect([...one.assets.keys()]).toEqual([...other.assets.keys()]);
    expect([...one.assets.keys()].map((name) => name.replace(/-\w+\./, "."))).toEqual(
      expect.arrayContaining(["main.js", "main.css", "icon.svg"]),
    );
    const script = new TextDecoder().decode(
      [...one.assets].find(([name]) => name.endsWith(".js"))?.[1].bodies.identity,
    );
    // The contracts' schemas stay at home: the page shares their types only.
    expect(script).not.toContain("TypeBox");
  });

  test("settings cannot break out of the document", () => {
    const html = pageHtml(
      { notificationPort: 1, demoSignIn: true, ["x" as never]: '"><script>alert(1)</script>' as never },
      { script: "s", style: "t", icon: "i" },
    );
    expect(html).not.toContain("<script>");
  });
});

test("what the page says of messages is what the contracts say", () => {
  // The others are not about an order, and a timeline never shows them.
  for (const { type, topic } of allMessages.filter(({ topic }) => topic.key === "orderId")) {
    expect({ type, topic: messageWords[type]?.topic }).toEqual({ type, topic: topic.name });
  }
});

describe("the timeline", () => {
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

  test("is the history alone where nothing else is known", () => {
    expect(merge(order, []).map(({ type, tookMs, first }) => ({ type, tookMs, first }))).toEqual([
      { type: "store.order.place.v1", tookMs: 0, first: true },
      { type: "store.order.confirmed.v1", tookMs: 30, first: false },
    ]);
  });

  test("has each message once, with what only the broker knows in its place, and counts copies", () => {
    const records = [
      record("1", "store.order.place.v1", "api-gateway", "2026-01-01T00:00:00.000Z"),
      record("2", "store.stock.reserved.v1", "inventory", "2026-01-01T00:00:00.020Z"),
      record("2", "store.stock.reserved.v1", "inventory", "2026-01-01T00:00:00.020Z"),
      { ...record("3", "", "", ""), value: "not JSON" },
      { ...record("4", "", "", ""), value: null },
    ];
    expect(merge(order, records).map(({ type, tookMs, copies }) => [type, tookMs, copies])).toEqual([
      ["store.order.place.v1", 0, 1],
      ["store.stock.reserved.v1", 20, 2],
      ["store.order.confirmed.v1", 10, 1],
    ]);
  });
});

test("amounts are written in their currency's own units", () => {
  expect(money({ amount: 123_456, currency: "EUR" })).toContain("1,234.56");
  expect(money({ amount: 500, currency: "JPY" })).toContain("500");
  expect(money({ amount: 1_000_000_000_000_000, currency: "EUR" })).toContain("10,000,000,000,000.00");
});

test("durations and counts are short", () => {
  expect([0, 999, 1_000, 59_900, 61_000].map(duration)).toEqual([
    "0 ms",
    "999 ms",
    "1.0 s",
    "59.9 s",
    "1 min 1 s",
  ]);
  expect([plural(1, "order"), plural(0, "order"), plural(2, "is", "are")]).toEqual([
    "1 order",
    "0 orders",
    "2 are",
  ]);
});

test("percentiles are by nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect([
    percentile(hundred, 0.5),
    percentile(hundred, 0.99),
    percentile([7], 0.99),
    percentile([], 0.5),
  ]).toEqual([50, 99, 7, undefined]);
});

test("a line has gaps where nothing is known, and ends at the right", () => {
  expect(pathOf([], 3, 10)).toBe("");
  expect(pathOf([0, 10, null, 5], 4, 10)).toBe("M0.0 94.0L100.0 2.0M300.0 48.0");
});
