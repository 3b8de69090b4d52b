import { type Line, StockReserved } from "@distributed-messaging/contracts";
import { type DataOf, migrate, openDatabase, type ServiceDatabase } from "@distributed-messaging/messaging";
import fc from "fast-check";
import { type Decision, decisionsOn, type Input, type Moment, type StockLedger } from "../domain.ts";
import { migrations } from "../migrations/index.ts";
import { InventoryStore } from "../store.ts";
import { MemoryLedger } from "./memory-ledger.ts";

/** A ledger with what stores decisions in it. */
export interface LedgerFixture {
  readonly ledger: StockLedger;
  save(decision: Decision, now: number): void;
  close(): void;
}

/** @param onHand the stock of each product */
export function inMemory(onHand: Readonly<Record<string, number>>): LedgerFixture {
  const ledger = new MemoryLedger(onHand);
  return { ledger, save: (decision) => ledger.save(decision), close() {} };
}

/**
 * The same on the tables of the service.
 *
 * @param prepared is given the database before any statement is prepared
 */
export function onTables(
  onHand: Readonly<Record<string, number>>,
  prepared: (sql: ServiceDatabase["sql"]) => void = () => {},
): LedgerFixture & { readonly database: ServiceDatabase } {
  const database = openDatabase(":memory:");
  prepared(database.sql);
  migrate(database, "inventory", migrations);
  const store = new InventoryStore(database);
  const price = { amount: 100, currency: "EUR" };
  for (const [productId, count] of Object.entries(onHand)) {
    store.saveProduct({ productId, name: productId, price, onHand: count, reserved: 0 });
  }
  const save = (decision: Decision, now: number) => {
    store.save(decision, { now });
    store.changeStock(decision.stock);
  };
  return { database, ledger: store, save, close: () => database.close() };
}

/** Long before the priority of any order ends, and nothing is limited. */
export const UNLIMITED: Moment = {
  now: 0,
  policy: { priorityMs: 1, priorityQuantity: Number.POSITIVE_INFINITY, maxWaiting: Number.POSITIVE_INFINITY },
};

/** Decides and saves. @returns the decision on the input, with the messages of all decisions */
export function carryOut(
  { ledger, save }: LedgerFixture,
  input: Input | undefined,
  moment = UNLIMITED,
): Decision {
  let all: Decision = { reservations: [], left: [], stock: [], messages: [] };
  for (const decision of decisionsOn(input, ledger, moment)) {
    save(decision, moment.now);
    all = { ...decision, messages: [...all.messages, ...decision.messages] };
  }
  return all;
}

/** The orders that a decision serves, in order. */
export function servedBy({ messages }: Decision): string[] {
  return messages
    .filter(({ definition }) => definition === StockReserved)
    .map(({ data }) => (data as DataOf<typeof StockReserved>).orderId);
}

/** `A2 B1` → two of A and one of B. */
export function linesOf(text: string): Line[] {
  return text.split(" ").map((line) => ({ productId: line.charAt(0), quantity: Number(line.slice(1)) }));
}

/** The lines of any order: some of these products, and rarely one that is not sold. */
export function anyLines(products: readonly string[], quantity: fc.Arbitrary<number>): fc.Arbitrary<Line[]> {
  const productId = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...products) },
    { weight: 1, arbitrary: fc.constant("UNSOLD") },
  );
  return fc
    .uniqueArray(productId, { minLength: 1, maxLength: products.length })
    .chain((chosen) =>
      fc.tuple(
        ...chosen.map((product) => quantity.map((count) => ({ productId: product, quantity: count }))),
      ),
    );
}
