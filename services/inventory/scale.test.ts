import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Input } from "./domain.ts";
import { carryOut, linesOf, type Shop, servedBy, sqlShop } from "./testing/shop.ts";
import { StatementLog } from "./testing/statements.ts";

const WAITING = 10_000;
/**
 * What one message may ask of the tables while 10,000 orders wait, for each order that it serves and for itself. Each
 * statement finds its rows by an index, and looks at no more than 128 of them.
 */
const STATEMENTS_AN_ORDER = 20;
const STATEMENTS_A_MESSAGE = 40;
/** To look at an order that is not served, and tell it what it lacks. */
const STATEMENTS_A_LOOK = 5;
/** To put so many into a line takes a second or two; on a machine that is busy with something else, longer. */
const LIMIT_MS = 60_000;

const place = (orderId: string, lines: string): Input => ({ kind: "place", orderId, lines: linesOf(lines) });
const restock = (productId: string, quantity: number): Input => ({
  kind: "restock",
  restockId: crypto.randomUUID(),
  productId,
  quantity,
});

/** How orders may stand in line, by their number. None can be served to begin with. */
const queues: Readonly<Record<string, (index: number) => string>> = {
  "all want one product": () => "A1",
  "each wants less than the one before": (index) => `A${WAITING - index}`,
  "one of six pairs": (index) => ["A1 B1", "A1 C1", "A1 D1", "B1 C1", "B1 D1", "C1 D1"][index % 6] ?? "A1",
};

describe.each(Object.entries(queues))("10,000 orders wait: %s", (_, linesOfOrder) => {
  let shop: Shop;
  let log: StatementLog;

  beforeAll(() => {
    const made = sqlShop({ A: 0, B: 0, C: 0, D: 0, FREE: 0 }, (sql) => {
      log = new StatementLog(sql);
    });
    shop = made;
    made.database.sql.run("BEGIN");
    for (let index = 0; index < WAITING; index += 1) carryOut(shop, place(`W${index}`, linesOfOrder(index)));
    made.database.sql.run("COMMIT");
    log.take();
  }, LIMIT_MS);
  afterAll(() => shop.close());

  /** Carries out a message. @returns how many orders it served */
  function measure(input: Input): number {
    const served = servedBy(carryOut(shop, input)).length;
    const ran = log.take();
    expect(ran.length).toBeLessThanOrEqual(STATEMENTS_A_MESSAGE + served * STATEMENTS_AN_ORDER);
    for (const text of new Set(ran)) {
      // To go through a table, or to sort what was found, would be to look at all who wait.
      expect({ text, plan: log.plan(text).filter((step) => !/^SEARCH/.test(step)) }).toEqual({
        text,
        plan: [],
      });
    }
    return served;
  }

  test("a restock that is not enough, one that is, and what comes between", () => {
    for (const productId of ["A", "B", "A", "B", "C", "D"]) measure(restock(productId, 1));
    measure(place("LATE1", "A1"));
    measure(place("LATE2", "A2 B1"));
    measure({ kind: "cancel", orderId: "W5000" });
    measure({ kind: "cancel", orderId: "W0" });
    measure(restock("A", 50));
    measure(place("LATE3", "A1"));
    measure({ kind: "cancel", orderId: "LATE1" });
    measure(restock("B", 50));
    measure({ kind: "cancel", orderId: "LATE2" });
    measure({ kind: "cancel", orderId: "W1" });
  });

  test(
    "one restock serves as many as it can",
    () => {
      let served = 0;
      for (const productId of ["A", "B", "C", "D"]) served += measure(restock(productId, 10_000));
      expect(served).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

test(
  "every order waits for another set of products: each is looked at no more than once a message",
  () => {
    const sets = 1_000;
    const others = Array.from("CDEFGHIJKL");
    const onHand = Object.fromEntries(
      ["A", "B", ...others].map((name) => [name, /[AB]/.test(name) ? 0 : sets]),
    );
    let log: StatementLog | undefined;
    const shop = sqlShop(onHand, (sql) => {
      log = new StatementLog(sql);
    });
    for (let index = 0; index < sets; index += 1) {
      const more = others.filter((_, bit) => (index >> bit) % 2 === 1).map((name) => ` ${name}1`);
      carryOut(shop, place(`W${index}`, `A1 B1${more.join("")}`));
    }
    log?.take();
    // What they lack goes to and fro between the two.
    for (const productId of ["A", "B", "B", "A", "A", "B"]) {
      carryOut(shop, restock(productId, 1));
      expect(log?.take().length).toBeLessThanOrEqual(STATEMENTS_A_MESSAGE + sets * STATEMENTS_A_LOOK);
    }
    shop.close();
  },
  LIMIT_MS,
);
