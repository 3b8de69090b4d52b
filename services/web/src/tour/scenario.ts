import type { ProcessAction } from "@distributed-messaging/supervisor/reports";
import { fetchOrder, fetchProducts, placeOrder, signInAs } from "../api/gateway.ts";
import { messageOf, Refused } from "../api/request.ts";
import { askService, fetchProcesses } from "../api/supervisor.ts";
import type { Line, Order, OrderStatus, Product } from "../api/types.ts";
import { newOrderId } from "../state/basket.ts";
import { act } from "../state/processes.ts";

/** Longer than any step takes on a busy machine. */
const LIMIT_MS = 60_000;
const FIRST_PAUSE_MS = 60;
const MAX_PAUSE_MS = 800;

/** An expectation of the scenario failed. */
class ExpectationFailed extends Error {
  override readonly name = "ExpectationFailed";
}

/** @throws ExpectationFailed with the text `otherwise` unless `holds` */
export function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new ExpectationFailed(otherwise);
}

/**
 * Repeats `ask` until it has an answer, also after errors, which are expected while processes are down.
 *
 * @throws ExpectationFailed after LIMIT_MS, or at once when `ask` throws it
 */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  const startedAt = performance.now();
  let lastError = "";
  for (let pauseMs = FIRST_PAUSE_MS; performance.now() - startedAt < LIMIT_MS; pauseMs *= 1.4) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      if (error instanceof ExpectationFailed) throw error;
      lastError = messageOf(error);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, MAX_PAUSE_MS)));
  }
  throw new ExpectationFailed(`Waited ${LIMIT_MS / 1000} s for ${what}. ${lastError}`);
}

interface Stock {
  readonly onHand: number;
  readonly reserved: number;
  readonly available: number;
}

/** The operations of a scenario, as a customer of its own. */
export class Scenario {
  private constructor(
    readonly token: string,
    readonly customerId: string,
    /** Shows a step in the page while `work` runs. */
    readonly step: <T>(text: string, work: () => Promise<T>) => Promise<T>,
  ) {}

  static async start(step: Scenario["step"]): Promise<Scenario> {
    const name = `TOUR_${crypto.randomUUID().slice(0, 8)}`;
    const { token } = await until("the gateway to let the tour in", () => signInAs(name, "customer"));
    return new Scenario(token, name, step);
  }

  /** Places an order, with retries. @returns the order's id */
  async place(lines: readonly Line[], orderId = newOrderId()): Promise<string> {
    await until(`${orderId} to be accepted`, async () => {
      try {
        return await placeOrder(this.token, orderId, lines);
      } catch (error) {
        if (error instanceof Refused && error.status < 500) throw new ExpectationFailed(messageOf(error));
        throw error;
      }
    });
    return orderId;
  }

  order(orderId: string): Promise<Order> {
    return fetchOrder(this.token, orderId);
  }

  /** Resolves when the order has one of the statuses. @throws ExpectationFailed when it can no longer have one */
  untilStatus(orderId: string, ...statuses: readonly OrderStatus[]): Promise<Order> {
    return until(`${orderId} to be ${statuses.join(" or ")}`, async () => {
      const order = await this.order(orderId);
      if (statuses.includes(order.status)) return order;
      const { status, reason = "without a reason" } = order;
      const isFinal = status === "rejected" || status === "cancelled";
      expectThat(!isFinal, `${orderId} is ${status}: ${reason}.`);
      return undefined;
    });
  }

  /** The products by availability, the scarcest first; at least one. */
  async products(): Promise<readonly [Product, ...Product[]]> {
    return until("the gateway to show its products", async () => {
      const [first, ...others] = [...(await fetchProducts())].sort(
        (one, other) => one.available - other.available,
      );
      return first !== undefined && [first, ...others];
    });
  }

  /** One item of the product with the largest stock. */
  async plentifulLine(): Promise<Line> {
    const [first, ...others] = await this.products();
    return { productId: (others.at(-1) ?? first).productId, quantity: 1 };
  }

  stock(productId: string): Promise<Stock> {
    return until("the inventory to answer", () => askService<Stock>("inventory", `/stock/${productId}`, {}));
  }

  async act(action: ProcessAction, ...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => act(name, action)));
  }
}

/** Starts stopped processes and resumes paused ones, the broker first, and waits until all are ready. */
export async function restoreAll(): Promise<void> {
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
