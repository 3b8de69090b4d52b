import type { Status } from "@distributed-messaging/api-gateway/domain";
import { carryOut } from "@distributed-messaging/api-gateway/http";
import { Errand, type Town } from "./errand.ts";
import type { AcceptedOrder } from "./place-errand.ts";
import type { Prng } from "./prng.ts";

/** A customer who does not want an order any more, and asks until there is an answer. */
export class CancelErrand extends Errand {
  readonly #order: AcceptedOrder;

  constructor(order: AcceptedOrder, town: Town, prng: Prng) {
    super(town, prng);
    this.#order = order;
  }

  begin(): void {
    this.#ask(this.prng.chance(0.5) ? `cancel-${this.#order.acceptedId}` : undefined);
    if (this.prng.chance(0.2)) this.#askForAnothers();
  }

  #ask(key: string | undefined): void {
    const { customerId, acceptedId: orderId } = this.#order;
    this.request(
      customerId,
      `to cancel ${orderId}`,
      ({ parts: { store }, newId }, transaction) =>
        carryOut({ operation: "cancel-order", customerId, orderId, key }, store, newId(), transaction),
      (answer) => {
        if (answer.kind === "refused" && answer.error.code !== "order-final") {
          this.violation(`${orderId} may not be cancelled: ${answer.error.code}`);
        }
        const again = answer.kind === "none" || answer.kind === "unavailable" || this.prng.chance(0.2);
        if (again) this.later(() => this.#ask(key));
      },
    );
  }

  #askForAnothers(): void {
    const { acceptedId: orderId } = this.#order;
    this.request(
      "THIEF",
      `to cancel ${orderId}`,
      ({ parts: { store }, newId }, transaction) =>
        carryOut(
          { operation: "cancel-order", customerId: "THIEF", orderId, key: undefined },
          store,
          newId(),
          transaction,
        ),
      (answer) => {
        if (answer.kind === "done") this.violation(`${orderId} was cancelled for somebody else`);
      },
    );
  }
}

/** Somebody who brings more of a product, and says so until there is an answer. */
export class RestockErrand extends Errand {
  readonly #request: { readonly productId: string; readonly quantity: number; readonly key: string };
  #restockId: string | undefined;
  #repeats: number;

  constructor(
    request: { readonly productId: string; readonly quantity: number; readonly key: string },
    town: Town,
    prng: Prng,
  ) {
    super(town, prng);
    this.#request = request;
    this.#repeats = prng.chance(0.3) ? 1 : 0;
  }

  begin(): void {
    const { productId, quantity } = this.#request;
    this.request(
      "ADMIN",
      `to take in ${quantity} of ${productId}`,
      ({ parts: { store }, newId }, transaction) =>
        carryOut(
          { operation: "restock", ...this.#request, customerId: "ADMIN" },
          store,
          newId(),
          transaction,
        ),
      (answer) => {
        if (answer.kind === "done") this.#hear(answer.value.target);
        // The gateway may not have heard of the product yet.
        else this.later(() => this.begin());
      },
    );
  }

  #hear(restockId: string): void {
    if (this.#restockId !== undefined && this.#restockId !== restockId) {
      this.violation(`one request made two restocks: ${this.#restockId} and ${restockId}`);
    }
    this.#restockId = restockId;
    if (this.#repeats === 0) return;
    this.#repeats -= 1;
    this.later(() => this.begin());
  }
}

/** How far along each status is: what a customer sees never goes back. */
const PROGRESS: Readonly<Record<Status, number>> = {
  accepted: 0,
  pending: 1,
  backordered: 2,
  confirmed: 3,
  rejected: 3,
  cancelled: 4,
};

/** A customer who looks at an order again and again. */
export class LookErrand extends Errand {
  readonly #order: AcceptedOrder;
  #seen: Status = "accepted";
  #left: number;

  constructor(order: AcceptedOrder, town: Town, prng: Prng) {
    super(town, prng);
    this.#order = order;
    this.#left = prng.between(1, 6);
  }

  begin(): void {
    const { acceptedId } = this.#order;
    const { running } = this.town.gateway;
    // A read that fails, or a gateway that is down, answers nothing; that nothing is there would be an answer.
    try {
      if (running !== undefined) this.#see(running.parts.store.order(acceptedId)?.status);
    } catch {
      // The route answers 500.
    }
    this.#left -= 1;
    if (this.#left > 0) this.later(() => this.begin(), 1_500);
  }

  #see(status: Status | undefined): void {
    const { acceptedId } = this.#order;
    if (status === undefined) this.violation(`${acceptedId} was accepted and is not shown`);
    else if (PROGRESS[status] < PROGRESS[this.#seen]) {
      this.violation(`${acceptedId} was ${this.#seen} and is shown as ${status}`);
    } else this.#seen = status;
  }
}
