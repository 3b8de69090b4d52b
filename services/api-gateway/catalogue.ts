import type { Money, ProductWithdrawn, StockChanged } from "@distributed-messaging/contracts";
import type { DataOf, ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { and, eq, sql } from "drizzle-orm";
import { currentGeneration, products } from "./tables.ts";

export interface CatalogueEntry {
  readonly productId: string;
  readonly name: string;
  readonly price: Money;
  readonly available: number;
}

/** The gateway's own copy of what is sold, so that it can show and price it while the inventory is down. */
export class Catalogue {
  readonly #statements;

  constructor(database: ServiceDatabase) {
    this.#statements = prepare(database);
  }

  all(): CatalogueEntry[] {
    return this.#statements.all.all();
  }

  find(productId: string): CatalogueEntry | undefined {
    return this.#statements.find.get({ productId });
  }

  priceOf(productId: string): Money | undefined {
    return this.find(productId)?.price;
  }

  /** Only ever forwards: an older state that arrives late changes nothing. */
  save(product: DataOf<typeof StockChanged>, _transaction: Transaction): void {
    this.#statements.save.run(product);
  }

  withdraw(product: DataOf<typeof ProductWithdrawn>, _transaction: Transaction): void {
    this.#statements.withdraw.run(product);
  }
}

function prepare({ orm }: ServiceDatabase) {
  const productId = sql.placeholder("productId");
  const shown = {
    productId: products.productId,
    name: products.name,
    price: products.price,
    available: products.available,
  };
  const isSold = eq(products.withdrawn, false);
  const copied = { productId, version: sql.placeholder("version"), generation: currentGeneration };
  // The same version again says the same, unless the copy was damaged: then it is mended.
  const setWhere = sql`excluded.version >= ${products.version}`;
  return {
    all: orm.select(shown).from(products).where(isSold).orderBy(products.productId).prepare(),
    find: orm
      .select(shown)
      .from(products)
      .where(and(eq(products.productId, productId), isSold))
      .prepare(),
    save: orm
      .insert(products)
      .values({
        ...copied,
        name: sql.placeholder("name"),
        price: sql.placeholder("price"),
        available: sql.placeholder("available"),
        withdrawn: false,
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: excluded(products, "name", "price", "available", "version", "withdrawn", "generation"),
        setWhere,
      })
      .prepare(),
    withdraw: orm
      .insert(products)
      .values({
        ...copied,
        name: "",
        price: { amount: 0, currency: "XXX" },
        available: 0,
        withdrawn: true,
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: { ...excluded(products, "version", "generation"), withdrawn: sql`1` },
        setWhere,
      })
      .prepare(),
  };
}
