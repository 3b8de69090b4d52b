/** A place in the repository. */
export interface Source {
  /** The path of the file from the root of the repository. */
  readonly path: string;
  /** A text of the file: a browser scrolls to it. Of a test: its name. */
  readonly text: string;
}

const source = (path: string, text: string): Source => ({ path, text });

/** The code that the steps of the tour are about. */
export const code = {
  supervision: source("services/supervisor/process.ts", "export class ManagedProcess"),
  stop: source("services/supervisor/process.ts", "async stop(): Promise<void>"),
  kill: source("services/supervisor/process.ts", "async kill(): Promise<void>"),
  destroy: source("services/supervisor/process.ts", "async destroy(): Promise<void>"),
  claim: source("shared/messaging/replication/replica.ts", "#claimIfFree(): void"),
  apply: source("shared/messaging/replication/apply.ts", "export class Applier"),
  acceptOrder: source("services/api-gateway/domain.ts", "export function decide("),
  storeOrder: source("services/api-gateway/store.ts", "acceptOrder(order: PlacedOrder)"),
  ownCatalogue: source("services/api-gateway/handlers.ts", "on(StockChanged"),
  outbox: source("shared/messaging/outbox/outbox.ts", "export class Outbox"),
  relay: source("shared/messaging/outbox/relay.ts", "export class Relay"),
  consumer: source("shared/messaging/inbox/consumer.ts", "export class Consumer"),
  inbox: source("shared/messaging/inbox/inbox.ts", "#claimFor(message: Message"),
  park: source("shared/messaging/inbox/consumer.ts", "#park(record: IncomingRecord"),
  block: source("shared/messaging/inbox/consumer.ts", "deadLetters.blocks("),
  discard: source("shared/messaging/dead-letters/admin.ts", "async discard("),
  release: source("shared/messaging/dead-letters/replay.ts", "async #releaseAll()"),
  decideOrder: source("services/order/domain.ts", "export function decide("),
  reserve: source("services/inventory/domain.ts", "#reserve(orderId: string"),
  stock: source("services/inventory/domain.ts", "onHand = available + reserved"),
  queue: source("services/inventory/domain.ts", "queue({ orderId"),
  serve: source("services/inventory/domain.ts", "#serve(products"),
} as const;

/** The tests that hold it. */
export const tests = {
  stop: source("services/supervisor/supervisor.test.ts", "a stopped process stays down until it is started"),
  kill: source("services/supervisor/supervisor.test.ts", "a killed process is restarted"),
  bringBack: source("services/supervisor/supervisor.test.ts", "what is stopped or paused is brought back"),
  onlyGateway: source(
    "e2e/promises/outage.test.ts",
    "with only the gateway up, an order is accepted, found and listed",
  ),
  outage: source("e2e/promises/outage.test.ts", "when it is back they are confirmed"),
  crash: source("e2e/promises/crash.test.ts", "every accepted order is confirmed or waits, once"),
  relay: source(
    "shared/messaging/outbox/relay.test.ts",
    "what an earlier process left in the outbox is sent at the start",
  ),
  sameRequest: source(
    "services/api-gateway/http.test.ts",
    "while the broker is down, concurrently, and after a restart: one order",
  ),
  inbox: source(
    "shared/messaging/inbox/consumer.test.ts",
    "a message takes effect once, however often it is delivered",
  ),
  duplicates: source("e2e/promises/duplicates.test.ts", "stock, orders and notifications do not change"),
  park: source("shared/messaging/inbox/consumer.test.ts", "what cannot be decoded is parked as it was read"),
  block: source(
    "shared/messaging/inbox/consumer.test.ts",
    "while a message is parked the later ones of its key are blocked, all others are handled",
  ),
  discard: source(
    "shared/messaging/dead-letters/dead-letters.test.ts",
    "discarding takes a reason, and releases what was blocked",
  ),
  release: source(
    "shared/messaging/dead-letters/dead-letters.test.ts",
    "a released message that is refused is parked, and the later ones of its key stay blocked",
  ),
  catalogue: source(
    "services/api-gateway/store.test.ts",
    "the catalogue shows the latest version of a product",
  ),
  recovery: source(
    "e2e/promises/shortage-recovery.test.ts",
    "thirty are confirmed and twenty wait; restocks confirm those in order of arrival",
  ),
  shortage: source("e2e/promises/shortage.test.ts", "sixty are confirmed, forty wait"),
  stock: source(
    "services/inventory/domain.property.test.ts",
    "orders are served as the reference serves them",
  ),
  cancel: source("e2e/promises/cancel.test.ts", "a waiting order: the orders that it blocked are confirmed"),
  queue: source(
    "services/inventory/domain.test.ts",
    "given an earlier order is short of it, then no later order takes it",
  ),
  machine: source(
    "e2e/promises/any-machine.test.ts",
    "any machine is lost, its disk included: every order ends, nobody is told twice, all copies are the same",
  ),
  serve: source("services/inventory/domain.test.ts", "a restock serves waiting orders in order of arrival"),
} as const;
