/**
 * `bun run chaos --minutes N --seed S`: a whole store under load, while its processes are killed, frozen for
 * longer than their sessions last, and stopped, at random, one or several at a time. In the end everything is
 * started again, and the promises are checked. The seed decides what is done to whom, and when; what the
 * processes were in the middle of then is up to the machine.
 */
import { parseArgs } from "node:util";
import { Prng } from "@distributed-messaging/simulation/prng";
import { Faults } from "./chaos/faults.ts";
import { Load } from "./chaos/load.ts";
import { verdict } from "./chaos/verdict.ts";
import { OwnStore } from "./own-store.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: String(Date.now() % 1e6) },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write("chaos: --minutes takes a number above 0, --seed an integer\n");
  process.exit(1);
}

const prng = new Prng(String(seed));
const say = (line: string) => process.stdout.write(`${line}\n`);
const store = new OwnStore({ env: { LOG_LEVEL: "warn" } });
let failures: string[] = [];
try {
  say(`chaos: ${minutes} minutes, seed ${seed}`);
  await store.startAll();
  await store.seed();
  const load = await Load.begin(store, prng.fork("load"));
  const faults = new Faults(store, prng.fork("faults"), say);
  await faults.goOnFor(minutes * 60_000);
  await load.end();
  say(`${load.accepted.size} orders were accepted; ${faults.summary()}`);
  failures = await verdict(store, load);
} catch (error) {
  failures = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
  say(`broke off: ${failures[0]}`);
} finally {
  await store.dispose();
}
for (const failure of failures) say(`VIOLATED: ${failure}`);
say(
  failures.length === 0
    ? "every promise held"
    : `repeat with: bun run chaos --minutes ${minutes} --seed ${seed}`,
);
process.exit(failures.length === 0 ? 0 : 1);
