import type { Line, Money } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { eq, sql } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { Stock } from "./domain.ts";

const products = sqliteTable("products", {
  productId: text("product_id").primaryKey(),
  name: text("name").notNull(),
  price: text("price", { mode: "json" }).$type<Money>().notNull(),
  onHand: integer("on_hand").notNull(),
  reserved: integer("reserved").notNull(),
  version: integer("version").notNull(),
});

const reservations = sqliteTable("reservations", {
  arrival: integer("arrival").primaryKey({ autoIncrement: true }),
  orderId: text("order_id").notNull(),
  status: text("status").$type<ReservationStatus>().notNull(),
  lines: text("lines", { mode: "json" }).$type<readonly Line[]>().notNull(),
});

const productVersions = sqliteTable("product_versions", {
  singleton: integer("singleton").primaryKey(),
  last: integer("last").notNull(),
});

export interface Product extends Stock {
  readonly name: string;
  readonly price: Money;
  readonly version: number;
}

export type ReservationStatus = "reserved" | "waiting" | "rejected";

/** Stock and reservations. Writing takes the transaction that it happens in. */
export class InventoryStore {
  readonly #product;
  readonly #products;
  readonly #saveProduct;
  readonly #nextVersion;
  readonly #reservation;
  readonly #saveReservation;
  readonly #orm;

  constructor({ orm }: ServiceDatabase) {
    this.#orm = orm;
    this.#product = orm
      .select()
      .from(products)
      .where(eq(products.productId, sql.placeholder("productId")))
      .prepare();
    this.#products = orm.select().from(products).orderBy(products.productId).prepare();
    this.#saveProduct = orm
      .insert(products)
      .values({
        productId: sql.placeholder("productId"),
        name: sql.placeholder("name"),
        price: sql.placeholder("price"),
        onHand: sql.placeholder("onHand"),
        reserved: sql.placeholder("reserved"),
        version: sql.placeholder("version"),
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: {
          name: sql`excluded.name`,
          price: sql`excluded.price`,
          onHand: sql`excluded.on_hand`,
          reserved: sql`excluded.reserved`,
          version: sql`excluded.version`,
        },
      })
      .prepare();
    this.#nextVersion = orm
      .update(productVersions)
      .set({ last: sql`${productVersions.last} + 1` })
      .returning({ last: productVersions.last })
      .prepare();
    this.#reservation = orm
      .select({ status: reservations.status })
      .from(reservations)
      .where(eq(reservations.orderId, sql.placeholder("orderId")))
      .prepare();
    this.#saveReservation = orm
      .insert(reservations)
      .values({
        orderId: sql.placeholder("orderId"),
        status: sql.placeholder("status"),
        lines: sql.placeholder("lines"),
      })
      .prepare();
  }

  product(productId: string): Product | undefined {
    return this.#product.get({ productId });
  }

  products(): Product[] {
    return this.#products.all();
  }

  /** Saves a product under the next version. @returns it with that version */
  saveProduct(product: Omit<Product, "version">, _transaction: Transaction): Product {
    const saved = { ...product, version: this.#takeVersion() };
    this.#saveProduct.run(saved);
    return saved;
  }

  reservationStatus(orderId: string): ReservationStatus | undefined {
    return this.#reservation.get({ orderId })?.status;
  }

  saveReservation(
    orderId: string,
    status: ReservationStatus,
    lines: readonly Line[],
    _transaction: Transaction,
  ): void {
    this.#saveReservation.run({ orderId, status, lines });
  }

  /** Forgets every product and reservation. @returns what was sold, and the version of its withdrawal */
  clear(_transaction: Transaction): { productId: string; version: number }[] {
    const withdrawn = this.products().map(({ productId }) => ({ productId, version: this.#takeVersion() }));
    this.#orm.delete(reservations).run();
    this.#orm.delete(products).run();
    return withdrawn;
  }

  #takeVersion(): number {
    const row = this.#nextVersion.get();
    if (row === undefined) throw new Error("product_versions has lost its row");
    return row.last;
  }
}
