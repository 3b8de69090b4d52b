import { type Line, StockReserved } from "@distributed-messaging/contracts";
import {
  type DataOf,
  migrate,
  openDatabase,
  type ServiceDatabase,
  type Transaction,
} from "@distributed-messaging/messaging";
import { type Books, type Decision, decide, type Input, type Stock } from "../domain.ts";
import { migrations } from "../migrations/index.ts";
import { InventoryStore } from "../store.ts";
import { MemoryBooks } from "./memory-books.ts";

/** An inventory without its surroundings: decisions are taken and carried out, and nobody is told. */
export interface Shop {
  readonly books: Books;
  saveStock(stock: Stock): void;
  close(): void;
}

/** @param onHand what there is of each product to begin with */
export function memoryShop(onHand: Readonly<Record<string, number>>): Shop {
  const books = new MemoryBooks(onHand);
  return { books, saveStock: (stock) => void books.stocks.set(stock.productId, stock), close() {} };
}

/**
 * The same on the service's own tables.
 *
 * @param watch is given the database before anything is prepared on it
 */
export function sqlShop(
  onHand: Readonly<Record<string, number>>,
  watch: (sql: ServiceDatabase["sql"]) => void = () => {},
): Shop & { database: ServiceDatabase } {
  const database = openDatabase(":memory:");
  watch(database.sql);
  migrate(database, "inventory", migrations);
  const store = new InventoryStore(database);
  // Nothing in these stores asks the transaction for more than the time.
  const transaction = { now: 0 } as Transaction;
  const price = { amount: 100, currency: "EUR" };
  const saveStock = (stock: Stock) => void store.saveProduct({ name: "thing", price, ...stock }, transaction);
  for (const [productId, count] of Object.entries(onHand))
    saveStock({ productId, onHand: count, reserved: 0 });
  return { database, books: store.books(transaction), saveStock, close: () => database.close() };
}

export function carryOut(shop: Shop, input: Input): Decision {
  const decision = decide(input, shop.books);
  for (const stock of decision.changed) shop.saveStock(stock);
  return decision;
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
