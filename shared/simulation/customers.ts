import type { Line } from "@distributed-messaging/contracts";
import { placeOrder } from "../../services/api-gateway/place-order.ts";
import { type Answer, ask } from "./client.ts";
import type { Prng } from "./prng.ts";
import type { Process, Surroundings } from "./process.ts";
import type { GatewayParts } from "./services.ts";

/** What a customer wants. With an id of its own or with a key, it can be asked for again. */
export interface Wish {
  readonly customerId: string;
  readonly orderId: string | undefined;
  readonly key: string | undefined;
  readonly items: readonly Line[];
}

/** An order that a customer was told is accepted. */
export interface AcceptedOrder extends Wish {
  readonly acceptedId: string;
}

type Placed = { readonly orderId: string; readonly replayed: boolean };

const RETRY_MS = 400;
/** A product that the gateway does not know yet may come; one that is not in the store never will. */
const MOST_REFUSALS = 200;

/** A customer's way to one order: asks until there is an answer, asks again, asks for something else. */
export class Errand {
  /** Nothing more will be asked. */
  done = false;
  readonly wish: Wish;
  readonly #surroundings: Surroundings;
  readonly #gateway: Process<GatewayParts>;
  readonly #prng: Prng;
  readonly #accepted: AcceptedOrder[];
  #acceptedId: string | undefined;
  #refusals = 0;
  #open = 0;
  #repeats: number;

  /** @param accepted gets every order that is accepted */
  constructor(
    wish: Wish,
    gateway: Process<GatewayParts>,
    surroundings: Surroundings,
    prng: Prng,
    accepted: AcceptedOrder[],
  ) {
    this.wish = wish;
    this.#gateway = gateway;
    this.#surroundings = surroundings;
    this.#prng = prng;
    this.#accepted = accepted;
    this.#repeats = prng.chance(0.3) ? prng.between(1, 3) : 0;
  }

  begin(): void {
    // Twice at once, as two tabs or an impatient proxy do.
    const times = this.#repeatable && this.#prng.chance(0.2) ? 2 : 1;
    for (let time = 0; time < times; time += 1) this.#ask();
  }

  get #repeatable(): boolean {
    return this.wish.orderId !== undefined || this.wish.key !== undefined;
  }

  #ask(): void {
    this.#open += 1;
    const { trace } = this.#surroundings;
    const who = this.wish.customerId;
    trace.note(who, `asks for ${this.wish.orderId ?? "an order"} with key ${this.wish.key ?? "none"}`);
    this.#place(this.wish, (answer) => {
      this.#open -= 1;
      trace.note(who, `hears ${answer.kind === "done" ? answer.value.orderId : answer.kind}`);
      if (answer.kind === "done") this.#hear(answer.value);
      else if (answer.kind === "refused") this.#hearNo(answer.error.code);
      else if (this.#repeatable) this.#later(() => this.#ask());
      this.#finish();
    });
  }

  #hear({ orderId }: Placed): void {
    const { violation } = this.#surroundings;
    if (this.#acceptedId === undefined) {
      this.#acceptedId = orderId;
      this.#accepted.push({ ...this.wish, acceptedId: orderId });
    } else if (this.#acceptedId !== orderId) {
      violation(`one request made two orders: ${this.#acceptedId} and ${orderId}`);
    }
    if (this.wish.orderId !== undefined && this.wish.orderId !== orderId) {
      violation(`${this.wish.orderId} was asked for, ${orderId} was accepted`);
    }
    if (!this.#repeatable || this.#repeats === 0) return;
    this.#repeats -= 1;
    this.#later(() => this.#ask());
    if (this.#prng.chance(0.3)) this.#later(() => this.#askForAnother());
  }

  #hearNo(code: string): void {
    const { violation } = this.#surroundings;
    if (code !== "invalid-input") violation(`${this.wish.orderId} was refused for no reason: ${code}`);
    this.#refusals += 1;
    if (this.#refusals >= MOST_REFUSALS) violation("the gateway does not get to know its products");
    else this.#later(() => this.#ask());
  }

  /** The same id, or the same key, with other content: refused, whatever else goes wrong. */
  #askForAnother(): void {
    const items = this.wish.items.map((line) => ({ ...line, quantity: line.quantity + 1 }));
    const thief = this.wish.orderId !== undefined && this.#prng.chance(0.3);
    const other = thief ? { ...this.wish, customerId: "THIEF", key: undefined } : { ...this.wish, items };
    this.#open += 1;
    this.#place(other, (answer) => {
      this.#open -= 1;
      if (answer.kind === "done") {
        this.#surroundings.violation(
          `${answer.value.orderId} was accepted with other content, or for another`,
        );
      }
      this.#finish();
    });
  }

  #place(wish: Wish, answered: (answer: Answer<Placed>) => void): void {
    ask(
      this.#surroundings,
      this.#gateway,
      ({ parts: { views, catalogue }, newId }, transaction) =>
        placeOrder(wish, views, catalogue, newId, transaction),
      answered,
    );
  }

  #later(action: () => void): void {
    this.#open += 1;
    this.#surroundings.scheduler.after(this.#prng.exponential(RETRY_MS), () => {
      this.#open -= 1;
      action();
    });
  }

  #finish(): void {
    this.done = this.#open === 0;
  }
}
