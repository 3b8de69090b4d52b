import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import type { ProcessAction } from "@distributed-messaging/supervisor/reports";
import { fetchOrder, fetchProducts, placeOrder } from "../api/gateway.ts";
import { messageOf, Refused } from "../api/request.ts";
import { askService, fetchFigures, fetchLog, fetchProcesses } from "../api/supervisor.ts";
import type { Line, Order, OrderStatus, Product } from "../api/types.ts";
import { isRecord, parseJson } from "../json.ts";
import { newOrderId } from "../state/basket.ts";
import { act, processes } from "../state/processes.ts";
import { session, tokenRefused } from "../state/session.ts";
import type { Pace } from "./pace.ts";
import type { Journal } from "./step.ts";
import { rememberOrder } from "./undo.ts";
import { ExpectationFailed, expectThat, sleep, until } from "./until.ts";

interface Stock {
  readonly onHand: number;
  readonly reserved: number;
  readonly available: number;
}

interface ScenarioOptions {
  readonly customerId: string;
  readonly token: string;
  readonly lease: string;
  readonly journal: Journal;
  readonly pace: Pace;
  /** Aborted when the demonstration is ended early. */
  readonly ended: AbortSignal;
}

/** What an action makes a process, or the supervisor, log. */
const logged: Readonly<Partial<Record<ProcessAction, RegExp>>> = {
  stop: /stopping|stopped/,
  kill: /^ended/,
  destroy: /^ended/,
  start: /ready|listening/,
};

/** How often the log is asked for a line. */
const LOG_TRIES = 20;
const LOG_PAUSE_MS = 150;

/** The operations of a scenario, as the customer who is signed in. */
export class Scenario {
  readonly customerId: string;
  readonly step: Journal["perform"];
  readonly #options: ScenarioOptions;

  constructor(options: ScenarioOptions) {
    this.#options = options;
    this.customerId = options.customerId;
    this.step = options.journal.perform;
  }

  /** The token of the customer, renewed where the session was. */
  get token(): string {
    const current = session.peek();
    return current?.customerId === this.customerId ? current.token : this.#options.token;
  }

  /** `until`, while the demonstration goes on. */
  until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
    return until(what, ask, this.#options.ended);
  }

  /** Lets a person see one thing after the other. */
  moment(): Promise<void> {
    return this.#options.pace.moment(this.#options.ended);
  }

  /** Places an order, with retries. @returns the order's id */
  async place(lines: readonly Line[], orderId = newOrderId()): Promise<string> {
    rememberOrder(this.customerId, orderId);
    await this.until(`${orderId} to be accepted`, async () => {
      const { token } = this;
      try {
        return await placeOrder(token, orderId, lines);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (error.status === 401) tokenRefused(token);
        // With another token, or after a while, it is accepted.
        const isTemporary = error.status === 429 || (error.status === 401 && session.peek() !== null);
        if (error.status < 500 && !isTemporary) throw new ExpectationFailed(messageOf(error));
        throw error;
      }
    });
    this.showOrder(orderId);
    return orderId;
  }

  order(orderId: string): Promise<Order> {
    return fetchOrder(this.token, orderId);
  }

  /** Resolves when the order has one of the statuses. @throws ExpectationFailed when it can no longer have one */
  async untilStatus(orderId: string, ...statuses: readonly OrderStatus[]): Promise<Order> {
    const order = await this.until(`${orderId} to be ${statuses.join(" or ")}`, async () => {
      const order = await this.order(orderId);
      if (statuses.includes(order.status)) return order;
      const { status, reason = "without a reason" } = order;
      const isFinal = status === "rejected" || status === "cancelled";
      expectThat(!isFinal, `${orderId} is ${status}: ${reason}.`);
      return undefined;
    });
    this.showOrder(orderId);
    return order;
  }

  /** The products by availability, the scarcest first; at least one. */
  async products(): Promise<readonly [Product, ...Product[]]> {
    return this.until("the gateway to show its products", async () => {
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
    return this.until("the inventory to answer", () =>
      askService<Stock>("inventory", `/stock/${productId}`, {}),
    );
  }

  /** Resolves when the outbox of a service has the number of messages. */
  async untilUnsent(service: string, holds: (messages: number) => boolean): Promise<void> {
    await this.until(`the outbox of ${service}`, async () => {
      const { services } = await fetchFigures();
      const depth = services.find(({ name }) => name === service)?.outboxDepth;
      return typeof depth === "number" && holds(depth);
    });
  }

  /** Resolves when a service has the number of unread messages at the broker. */
  async untilUnread(service: string, holds: (messages: number) => boolean): Promise<void> {
    await this.until(`the unread messages of ${service}`, async () => {
      const unread = (await fetchFigures()).lag?.[service];
      return unread !== undefined && holds(unread);
    });
  }

  async act(action: ProcessAction, ...names: readonly string[]): Promise<void> {
    const since = Date.now();
    await Promise.all(names.map((name) => act(name, action, this.#options.lease)));
    const pattern = logged[action];
    if (pattern !== undefined) for (const name of names) await this.showLog(name, pattern, since);
  }

  /**
   * Shows the last line that a process has logged since a time, and that matches; none if there is none. The supervisor may read what a
   * process prints after that process has answered that it is ready.
   */
  async showLog(process: string, pattern: RegExp, since: number): Promise<void> {
    for (let tries = LOG_TRIES; tries > 0; tries--) {
      const lines = await fetchLog(process).catch(() => []);
      const line = lines
        .filter(({ at }) => at >= since)
        .map(({ line }) => textOf(line))
        .findLast((text) => pattern.test(text));
      if (line !== undefined) return this.#options.journal.add({ kind: "log", process, line });
      await sleep(LOG_PAUSE_MS, this.#options.ended);
    }
  }

  /** Links the order to the step. */
  showOrder(orderId: string): void {
    const broker = processes.peek()?.find(({ name }) => name === "broker");
    const hasMessages = broker === undefined || broker.state === "ready";
    this.#options.journal.add({ kind: "order", orderId, customerId: this.customerId, hasMessages });
  }
}

/** The message of a line in the format of the services' logs (JSON); another line as it is. */
function textOf(line: string): string {
  const fields = parseJson(line);
  return escapeInvisible(isRecord(fields) && typeof fields.msg === "string" ? fields.msg : line);
}

/** Starts stopped processes and resumes paused ones, the broker first, and waits until all are ready. */
export async function restoreAll(lease: string, signal?: AbortSignal): Promise<void> {
  for (const broker of [true, false]) {
    const down = (await until("the supervisor to answer", fetchProcesses, signal)).filter(
      ({ name, state }) => (name === "broker") === broker && (state === "stopped" || state === "paused"),
    );
    await Promise.all(
      down.map(({ name, state }) => act(name, state === "paused" ? "resume" : "start", lease)),
    );
  }
  await untilAllRun(signal);
}

/** @throws ExpectationFailed that names those that do not run after a time */
export async function untilAllRun(signal?: AbortSignal): Promise<void> {
  await until(
    "every process to run",
    async () => {
      const down = (await fetchProcesses()).filter(({ state }) => state !== "ready");
      if (down.length === 0) return true;
      throw new Error(`${down.map(({ name }) => name).join(", ")} did not come back.`);
    },
    signal,
  );
}
