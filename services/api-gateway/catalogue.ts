import type { DataOf, Money, ProductWithdrawn, StockChanged } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { and, eq, sql } from "drizzle-orm";
import { products, rebuild } from "./tables.ts";

export interface CatalogueEntry {
  readonly productId: string;
  readonly name: string;
  readonly price: Money;
  readonly available: number;
}

/** The generation that is whole, of `rebuildMigration`: the one that is read. */
const isRead = sql`generation = (SELECT complete FROM rebuild)`;

/**
 * The gateway's own copy of what is sold, so that it can show and price it while the inventory is down. While it is
 * made anew, the new one grows beside the one that is read: on the way, it holds states of long ago.
 */
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
    for (const generation of this.#written()) this.#statements.save.run({ ...product, generation });
  }

  withdraw(product: DataOf<typeof ProductWithdrawn>, _transaction: Transaction): void {
    for (const generation of this.#written()) this.#statements.withdraw.run({ ...product, generation });
  }

  #written(): Set<number> {
    const row = this.#statements.generations.get();
    return new Set(row === undefined ? [] : [row.complete, row.generation]);
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
  const identity = {
    generation: sql.placeholder("generation"),
    productId,
    version: sql.placeholder("version"),
  };
  const target = [products.generation, products.productId];
  const setWhere = sql`excluded.version > ${products.version}`;
  return {
    generations: orm.select().from(rebuild).prepare(),
    all: orm
      .select(shown)
      .from(products)
      .where(and(isRead, eq(products.withdrawn, false)))
      .orderBy(products.productId)
      .prepare(),
    find: orm
      .select(shown)
      .from(products)
      .where(and(isRead, eq(products.productId, productId), eq(products.withdrawn, false)))
      .prepare(),
    save: orm
      .insert(products)
      .values({
        ...identity,
        name: sql.placeholder("name"),
        price: sql.placeholder("price"),
        available: sql.placeholder("available"),
        withdrawn: false,
      })
      .onConflictDoUpdate({
        target,
        set: {
          name: sql`excluded.name`,
          price: sql`excluded.price`,
          available: sql`excluded.available`,
          version: sql`excluded.version`,
          withdrawn: sql`0`,
        },
        setWhere,
      })
      .prepare(),
    withdraw: orm
      .insert(products)
      .values({
        ...identity,
        name: "",
        price: { amount: 0, currency: "XXX" },
        available: 0,
        withdrawn: true,
      })
      .onConflictDoUpdate({
        target,
        set: { version: sql`excluded.version`, withdrawn: sql`1` },
        setWhere,
      })
      .prepare(),
  };
}
