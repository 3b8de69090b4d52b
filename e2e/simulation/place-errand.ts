import { carryOut } from "@distributed-messaging/api-gateway/http";
import type { Line } from "@distributed-messaging/contracts";
import type { Answer } from "./client.ts";
import { Errand, type Town } from "./errand.ts";
import type { Prng } from "./prng.ts";

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

type Placed = { readonly target: string; readonly replayed: boolean };

/** A product that the gateway does not know yet may come; one that is not in the store never will. */
const MOST_REFUSALS = 500;

/** A customer's way to one order: asks until there is an answer, asks again, asks for something else. */
export class PlaceErrand extends Errand {
  readonly wish: Wish;
  readonly #accepted: (order: AcceptedOrder) => void;
  #acceptedId: string | undefined;
  #refusals = 0;
  #repeats: number;

  /** @param accepted told once, when the order is accepted */
  constructor(wish: Wish, town: Town, prng: Prng, accepted: (order: AcceptedOrder) => void) {
    super(town, prng);
    this.wish = wish;
    this.#accepted = accepted;
    this.#repeats = prng.chance(0.3) ? prng.between(1, 3) : 0;
  }

  begin(): void {
    // Twice at once, as two tabs or an impatient proxy do.
    const times = this.repeatable && this.prng.chance(0.2) ? 2 : 1;
    for (let time = 0; time < times; time += 1) this.#ask();
  }

  get repeatable(): boolean {
    return this.wish.orderId !== undefined || this.wish.key !== undefined;
  }

  #ask(): void {
    this.#place(this.wish, (answer) => {
      if (answer.kind === "done") this.#hear(answer.value);
      else if (answer.kind === "refused") this.#hearNo(answer.error.code);
      else if (this.repeatable) this.later(() => this.#ask());
    });
  }

  #hear({ target: orderId }: Placed): void {
    if (this.#acceptedId === undefined) {
      this.#acceptedId = orderId;
      this.#accepted({ ...this.wish, acceptedId: orderId });
    } else if (this.#acceptedId !== orderId) {
      this.violation(`one request made two orders: ${this.#acceptedId} and ${orderId}`);
    }
    if (this.wish.orderId !== undefined && this.wish.orderId !== orderId) {
      this.violation(`${this.wish.orderId} was asked for, ${orderId} was accepted`);
    }
    if (!this.repeatable || this.#repeats === 0) return;
    this.#repeats -= 1;
    this.later(() => this.#ask());
    if (this.prng.chance(0.3)) this.later(() => this.#askForAnother());
  }

  #hearNo(code: string): void {
    if (code !== "invalid-input") this.violation(`${this.wish.orderId} was refused for no reason: ${code}`);
    this.#refusals += 1;
    if (this.#refusals >= MOST_REFUSALS) this.violation("the gateway does not get to know its products");
    else this.later(() => this.#ask());
  }

  /** The same id, or the same key, with other content: refused, whatever else goes wrong. */
  #askForAnother(): void {
    const items = this.wish.items.map((line) => ({ ...line, quantity: line.quantity + 1 }));
    const thief = this.wish.orderId !== undefined && this.prng.chance(0.3);
    const other = thief ? { ...this.wish, customerId: "THIEF", key: undefined } : { ...this.wish, items };
    this.#place(other, (answer) => {
      if (answer.kind !== "done") return;
      this.violation(`${answer.value.target} was accepted with other content, or for another`);
    });
  }

  #place(wish: Wish, answered: (answer: Answer<Placed>) => void): void {
    const { customerId, orderId = "an order", key = "none" } = wish;
    this.request(
      customerId,
      `for ${orderId} with key ${key}`,
      ({ parts: { store }, newId }, transaction) =>
        carryOut({ operation: "place-order", ...wish }, store, newId(), transaction),
      answered,
    );
  }
}
