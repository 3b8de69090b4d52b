import {
  copiesAreEqual,
  discardedForGood,
  effectsCompleteOnce,
  handledOnceInOrder,
  inboxIsComplete,
  outboxesAreEmpty,
  parkedWithReason,
  rebuildsAreComplete,
  stopsAreDecided,
  timersFireOnce,
} from "./messaging-invariants.ts";
import {
  acceptedOrdersAreKept,
  cancelledWithReason,
  historyIsCausal,
  notifiedOnce,
  servicesAgree,
  totalsAreCorrect,
} from "./order-invariants.ts";
import {
  allocatedByTheRules,
  catalogueMatchesStock,
  reservedForConfirmedOrders,
  restockedOnce,
  stockAddsUp,
} from "./stock-invariants.ts";
import type { World } from "./world.ts";

/** Yields a text for each breach. */
type Invariant = (world: World) => Iterable<string>;

/** Hold after every commit of a service. */
const atCommit: Readonly<Record<string, Readonly<Record<string, Invariant>>>> = {
  inventory: { "stock adds up": stockAddsUp },
};

/** Hold when the system is quiescent: while stock is short, and after every product was restocked. */
const atRest: Readonly<Record<string, Invariant>> = {
  "each service handles every message once and in order": handledOnceInOrder,
  "the inbox has every message that was handled": inboxIsComplete,
  "outboxes are empty": outboxesAreEmpty,
  "messages are parked for a reason": parkedWithReason,
  "discarded messages have no effect": discardedForGood,
  "an operator decides about every stop": stopsAreDecided,
  "timers fire once": timersFireOnce,
  "effects are completed once, under one key": effectsCompleteOnce,
  "rebuilt projections are complete": rebuildsAreComplete,
  "all instances of a service have the same rows": copiesAreEqual,
  "accepted orders are kept": acceptedOrdersAreKept,
  "all services agree on every order": servicesAgree,
  "orders are cancelled for a reason": cancelledWithReason,
  "the history of an order is causal": historyIsCausal,
  "customers are notified once of each change": notifiedOnce,
  "totals are correct": totalsAreCorrect,
  "stock adds up": stockAddsUp,
  "every restock counts once": restockedOnce,
  "stock is allocated by the rules": allocatedByTheRules,
  "stock is reserved for confirmed orders": reservedForConfirmedOrders,
  "the catalogue matches the stock": catalogueMatchesStock,
};

/** Breaches of one invariant that are reported. */
const MAX_REPORTED = 3;

export function checkAtCommit(world: World, service: string): void {
  check(world, atCommit[service] ?? {});
}

export function checkAtRest(world: World): void {
  check(world, atRest);
}

function check(world: World, invariants: Readonly<Record<string, Invariant>>): void {
  for (const [name, invariant] of Object.entries(invariants)) {
    let reported = 0;
    for (const breach of invariant(world)) {
      reported += 1;
      if (reported > MAX_REPORTED) break;
      world.violation(`${name}: ${breach}`);
    }
  }
}
