import { copiesAreWhole, notifiedOnce, totalsAreRight } from "./customer-invariants.ts";
import { historyIsCausal } from "./history-invariants.ts";
import {
  deadlinesComeOnce,
  deliveredInOrder,
  ledgerMatchesInbox,
  outboxesAreEmpty,
  parkedForAReason,
} from "./kit-invariants.ts";
import { cancelledForAReason, rulesAreKept, stockIsWhatCameIn } from "./stock-invariants.ts";
import {
  acceptedIsKept,
  catalogueMatchesStock,
  everybodyAgrees,
  reservedIsWhatOrdersHold,
  stockAddsUp,
} from "./store-invariants.ts";
import type { World } from "./world.ts";

/** Something that has to be true. Gives what is not, in words. */
export interface Invariant<Subject> {
  readonly name: string;
  check(subject: Subject): Iterable<string>;
}

/** True after every single COMMIT of the service that they name. */
const atCommit: readonly (Invariant<World> & { service: string })[] = [
  { name: "stock adds up", service: "inventory", check: stockAddsUp },
];

/** True when nothing goes wrong any more and everything has come to rest: while stock is short, and afterwards. */
const atRest: readonly Invariant<World>[] = [
  { name: "every message is handled once by each reader, in order", check: deliveredInOrder },
  { name: "the inbox knows what was handled", check: ledgerMatchesInbox },
  { name: "outboxes are empty", check: outboxesAreEmpty },
  { name: "what is parked is parked for a reason", check: parkedForAReason },
  { name: "deadlines come once", check: deadlinesComeOnce },
  { name: "accepted is kept", check: acceptedIsKept },
  { name: "all services agree on every order", check: everybodyAgrees },
  { name: "the history of an order is what happened to it", check: historyIsCausal },
  { name: "stock adds up", check: stockAddsUp },
  { name: "stock is what came in", check: stockIsWhatCameIn },
  { name: "stock is given out as the rules say", check: rulesAreKept },
  { name: "a cancelled order was cancelled for a reason", check: cancelledForAReason },
  { name: "reserved is what confirmed orders hold", check: reservedIsWhatOrdersHold },
  { name: "the catalogue shows what is in stock", check: catalogueMatchesStock },
  { name: "customers are told once of every step", check: notifiedOnce },
  { name: "totals are right", check: totalsAreRight },
  { name: "copies that were made anew are whole", check: copiesAreWhole },
];

/** How many breaches of one invariant are told. */
const MOST_TOLD = 3;

export function checkAtCommit(world: World, service: string): void {
  for (const invariant of atCommit) {
    if (invariant.service === service) check(world, invariant);
  }
}

export function checkAtRest(world: World): void {
  for (const invariant of atRest) check(world, invariant);
}

function check(world: World, { name, check }: Invariant<World>): void {
  let told = 0;
  for (const breach of check(world)) {
    told += 1;
    if (told > MOST_TOLD) break;
    world.violation(`${name}: ${breach}`);
  }
}
