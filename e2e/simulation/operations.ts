import type { ClientRequest, Decision, Status } from "@distributed-messaging/api-gateway/domain";
import { carryOut } from "@distributed-messaging/api-gateway/http";
import { type Cause, NotOwner, StorageError } from "@distributed-messaging/messaging";
import { ServiceError } from "@distributed-messaging/service/errors";
import type { Prng } from "./prng.ts";
import { Crashed } from "./scheduler.ts";
import type { GatewayParts } from "./services.ts";
import type { Environment, SimulatedService } from "./simulated-service.ts";

/** A client waits for a response this long. */
const TIMEOUT_MS = 2_000;
/** Mean time until a client sends a request again. */
const RETRY_MS = 400;
/** Mean time between two reads of an order. */
const READ_EVERY_MS = 1_500;
/** The gateway's `OUTBOX_LIMIT`, low enough to be reached. */
const OUTBOX_LIMIT = 60;
/** By then, every product is in the gateway's catalogue. */
const MAX_REFUSALS = 500;

/** The result of a request. `unknown`: no response arrived, so that the request may have been carried out or not. */
type Response =
  | { readonly kind: "accepted"; readonly target: string }
  | { readonly kind: "refused"; readonly code: string }
  | { readonly kind: "unavailable" | "unknown" };

/** What a client needs to send requests. */
export interface Client {
  readonly environment: Environment;
  readonly gateway: SimulatedService<GatewayParts>;
  readonly prng: Prng;
}

/** What a client wants to achieve, with as many requests to the gateway as that takes. */
export abstract class Operation {
  protected readonly client: Client;
  protected readonly prng: Prng;
  /** Requests and actions that are pending. */
  #pending = 0;

  constructor(client: Client) {
    this.client = client;
    this.prng = client.prng;
  }

  abstract start(): void;

  /** The operation will send nothing more. */
  get finished(): boolean {
    return this.#pending === 0;
  }

  /** Calls `action` after a delay. */
  after(delayMs: number, action: () => void): void {
    this.#pending += 1;
    this.client.environment.scheduler.after(delayMs, () => {
      action();
      this.#pending -= 1;
    });
  }

  protected later(action: () => void, meanMs = RETRY_MS): void {
    this.after(this.prng.exponential(meanMs), action);
  }

  protected violation(text: string): void {
    this.client.environment.violation(text);
  }

  /**
   * Sends a request to the gateway as over HTTP: its route's work is carried out, and both the request and the response
   * may be lost.
   *
   * @param receive called once, also if no response arrives
   */
  protected send(request: ClientRequest, receive: (response: Response) => void): void {
    const { scheduler, broker, faults, prng, trace } = this.client.environment;
    const text = describe(request);
    this.#pending += 1;
    trace.note(request.customerId, `requests to ${text}`);
    let open = true;
    const end = (response: Response) => {
      if (!open) return;
      open = false;
      cancelTimeout();
      const result = response.kind === "refused" ? response.code : response.kind;
      trace.note(request.customerId, `response to ${text}: ${result}`);
      receive(response);
      this.#pending -= 1;
    };
    const cancelTimeout = scheduler.after(TIMEOUT_MS, () => end({ kind: "unknown" }));
    const respond = (response: Response) => {
      if (!faults.occurs("answerLost")) scheduler.after(broker.latencyMs(), () => end(response));
    };
    // Some of the requests that are sent at the same time arrive at the same time.
    scheduler.after(prng.chance(0.3) ? 1 : broker.latencyMs(), () => this.#carryOut(request, respond));
  }

  #carryOut(request: ClientRequest, respond: (response: Response) => void): void {
    const { running } = this.client.gateway;
    if (running === undefined || running.stopping) {
      respond({ kind: "unknown" });
      return;
    }
    const { messaging, incarnation, newId, parts } = running;
    try {
      if (messaging.outbox.depth() >= OUTBOX_LIMIT) {
        respond({ kind: "unavailable" });
        return;
      }
    } catch {
      // A read failed: the route answers 500.
      if (incarnation.alive) respond({ kind: "unavailable" });
      return;
    }
    const requestId = newId();
    const cause: Cause = { correlationId: requestId, causationId: requestId };
    messaging.unitOfWork
      .run((transaction): Decision => carryOut(request, parts.store, newId(), transaction), cause)
      .then(
        ({ target }) => {
          if (incarnation.alive) respond({ kind: "accepted", target });
        },
        (error: unknown) => {
          if (!incarnation.alive || error instanceof Crashed) return;
          if (error instanceof ServiceError) respond({ kind: "refused", code: error.code });
          else if (error instanceof StorageError || error instanceof NotOwner)
            respond({ kind: "unavailable" });
          else this.violation(`a request to ${incarnation.process} failed: ${String(error)}`);
        },
      );
  }
}

function describe(request: ClientRequest): string {
  switch (request.operation) {
    case "place-order":
      return `place ${request.name ?? "an order"} with key ${request.key ?? "none"}`;
    case "cancel-order":
      return `cancel ${request.name}`;
    case "restock":
      return `restock ${request.quantity} of ${request.productId}`;
    default:
      return request satisfies never;
  }
}

type RequestTo<Name extends ClientRequest["operation"]> = Extract<ClientRequest, { operation: Name }>;
export type PlaceOrderRequest = RequestTo<"place-order">;

/** An order whose client has received that it is accepted. */
export interface AcceptedOrder extends Pick<PlaceOrderRequest, "customerId" | "items"> {
  /** Its customer's name for it. */
  readonly name: string;
}

/** Whoever tries what only an order's customer may do. */
export const OTHER_CUSTOMER = "OTHER_CUSTOMER";

/** Places an order, repeats that, and tries to place another one under the same name or key. */
export class PlaceOrderOperation extends Operation {
  readonly #request: PlaceOrderRequest;
  readonly #accepted: (order: AcceptedOrder) => void;
  #acceptedName: string | undefined;
  #refusals = 0;
  #repetitions: number;

  /** @param accepted called once, when the order is accepted */
  constructor(request: PlaceOrderRequest, client: Client, accepted: (order: AcceptedOrder) => void) {
    super(client);
    this.#request = request;
    this.#accepted = accepted;
    this.#repetitions = this.prng.chance(0.3) ? this.prng.between(1, 3) : 0;
  }

  /** Whether the order can be requested again: it has a name or an idempotency key. */
  get repeatable(): boolean {
    return this.#request.name !== undefined || this.#request.key !== undefined;
  }

  start(): void {
    this.#place();
    // Twice at once, as from two tabs.
    if (this.repeatable && this.prng.chance(0.2)) this.#place();
  }

  #place(): void {
    this.send(this.#request, (response) => {
      if (response.kind === "accepted") this.#succeeded(response.target);
      else if (response.kind === "refused") this.#refused(response.code);
      else if (this.repeatable) this.later(() => this.#place());
    });
  }

  #succeeded(name: string): void {
    const { customerId, items } = this.#request;
    if (this.#acceptedName === undefined) {
      this.#acceptedName = name;
      this.#accepted({ customerId, items, name });
    } else if (this.#acceptedName !== name) {
      this.violation(`two orders for one request: ${this.#acceptedName} and ${name}`);
    }
    if (this.#request.name !== undefined && this.#request.name !== name) {
      this.violation(`${this.#request.name} was requested, ${name} was accepted`);
    }
    if (!this.repeatable || this.#repetitions === 0) return;
    this.#repetitions -= 1;
    this.later(() => this.#place());
    if (this.prng.chance(0.3)) this.later(() => this.#placeAnother());
  }

  #refused(code: string): void {
    if (code !== "invalid-input") this.violation(`${this.#request.name} was refused: ${code}`);
    this.#refusals += 1;
    if (this.#refusals >= MAX_REFUSALS) this.violation("a product does not get into the gateway's catalogue");
    else this.later(() => this.#place());
  }

  /**
   * The same name or key with other content: must be refused. Another customer may use the same name, with any content:
   * what is refused would tell them that it is taken.
   */
  #placeAnother(): void {
    const items = this.#request.items.map((line) => ({ ...line, quantity: line.quantity + 1 }));
    if (this.#request.name !== undefined && this.prng.chance(0.3)) {
      // Always the same content: they may have placed it before.
      this.send({ ...this.#request, items, customerId: OTHER_CUSTOMER, key: undefined }, (response) => {
        if (response.kind !== "refused" || response.code === "invalid-input") return;
        this.violation(`${this.#request.name} was refused to another customer: ${response.code}`);
      });
      return;
    }
    this.send({ ...this.#request, items }, (response) => {
      if (response.kind === "accepted") this.violation(`${response.target} was accepted with other content`);
    });
  }
}

/** Cancels an order, and tries to cancel it as another customer. */
export class CancelOrderOperation extends Operation {
  readonly #request: RequestTo<"cancel-order">;

  constructor({ customerId, name }: AcceptedOrder, client: Client) {
    super(client);
    const key = this.prng.chance(0.5) ? `cancel-${name}` : undefined;
    this.#request = { operation: "cancel-order", customerId, name, key };
  }

  start(): void {
    this.#cancel();
    if (!this.prng.chance(0.2)) return;
    // At most their own order of the same name is cancelled.
    this.send({ ...this.#request, customerId: OTHER_CUSTOMER, key: undefined }, () => {});
  }

  #cancel(): void {
    this.send(this.#request, (response) => {
      if (response.kind === "refused" && response.code !== "order-final") {
        this.violation(`cancelling ${this.#request.name} was refused: ${response.code}`);
      }
      const failed = response.kind === "unknown" || response.kind === "unavailable";
      if (failed || this.prng.chance(0.2)) this.later(() => this.#cancel());
    });
  }
}

/** Restocks a product, and may repeat that. */
export class RestockOperation extends Operation {
  readonly #request: RequestTo<"restock">;
  #restockId: string | undefined;
  #repetitions: number;

  constructor(request: Pick<RequestTo<"restock">, "productId" | "quantity" | "key">, client: Client) {
    super(client);
    this.#request = { operation: "restock", customerId: "ADMIN", ...request };
    this.#repetitions = this.prng.chance(0.3) ? 1 : 0;
  }

  start(): void {
    this.send(this.#request, (response) => {
      if (response.kind === "accepted") this.#succeeded(response.target);
      // Refused until the product is in the gateway's catalogue.
      else this.later(() => this.start());
    });
  }

  #succeeded(restockId: string): void {
    if (this.#restockId !== undefined && this.#restockId !== restockId) {
      this.violation(`two restocks for one request: ${this.#restockId} and ${restockId}`);
    }
    this.#restockId = restockId;
    if (this.#repetitions === 0) return;
    this.#repetitions -= 1;
    this.later(() => this.start());
  }
}

/** A read never returns a status of a lower rank than an earlier read. */
const RANK: Readonly<Record<Status, number>> = {
  accepted: 0,
  pending: 1,
  backordered: 2,
  confirmed: 3,
  rejected: 3,
  cancelled: 4,
};

/** Reads an order several times. */
export class ReadOrderOperation extends Operation {
  readonly #order: AcceptedOrder;
  #seen: Status = "accepted";
  #left: number;

  constructor(order: AcceptedOrder, client: Client) {
    super(client);
    this.#order = order;
    this.#left = this.prng.between(1, 6);
  }

  start(): void {
    const { running } = this.client.gateway;
    const { customerId, name } = this.#order;
    try {
      if (running !== undefined) this.#see(running.parts.store.orderNamed(customerId, name)?.status);
    } catch {
      // A read failed: the route answers 500.
    }
    this.#left -= 1;
    if (this.#left > 0) this.later(() => this.start(), READ_EVERY_MS);
  }

  #see(status: Status | undefined): void {
    if (status === undefined) this.violation(`${this.#order.name} was accepted and is not found`);
    else if (RANK[status] < RANK[this.#seen]) {
      this.violation(`${this.#order.name} was ${this.#seen} and is now ${status}`);
    } else this.#seen = status;
  }
}
