import type { DataOf, Money, ProductWithdrawn, StockChanged } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { and, eq, sql } from "drizzle-orm";
import { products } from "./tables.ts";

export interface CatalogueEntry {
  readonly productId: string;
  readonly name: string;
  readonly price: Money;
  readonly available: number;
}

/** The gateway's own copy of what is sold, so that it can show and price it while the inventory is down. */
export class Catalogue {
  readonly #all;
  readonly #price;
  readonly #save;
  readonly #withdraw;

  constructor({ orm }: ServiceDatabase) {
    const productId = sql.placeholder("productId");
    this.#all = orm
      .select({
        productId: products.productId,
        name: products.name,
        price: products.price,
        available: products.available,
      })
      .from(products)
      .where(eq(products.withdrawn, false))
      .orderBy(products.productId)
      .prepare();
    this.#price = orm
      .select({ price: products.price })
      .from(products)
      .where(and(eq(products.productId, productId), eq(products.withdrawn, false)))
      .prepare();
    // Only ever forwards: an older state that arrives late changes nothing.
    this.#save = orm
      .insert(products)
      .values({
        productId,
        name: sql.placeholder("name"),
        price: sql.placeholder("price"),
        available: sql.placeholder("available"),
        version: sql.placeholder("version"),
        withdrawn: false,
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: {
          name: sql`excluded.name`,
          price: sql`excluded.price`,
          available: sql`excluded.available`,
          version: sql`excluded.version`,
          withdrawn: sql`0`,
        },
        setWhere: sql`excluded.version > ${products.version}`,
      })
      .prepare();
    this.#withdraw = orm
      .insert(products)
      .values({
        productId,
        name: "",
        price: { amount: 0, currency: "XXX" },
        available: 0,
        version: sql.placeholder("version"),
        withdrawn: true,
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: { version: sql`excluded.version`, withdrawn: sql`1` },
        setWhere: sql`excluded.version > ${products.version}`,
      })
      .prepare();
  }

  all(): CatalogueEntry[] {
    return this.#all.all();
  }

  priceOf(productId: string): Money | undefined {
    return this.#price.get({ productId })?.price;
  }

  save(product: DataOf<typeof StockChanged>, _transaction: Transaction): void {
    this.#save.run(product);
  }

  withdraw(product: DataOf<typeof ProductWithdrawn>, _transaction: Transaction): void {
    this.#withdraw.run(product);
  }
}
