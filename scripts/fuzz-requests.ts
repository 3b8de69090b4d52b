import { runRequests } from "@distributed-messaging/e2e/fuzz/requests/campaign";
import { OwnStore } from "@distributed-messaging/e2e/support/own-store";
import { parseOptions, runCommand, wholeNumber } from "./command/command.ts";

const USAGE = `usage: bun run fuzz-requests [options]

Starts a store and sends requests that are generated from its OpenAPI documents to every operation of its services and of a
supervisor. Each answer must have a status and a body that its document lists, and no 5xx but 503. The exit code is 0
only if all had.

  --requests N   how many (50000)
  --seed S       selects the requests (random); identifiers that a store makes differ from run to run`;

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseOptions(args, { requests: { type: "string" }, seed: { type: "string" } });
  const count = wholeNumber("--requests", values.requests ?? "50000", 1);
  const seed = values.seed ?? String(Date.now() % 1e6);
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const store = new OwnStore({ env: { LOG_LEVEL: "warn" } });
  try {
    say(`fuzz-requests: ${count} requests, seed ${seed}`);
    await store.startAll();
    const startedAt = performance.now();
    const { requests, statuses, faults } = await runRequests(store, count, seed);
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    for (const fault of faults) say(`WRONG: ${fault}`);
    const byStatus = new Map<number, number>();
    for (const counts of statuses.values()) {
      for (const [status, times] of counts) byStatus.set(status, (byStatus.get(status) ?? 0) + times);
    }
    const answers = [...byStatus]
      .sort(([one], [other]) => one - other)
      .map(([status, n]) => `${n} × ${status}`);
    say(`${requests} requests to ${statuses.size} operations in ${seconds} s: ${answers.join(", ")}`);
    say(faults.length === 0 ? "no wrong answer" : `${faults.length} wrong answers`);
    return faults.length === 0 ? 0 : 1;
  } finally {
    await store.dispose();
  }
}

await runCommand("fuzz-requests", USAGE, main);
