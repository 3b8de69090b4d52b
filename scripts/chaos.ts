/**
 * `bun run chaos --minutes N --seed S`: a whole store under load, while its processes are killed, frozen for
 * longer than their sessions last, and stopped, at random, one or several at a time. In the end everything is
 * started again, and the promises are checked. The seed decides what is done to whom, and when; what the
 * processes were in the middle of then is up to the machine.
 */
import { parseArgs } from "node:util";
import { Faults } from "@distributed-messaging/e2e/chaos/faults";
import { Load } from "@distributed-messaging/e2e/chaos/load";
import { verdict } from "@distributed-messaging/e2e/chaos/verdict";
import { Prng } from "@distributed-messaging/e2e/simulation/prng";
import { OwnStore } from "@distributed-messaging/e2e/support/own-store";
import { runCommand } from "./command/command.ts";
import { UsageError } from "./start/settings.ts";

const usage = `usage: bun run chaos [options]

  --minutes N   how long (5)
  --seed S      decides what is done to whom, and when (any)`;

function readRequest(): { readonly minutes: number; readonly seed: number } {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({ args: Bun.argv.slice(2), options: { minutes: text, seed: text } });
    const minutes = Number(values.minutes ?? 5);
    const seed = Number(values.seed ?? Date.now() % 1e6);
    if (minutes > 0 && Number.isFinite(minutes) && Number.isSafeInteger(seed)) return { minutes, seed };
  } catch {
    // An option that there is not: the usage says which there are.
  }
  throw new UsageError(`--minutes takes a number above 0, --seed an integer\n${usage}`);
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function chaos(): Promise<number> {
  if (Bun.argv.includes("--help")) {
    say(usage);
    return 0;
  }
  const { minutes, seed } = readRequest();
  const prng = new Prng(String(seed));
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
  const again = `repeat with: bun run chaos --minutes ${minutes} --seed ${seed}`;
  say(failures.length === 0 ? "every promise held" : again);
  return failures.length === 0 ? 0 : 1;
}

await runCommand("chaos", chaos);
