import { fetchOrder, fetchProducts, placeOrder, signInAs } from "../api/gateway.ts";
import { Refused, wordsFor } from "../api/request.ts";
import { askService, fetchProcesses, type ProcessAction } from "../api/supervisor.ts";
import type { Line, Order, OrderStatus, Product, Session } from "../api/types.ts";
import { newOrderId } from "../state/basket.ts";
import { act } from "../state/processes.ts";

/** Longer than anything here takes on a busy machine: only what never happens is waited for so long. */
const LIMIT_MS = 60_000;
const FIRST_PAUSE_MS = 60;
const LONGEST_PAUSE_MS = 800;

/** What was promised did not happen. */
class Broken extends Error {
  override readonly name = "Broken";
}

/** @throws Broken unless it holds */
export function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new Broken(otherwise);
}

/** Asks until there is an answer; what throws is asked again, for things are being broken here. @throws Broken */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  const startedAt = performance.now();
  let last = "";
  for (let pauseMs = FIRST_PAUSE_MS; performance.now() - startedAt < LIMIT_MS; pauseMs *= 1.4) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = wordsFor(error);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, LONGEST_PAUSE_MS)));
  }
  throw new Broken(`Waited ${LIMIT_MS / 1000} s for ${what}. ${last}`);
}

/** What the inventory says of a product. */
export interface Stock {
  readonly onHand: number;
  readonly reserved: number;
  readonly available: number;
}

/** A customer of the tour's own, and what they and the people behind the counter can do. */
export class Stage {
  readonly #session: Session;

  private constructor(session: Session) {
    this.#session = session;
  }

  static async open(): Promise<Stage> {
    const name = `TOUR_${crypto.randomUUID().slice(0, 8)}`;
    return new Stage(await until("the gateway to let the tour in", () => signInAs(name, "customer")));
  }

  get token(): string {
    return this.#session.token;
  }

  /** Places an order, as often as it takes, and resolves to its number once the store has it. */
  async place(lines: readonly Line[], orderId = newOrderId()): Promise<string> {
    await until(`${orderId} to be accepted`, async () => {
      try {
        return await placeOrder(this.token, orderId, lines);
      } catch (error) {
        if (error instanceof Refused && error.status < 500) throw new Broken(wordsFor(error));
        throw error;
      }
    });
    return orderId;
  }

  order(orderId: string): Promise<Order> {
    return fetchOrder(this.token, orderId);
  }

  /** Waits until the order has one of the statuses. @throws Broken when it never has */
  reaches(orderId: string, ...statuses: readonly OrderStatus[]): Promise<Order> {
    return until(`${orderId} to be ${statuses.join(" or ")}`, async () => {
      const order = await this.order(orderId);
      return statuses.includes(order.status) && order;
    });
  }

  products(): Promise<readonly Product[]> {
    return until("the gateway to show its products", async () => {
      const products = await fetchProducts();
      return products.length > 0 && products;
    });
  }

  /** The product that there is most of. */
  async plenty(): Promise<Product> {
    const [first] = [...(await this.products())].sort((one, other) => other.available - one.available);
    if (first === undefined) throw new Broken("Nothing is sold here.");
    return first;
  }

  stock(productId: string): Promise<Stock> {
    return until("the inventory to answer", () => askService<Stock>("inventory", `/stock/${productId}`, {}));
  }

  async act(action: ProcessAction, ...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => act(name, action)));
  }
}

/** Starts what is stopped, resumes what is paused, and waits for all of it: the broker first, for it is what the others need. */
export async function putRight(): Promise<void> {
  for (const broker of [true, false]) {
    const down = (await until("the supervisor to answer", fetchProcesses)).filter(
      ({ name, state }) => (name === "broker") === broker && (state === "stopped" || state === "paused"),
    );
    await Promise.all(down.map(({ name, state }) => act(name, state === "paused" ? "resume" : "start")));
  }
  await until("every process to run", async () =>
    (await fetchProcesses()).every(({ state }) => state === "ready"),
  );
}
