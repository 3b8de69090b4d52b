import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Value } from "@sinclair/typebox/value";
import { expectAnswer, GatewayClient, request } from "../command/client.ts";
import { atRate, type Clock, underWay } from "./arrivals.ts";
import { Orders, Outcome } from "./orders.ts";

/*
 * The load generator, a process of its own: it uses the store's public interfaces only, POST /orders and the WebSocket of each
 * customer. LOAD is the request, as JSON; each line of its output is a LoadEvent.
 */

export const LoadRequest = Type.Object({
  gateway: Type.String(),
  notification: Type.String(),
  customers: Type.Integer({ minimum: 1 }),
  /** Lines of an order, each for one piece of another product. */
  lines: Type.Integer({ minimum: 1 }),
  /** Orders before those that are measured; with `whileDown`, those that are placed while services are down. */
  warmUp: Type.Integer({ minimum: 0 }),
  orders: Type.Integer({ minimum: 1 }),
  arrivals: Type.Union([
    /** Services are down until all orders have been answered, which is `measured`. */
    Type.Object({ perSecond: Type.Number({ exclusiveMinimum: 0 }), untilAnswered: Type.Literal(true) }),
    Type.Object({
      perSecond: Type.Number({ exclusiveMinimum: 0 }),
      /**
       * The orders to warm up are placed at once, and only accepted. The event `measuring` says so. Orders arrive at the
       * rate from then on, until the last of those has ended, which is `measured`.
       */
      whileDown: Type.Optional(Type.Literal(true)),
    }),
    Type.Object({ atOnce: Type.Integer({ minimum: 1 }) }),
  ]),
  /** Without an end of any order for so long, the rest is given up. */
  patienceMs: Type.Number(),
  /** The catalogue shows the stock when it has not changed for so long. */
  settleMs: Type.Number(),
});
export type LoadRequest = Static<typeof LoadRequest>;

export const LoadEvent = Type.Union([
  Type.Object({ event: Type.Literal("measuring") }),
  Type.Object({ event: Type.Literal("measured") }),
  Type.Object({
    event: Type.Literal("done"),
    outcome: Outcome,
    /** While orders were measured. */
    seconds: Type.Number(),
    /** Orders that ended meanwhile. */
    ended: Type.Integer(),
    /** What the generator itself used meanwhile, as a share of one core. */
    generatorCpu: Type.Number(),
  }),
]);
export type LoadEvent = Static<typeof LoadEvent>;

/** Of one restock, as the store allows. */
const MAX_QUANTITY = 10_000;
const CATALOGUE_PATIENCE_MS = 60_000;
/** Requests without an answer while services are down. */
const PLACED_AT_ONCE = 100;

const notification = TypeCompiler.Compile(
  Type.Object({ orderId: Type.String(), type: Type.String(), at: Type.String() }),
);
const Products = Type.Array(Type.Object({ productId: Type.String(), available: Type.Integer() }));

const clock: Clock = {
  // Of the epoch, because events have such times, and not set back while the process runs.
  now: () => performance.timeOrigin + performance.now(),
  sleep: (ms) => Bun.sleep(ms),
};

async function run(load: LoadRequest): Promise<void> {
  const productIds = await restock(load);
  const placing = new Placing(load, productIds);
  await placing.openWebSockets();
  await placing.place();
  process.exit(0);
}

/** Makes sure that no order has to wait for stock. @returns the products */
async function restock({ gateway, warmUp, orders, lines, settleMs }: LoadRequest): Promise<string[]> {
  const admin = await new GatewayClient(gateway).signIn("BENCH_ADMIN", "admin");
  const productIds = await new GatewayClient(gateway).productIds();
  const wanted = Math.ceil(((warmUp + orders) * lines) / productIds.length) + lines;
  const deadline = performance.now() + CATALOGUE_PATIENCE_MS;
  for (;;) {
    const short = (await settledCatalogue(gateway, settleMs, deadline)).filter(
      ({ available }) => available < wanted,
    );
    if (short.length === 0) return productIds;
    for (const { productId, available } of short) {
      for (let missing = wanted - available; missing > 0; missing -= MAX_QUANTITY) {
        const body = { quantity: Math.min(missing, MAX_QUANTITY) };
        const url = `${gateway}/products/${productId}/restock`;
        await expectAnswer(await request("POST", url, { body, token: admin }), 202);
      }
    }
  }
}

/** The catalogue, once it does not change any more: it shows what orders took some time after they have ended. */
async function settledCatalogue(
  gateway: string,
  settleMs: number,
  deadline: number,
): Promise<Static<typeof Products>> {
  const read = async () =>
    Value.Parse(Products, await expectAnswer(await request("GET", `${gateway}/products`), 200));
  let catalogue = await read();
  for (let changedAt = performance.now(); performance.now() - changedAt < settleMs; ) {
    if (performance.now() > deadline) throw new Error("the gateway's catalogue does not show the restock");
    await Bun.sleep(20);
    const next = await read();
    if (!Bun.deepEquals(next, catalogue)) changedAt = performance.now();
    catalogue = next;
  }
  return catalogue;
}

/** What was used when the measuring began. */
interface Start {
  readonly atMs: number;
  readonly cpuMicros: number;
  readonly ended: number;
}

class Placing {
  readonly #load: LoadRequest;
  readonly #productIds: readonly string[];
  readonly #orders = new Orders();
  readonly #run = Bun.randomUUIDv7("hex").slice(-12);
  readonly #headers: Record<string, string>[] = [];
  readonly #sockets: WebSocket[] = [];
  /** Called when an order ends, in a closed loop. */
  readonly #onEnd = new Map<string, () => void>();
  #lastEndMs = 0;
  #start: Start | undefined;
  #measured: { readonly seconds: number; readonly ended: number; readonly generatorCpu: number } | undefined;

  constructor(load: LoadRequest, productIds: readonly string[]) {
    this.#load = load;
    this.#productIds = productIds;
  }

  async openWebSockets(): Promise<void> {
    const { gateway, notification, customers } = this.#load;
    for (let index = 0; index < customers; index += 1) {
      const token = await new GatewayClient(gateway).signIn(`BENCH-${this.#run}-${index}`);
      this.#headers.push({ "content-type": "application/json", authorization: `Bearer ${token}` });
      const socket = new WebSocket(`${notification.replace("http", "ws")}/notifications?token=${token}`);
      socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
      await new Promise<void>((resolve, reject) => {
        socket.addEventListener("open", () => resolve());
        socket.addEventListener("error", () => reject(new Error("no WebSocket was opened")));
      });
      this.#sockets.push(socket);
    }
  }

  /** Places all orders, and prints what became of them once all have ended, or none does any more. */
  async place(): Promise<void> {
    const { arrivals, warmUp, orders, patienceMs } = this.#load;
    const count = warmUp + orders;
    if ("atOnce" in arrivals) {
      underWay(clock, { count, atOnce: arrivals.atOnce }, (index, dueMs, ended) => {
        this.#onEnd.set(this.#idOf(index), ended);
        // The end, when fewer and fewer orders are under way, is not measured.
        if (index === count - 1) this.#stopMeasuring();
        void this.#send(index, dueMs);
      });
    } else if ("whileDown" in arrivals) {
      await this.#catchUp(arrivals.perSecond);
    } else {
      const answers: Promise<void>[] = [];
      await atRate(clock, { count, perSecond: arrivals.perSecond }, (index, dueMs) => {
        if (index === warmUp) this.#startMeasuring();
        answers.push(this.#send(index, dueMs));
      });
      if ("untilAnswered" in arrivals) {
        await Promise.all(answers);
        this.#stopMeasuring();
      }
    }
    this.#lastEndMs = clock.now();
    const isPatient = () => clock.now() - this.#lastEndMs < patienceMs;
    while (this.#orders.ended < this.#orders.sent && isPatient()) await Bun.sleep(5);
    this.#stopMeasuring();
    const measured = this.#measured ?? { seconds: 0, ended: 0, generatorCpu: 0 };
    print({ event: "done", outcome: this.#orders.outcome(), ...measured });
  }

  async #catchUp(perSecond: number): Promise<void> {
    const { warmUp: down, orders, patienceMs } = this.#load;
    let left = down;
    let unanswered = down;
    let lastEndMs = 0;
    const answered = Promise.withResolvers<void>();
    underWay(clock, { count: down, atOnce: PLACED_AT_ONCE }, async (index, dueMs, next) => {
      this.#onEnd.set(this.#idOf(index), () => {
        left -= 1;
        lastEndMs = clock.now();
        if (left === 0) this.#stopMeasuring();
      });
      await this.#send(index, dueMs);
      unanswered -= 1;
      if (unanswered === 0) answered.resolve();
      next();
    });
    await answered.promise;
    lastEndMs = clock.now();
    this.#startMeasuring();
    await atRate(
      clock,
      { count: orders, perSecond },
      (index, dueMs) => void this.#send(down + index, dueMs),
      () => left > 0 && clock.now() - lastEndMs < patienceMs,
    );
  }

  #idOf(index: number): string {
    return `${this.#run}-${index}`;
  }

  /** Resolves when the request has been answered, or has failed. */
  #send(index: number, dueMs: number): Promise<void> {
    const { gateway, warmUp, lines } = this.#load;
    const orderId = this.#idOf(index);
    const items = Array.from({ length: lines }, (_, line) => ({
      productId: this.#productIds[(index + line) % this.#productIds.length],
      quantity: 1,
    }));
    this.#orders.send(orderId, dueMs, clock.now(), index >= warmUp);
    const headers = this.#headers[index % this.#headers.length] ?? {};
    return fetch(`${gateway}/orders`, { method: "POST", headers, body: JSON.stringify({ orderId, items }) })
      .then(async (response) => {
        await response.arrayBuffer();
        if (this.#orders.answer(orderId, response.status, clock.now())) this.#ended(orderId);
      })
      .catch(() => {
        if (this.#orders.fail(orderId)) this.#ended(orderId);
      });
  }

  #receive(text: string): void {
    const atMs = clock.now();
    const received: unknown = JSON.parse(text);
    if (!notification.Check(received)) throw new TypeError(`not a notification: ${text}`);
    const { orderId, type, at } = received;
    if (this.#orders.notify(orderId, type, Date.parse(at), atMs)) this.#ended(orderId);
  }

  #ended(orderId: string): void {
    this.#lastEndMs = clock.now();
    if ("atOnce" in this.#load.arrivals && this.#orders.ended >= this.#load.warmUp) this.#startMeasuring();
    const next = this.#onEnd.get(orderId);
    this.#onEnd.delete(orderId);
    next?.();
  }

  #startMeasuring(): void {
    if (this.#start !== undefined) return;
    this.#start = { atMs: clock.now(), cpuMicros: cpuMicros(), ended: this.#orders.ended };
    print({ event: "measuring" });
  }

  #stopMeasuring(): void {
    if (this.#measured !== undefined || this.#start === undefined) return;
    const { atMs, cpuMicros: before, ended } = this.#start;
    const seconds = (clock.now() - atMs) / 1_000;
    this.#measured = {
      seconds,
      ended: this.#orders.ended - ended,
      generatorCpu: (cpuMicros() - before) / 1e6 / seconds,
    };
    print({ event: "measured" });
  }
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function print(event: LoadEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

if (import.meta.main) await run(Value.Parse(LoadRequest, JSON.parse(process.env.LOAD ?? "{}")));
