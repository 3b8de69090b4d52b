import { expect, test } from "bun:test";
import type { ProductWithdrawn, StockChanged } from "@distributed-messaging/contracts";
import { type DataOf, migrate, openDatabase, type Transaction } from "@distributed-messaging/messaging";
import { Catalogue, type CatalogueEntry } from "./catalogue.ts";
import { migrations } from "./migrations/index.ts";

/** Nothing here asks the transaction for anything. */
const transaction = {} as Transaction;

const cup = { productId: "CUP", name: "Cup" };
const eur = (amount: number) => ({ amount, currency: "EUR" });

type Told = DataOf<typeof StockChanged> | DataOf<typeof ProductWithdrawn>;

/** What the inventory has told of a product, by its versions: sold, dearer, withdrawn, sold again. */
const told: readonly Told[] = [
  { ...cup, price: eur(1000), available: 5, version: 1 },
  { ...cup, price: eur(1200), available: 4, version: 2 },
  { productId: "CUP", version: 3 },
  { ...cup, price: eur(900), available: 7, version: 7 },
];

function* permutations<T>(things: readonly T[]): Iterable<T[]> {
  if (things.length === 0) yield [];
  for (const [index, thing] of things.entries())
    for (const others of permutations(things.toSpliced(index, 1))) yield [thing, ...others];
}

/** How a product is to be shown, after the latest that was told of it. */
function shown(latest: Told | undefined): CatalogueEntry | undefined {
  if (latest === undefined || !("price" in latest)) return undefined;
  const { version: _, ...entry } = latest;
  return entry;
}

test("shows a product as its latest version has it, in whichever order the versions come, and if they come twice", () => {
  for (const inOrder of permutations(told)) {
    const messages = inOrder.flatMap((message, index) => [message, ...inOrder.slice(0, index + 1)]);
    const database = openDatabase(":memory:");
    migrate(database, "api-gateway", migrations);
    const catalogue = new Catalogue(database);
    let latest: Told | undefined;
    for (const message of messages) {
      if ("price" in message) catalogue.save(message, transaction);
      else catalogue.withdraw(message, transaction);
      if (message.version >= (latest?.version ?? 0)) latest = message;
      expect({ messages, product: catalogue.find("CUP") }).toEqual({ messages, product: shown(latest) });
      expect(catalogue.all()).toEqual([shown(latest) ?? []].flat());
    }
    database.close();
  }
});
