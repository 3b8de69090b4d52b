import type { Money } from "@distributed-messaging/contracts";
import type { ServiceDatabase, Transaction } from "@distributed-messaging/messaging";
import { excluded } from "@distributed-messaging/messaging/drizzle";
import { eq, sql } from "drizzle-orm";
import type { Books, Reservation, Stock, Waiting } from "./books.ts";
import { products, productVersions, reservations, restockings } from "./tables.ts";
import { WaitingLine } from "./waiting-line.ts";

export interface Product extends Stock {
  readonly name: string;
  readonly price: Money;
  readonly version: number;
}

export type ReservationStatus = Reservation["status"];

/** Stock, reservations and the line in which orders wait. Writing takes the transaction that it happens in. */
export class InventoryStore {
  readonly #orm;
  readonly #line: WaitingLine;
  readonly #statements;

  constructor(database: ServiceDatabase) {
    this.#orm = database.orm;
    this.#line = new WaitingLine(database);
    this.#statements = prepare(database);
  }

  product(productId: string): Product | undefined {
    return this.#statements.product.get({ productId });
  }

  products(): Product[] {
    return this.#statements.products.all();
  }

  /** Saves a product under the next version. @returns it with that version */
  saveProduct(product: Omit<Product, "version">, _transaction: Transaction): Product {
    const saved = { ...product, version: this.#takeVersion() };
    this.#statements.saveProduct.run(saved);
    return saved;
  }

  reservationStatus(orderId: string): ReservationStatus | undefined {
    return this.#statements.reservation.get({ orderId })?.status;
  }

  /** How many orders stand in line. */
  waiting(): number {
    return this.#line.length();
  }

  /** The books for one decision. */
  books({ now }: Transaction): Books {
    const line = this.#line;
    return {
      stock: (productId) => this.product(productId),
      reservation: (orderId) => this.#reservation(orderId),
      settle: (reservation) => this.#settle(reservation),
      restocking: (restockId) => this.#statements.restocking.get({ restockId }),
      addRestocking: (restocking) => {
        this.#statements.addRestocking.run({ ...restocking, now });
      },
      join: (order, blocker) => line.join(order, blocker),
      leave: (order) => line.leave(order),
      tell: (order, shortages) => line.tell(order, shortages),
      waitingAt: (arrival) => line.waitingAt(arrival),
      firstAskingForMore: (productId, than) => line.firstAskingForMore(productId, than),
      firstLaneWatching: (productId, before) => line.firstLaneWatching(productId, before),
      watch: (lane, productId) => line.watch(lane, productId),
    };
  }

  /** Forgets every product and reservation. @returns what was sold, and the version of its withdrawal */
  clear(_transaction: Transaction): { productId: string; version: number }[] {
    const withdrawn = this.products().map(({ productId }) => ({ productId, version: this.#takeVersion() }));
    this.#orm.delete(reservations).run();
    this.#line.clear();
    this.#orm.delete(products).run();
    return withdrawn;
  }

  #reservation(orderId: string): Reservation | undefined {
    const row = this.#statements.reservation.get({ orderId });
    if (row === undefined) return undefined;
    const { status, lines, arrival, shortages, revision } = row;
    switch (status) {
      case "waiting":
        // Neither is null then: the table says so.
        return { status, orderId, lines, arrival, shortages: shortages ?? [], revision: revision ?? 0 };
      case "reserved":
        return { status, orderId, lines };
      case "rejected":
      case "cancelled":
        return { status, orderId };
      default:
        return status satisfies never;
    }
  }

  #settle(reservation: Exclude<Reservation, Waiting>): void {
    const { status, orderId } = reservation;
    this.#statements.settle.run({ orderId, status, lines: status === "reserved" ? reservation.lines : [] });
  }

  #takeVersion(): number {
    const row = this.#statements.nextVersion.get();
    if (row === undefined) throw new Error("product_versions has lost its row");
    return row.last;
  }
}

function prepare({ orm }: ServiceDatabase) {
  const productId = sql.placeholder("productId");
  const orderId = sql.placeholder("orderId");
  return {
    product: orm.select().from(products).where(eq(products.productId, productId)).prepare(),
    products: orm.select().from(products).orderBy(products.productId).prepare(),
    saveProduct: orm
      .insert(products)
      .values({
        productId,
        name: sql.placeholder("name"),
        price: sql.placeholder("price"),
        onHand: sql.placeholder("onHand"),
        reserved: sql.placeholder("reserved"),
        version: sql.placeholder("version"),
      })
      .onConflictDoUpdate({
        target: products.productId,
        set: excluded(products, "name", "price", "onHand", "reserved", "version"),
      })
      .prepare(),
    nextVersion: orm
      .update(productVersions)
      .set({ last: sql`${productVersions.last} + 1` })
      .where(eq(productVersions.singleton, 1))
      .returning({ last: productVersions.last })
      .prepare(),
    reservation: orm.select().from(reservations).where(eq(reservations.orderId, orderId)).prepare(),
    settle: orm
      .insert(reservations)
      .values({ orderId, status: sql.placeholder("status"), lines: sql.placeholder("lines") })
      .onConflictDoUpdate({
        target: reservations.orderId,
        set: {
          ...excluded(reservations, "status", "lines"),
          shortages: sql`NULL`,
          revision: sql`NULL`,
          laneId: sql`NULL`,
        },
      })
      .prepare(),
    restocking: orm
      .select({
        restockId: restockings.restockId,
        productId: restockings.productId,
        quantity: restockings.quantity,
      })
      .from(restockings)
      .where(eq(restockings.restockId, sql.placeholder("restockId")))
      .prepare(),
    addRestocking: orm
      .insert(restockings)
      .values({
        restockId: sql.placeholder("restockId"),
        productId,
        quantity: sql.placeholder("quantity"),
        at: sql.placeholder("now"),
      })
      .prepare(),
  };
}
