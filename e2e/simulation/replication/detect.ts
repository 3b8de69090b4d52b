import { runReplication } from "./run.ts";

/* Runs seeds up to the one in the argument, until one has a violation: exit code 3, and the violation on stdout. */

const PAYMENTS = 30;
const seeds = Number(process.argv[2]);
for (let seed = 1; seed <= seeds; seed += 1) {
  const [violation] = runReplication(seed, PAYMENTS).violations;
  if (violation === undefined) continue;
  process.stdout.write(`seed ${seed}: ${violation}\n`);
  process.exit(3);
}
