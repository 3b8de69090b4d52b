import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Input, Moment } from "./domain.ts";
import { carryOut, type LedgerFixture, linesOf, onTables, servedBy, UNLIMITED } from "./testing/fixture.ts";
import { StatementLog } from "./testing/statement-log.ts";

const WAITING = 10_000;
/**
 * The most statements of one message while 10,000 orders wait, and the most for each order that it serves, or whose
 * priority has ended before it. Each statement finds its rows by an index.
 */
const STATEMENTS_PER_MESSAGE = 50;
const STATEMENTS_PER_SERVED_ORDER = 15;
const STATEMENTS_PER_ENDED_PRIORITY = 40;
/** Long enough for a busy machine. */
const LIMIT_MS = 60_000;

const place = (orderId: string, lines: string): Input => ({
  kind: "place",
  orderId,
  customerId: `CUSTOMER_OF_${orderId}`,
  lines: linesOf(lines),
});
const cancel = (orderId: string): Input => ({ kind: "cancel", orderId });
const restock = (productId: string, quantity: number): Input => ({
  kind: "restock",
  restockId: crypto.randomUUID(),
  productId,
  quantity,
});

/** When the first half of the orders begins to wait, when the second half does, and when the priority of the first ends. */
const FIRST: Moment = { now: 0, policy: { ...UNLIMITED.policy, priorityMs: 10 } };
const SECOND: Moment = { ...FIRST, now: 5 };
const LATER: Moment = { ...FIRST, now: 10 };

const OTHERS = Array.from("CDEFGHIJKLMNOP");

/** The lines of each waiting order, by its number. None can be served at the beginning. */
const queues: Readonly<Record<string, (index: number) => string>> = {
  "all ask for one product": () => "A1",
  "each asks for less than the one before": (index) => `A${WAITING - index}`,
  "one of six pairs": (index) => ["A1 B1", "A1 C1", "A1 D1", "B1 C1", "B1 D1", "C1 D1"][index % 6] ?? "A1",
  "every product set differs, two products are scarce": (index) =>
    ["A1 B1", ...OTHERS.filter((_, bit) => (index >> bit) % 2 === 1).map((name) => `${name}1`)].join(" "),
};

/** One of them without the slow tests. */
const shown = Object.entries(queues).filter(
  ([name]) => process.env.SLOW_TESTS === "true" || name === "one of six pairs",
);

describe.each(shown)("10,000 orders wait: %s", (name, linesOfOrder) => {
  let fixture: LedgerFixture;
  let log: StatementLog;

  beforeAll(() => {
    const plenty = name.startsWith("every") ? WAITING : 0;
    const onHand = { A: 0, B: 0, ...Object.fromEntries(OTHERS.map((product) => [product, plenty])) };
    const made = onTables(onHand, (sql) => {
      log = new StatementLog(sql);
    });
    fixture = made;
    made.database.sql.run("BEGIN");
    for (let index = 0; index < WAITING; index += 1) {
      carryOut(fixture, place(`W${index}`, linesOfOrder(index)), index < WAITING / 2 ? FIRST : SECOND);
    }
    made.database.sql.run("COMMIT");
    log.take();
  }, LIMIT_MS);
  afterAll(() => fixture.close());

  /** Handles an input. @returns how many orders it served */
  function measure(input: Input, moment = SECOND): number {
    const served = servedBy(carryOut(fixture, input, moment)).length;
    check(served * STATEMENTS_PER_SERVED_ORDER);
    return served;
  }

  /** @param forOrders how many statements may have run for single orders */
  function check(forOrders: number): void {
    const ran = log.take();
    expect(ran.length).toBeLessThanOrEqual(STATEMENTS_PER_MESSAGE + forOrders);
    for (const text of new Set(ran)) {
      // A scan of a table, or a sort, would read all waiting orders. The limits, of json_each, are a parameter.
      const allowed = /^SEARCH|SUBQUERY|^SCAN json_each|^(SCAN|MATERIALIZE) limits/;
      const steps = log.plan(text).filter((step) => !allowed.test(step));
      expect({ text, steps }).toEqual({ text, steps: [] });
    }
  }

  test("a restock that is not enough, one that is, new orders and cancellations", () => {
    for (const productId of ["A", "B", "A", "B", "C", "D"]) measure(restock(productId, 1));
    measure(place("LATE1", "A1"));
    measure(place("LATE2", "A2 B1"));
    measure(cancel("W5000"));
    measure(cancel("W0"));
    measure(restock("A", 50));
    measure(place("LATE3", "A1"));
    measure(cancel("LATE1"));
    measure(restock("B", 50));
    measure(cancel("LATE2"));
    measure(cancel("W1"));
  });

  test(
    "the priority of half of them ends at the same time",
    () => {
      const served = servedBy(carryOut(fixture, undefined, LATER)).length;
      check((WAITING / 2) * STATEMENTS_PER_ENDED_PRIORITY + served * STATEMENTS_PER_SERVED_ORDER);
      expect(fixture.ledger.firstPriority()?.priorityUntil).toBe(SECOND.now + SECOND.policy.priorityMs);
    },
    LIMIT_MS,
  );

  test(
    "one restock serves as many as it can",
    () => {
      let served = 0;
      for (const productId of ["A", "B", "C", "D"]) served += measure(restock(productId, 10_000), LATER);
      expect(served).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});
