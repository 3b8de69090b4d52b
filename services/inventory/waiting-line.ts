import type { Line, Shortage } from "@distributed-messaging/contracts";
import type { ServiceDatabase } from "@distributed-messaging/messaging";
import type { Books, Lane, Waiting } from "./books.ts";
import { Peaks } from "./peaks.ts";

interface WaitingRow {
  readonly orderId: string;
  readonly lines: string;
  readonly shortages: string;
  readonly revision: number;
}

/** The line in which orders wait, as tables. What each method promises stands at `Books`. */
export class WaitingLine
  implements
    Pick<
      Books,
      "join" | "leave" | "tell" | "waitingAt" | "firstAskingForMore" | "firstLaneWatching" | "watch"
    >
{
  readonly #peaks: Peaks;
  readonly #statements;

  constructor(database: ServiceDatabase) {
    const { sql } = database;
    this.#peaks = new Peaks(database);
    this.#statements = {
      laneOf: sql.prepare<{ laneId: number }, [string]>(
        "SELECT lane_id AS laneId FROM waiting_lanes WHERE products = ?",
      ),
      // The head is known only once the order has its place: until then it stands behind everybody.
      openLane: sql.prepare<{ laneId: number }, [string, number, string]>(
        "INSERT INTO waiting_lanes (products, head, watched) VALUES (?, ?, ?) RETURNING lane_id AS laneId",
      ),
      join: sql.prepare<{ arrival: number }, [string, string, string, number]>(
        `INSERT INTO reservations (order_id, status, lines, shortages, revision, lane_id)
         VALUES (?, 'waiting', ?, ?, 1, ?)
         RETURNING arrival`,
      ),
      next: sql.prepare<{ arrival: number }, [number, number]>(
        "SELECT arrival FROM reservations WHERE lane_id = ? AND arrival <> ? ORDER BY arrival LIMIT 1",
      ),
      setHead: sql.prepare("UPDATE waiting_lanes SET head = ? WHERE lane_id = ?"),
      closeLane: sql.prepare("DELETE FROM waiting_lanes WHERE lane_id = ?"),
      watching: sql.prepare<Omit<Lane, "products"> & { products: string }, [string, number]>(
        `SELECT lane_id AS laneId, products, head FROM waiting_lanes
         WHERE watched = ? AND head < ? ORDER BY head LIMIT 1`,
      ),
      watch: sql.prepare("UPDATE waiting_lanes SET watched = ? WHERE lane_id = ?"),
      at: sql.prepare<WaitingRow, [number]>(
        `SELECT order_id AS orderId, lines, shortages, revision FROM reservations
         WHERE arrival = ? AND status = 'waiting'`,
      ),
      tell: sql.prepare("UPDATE reservations SET shortages = ?, revision = ? WHERE arrival = ?"),
      count: sql.prepare<{ count: number }, []>(
        "SELECT count(*) AS count FROM reservations WHERE lane_id IS NOT NULL",
      ),
      clearLanes: sql.prepare("DELETE FROM waiting_lanes"),
    };
  }

  join(
    { orderId, lines, shortages }: Omit<Waiting, "status" | "arrival" | "revision">,
    blocker: string,
  ): void {
    const products = nameOf(lines);
    const known = this.#statements.laneOf.get(products);
    const lane = known ?? this.#statements.openLane.get(products, Number.MAX_SAFE_INTEGER, blocker);
    if (lane === null) throw new Error(`no lane for ${products}`);
    const texts = [JSON.stringify(lines), JSON.stringify(shortages)] as const;
    const joined = this.#statements.join.get(orderId, ...texts, lane.laneId);
    if (joined === null) throw new Error(`${orderId} has no place in line`);
    if (known === null) this.#statements.setHead.run(joined.arrival, lane.laneId);
    for (const { productId, quantity } of lines) this.#peaks.add(productId, joined.arrival, quantity);
  }

  leave({ arrival, lines }: Waiting): void {
    const lane = this.#statements.laneOf.get(nameOf(lines));
    if (lane === null) throw new Error(`${arrival} stands in no lane`);
    const next = this.#statements.next.get(lane.laneId, arrival);
    if (next === null) this.#statements.closeLane.run(lane.laneId);
    else this.#statements.setHead.run(next.arrival, lane.laneId);
    for (const { productId } of lines) this.#peaks.remove(productId, arrival);
  }

  tell({ arrival, revision }: Waiting, shortages: readonly Shortage[]): number {
    this.#statements.tell.run(JSON.stringify(shortages), revision + 1, arrival);
    return revision + 1;
  }

  waitingAt(arrival: number): Waiting {
    const row = this.#statements.at.get(arrival);
    if (row === null) throw new Error(`nobody waits at ${arrival}`);
    // Written by join and tell, and by nothing else.
    const lines = JSON.parse(row.lines) as readonly Line[];
    const shortages = JSON.parse(row.shortages) as readonly Shortage[];
    return { status: "waiting", orderId: row.orderId, lines, arrival, shortages, revision: row.revision };
  }

  firstAskingForMore(productId: string, than: number): number | undefined {
    return this.#peaks.firstAskingForMore(productId, than);
  }

  firstLaneWatching(productId: string, before = Number.MAX_SAFE_INTEGER): Lane | undefined {
    const row = this.#statements.watching.get(productId, before);
    return row === null ? undefined : { ...row, products: row.products.split(",") };
  }

  watch({ laneId }: Lane, productId: string): void {
    this.#statements.watch.run(productId, laneId);
  }

  /** How many stand in it. */
  length(): number {
    return this.#statements.count.get()?.count ?? 0;
  }

  /** Sends everybody away; what becomes of their reservations is the caller's affair. */
  clear(): void {
    this.#statements.clearLanes.run();
    this.#peaks.clear();
  }
}

/** Same products, same lane. A product's id has no comma in it. */
function nameOf(lines: readonly Line[]): string {
  return lines
    .map(({ productId }) => productId)
    .sort()
    .join(",");
}
