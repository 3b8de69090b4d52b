import { runSeed } from "../campaign.ts";
import { codeMutants } from "./mutants.ts";
import { runReplication } from "./run.ts";

/* Runs seeds up to the one in the argument, until one has a violation: exit code 3, and the violation on stdout. */

const PAYMENTS = 30;
const ORDERS = 12;
const seeds = Number(process.argv[2]);
const mutant = codeMutants[Number(process.env.MUTANT)];
// Replicated services have their owners in their change logs: what keeps two files apart is seen in the store.
const isOfStore = mutant?.store === true || mutant?.file.startsWith("ownership/") === true;
const replicas = mutant?.store === true ? 2 : 1;
for (let seed = 1; seed <= seeds; seed += 1) {
  const { violations } = isOfStore
    ? await runSeed({ orders: ORDERS, replicas, without: [], mutant: undefined }, seed)
    : runReplication(seed, PAYMENTS);
  if (violations[0] === undefined) continue;
  process.stdout.write(`seed ${seed}: ${violations[0]}\n`);
  process.exit(3);
}
