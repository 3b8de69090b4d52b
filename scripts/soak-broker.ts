import { soak } from "@distributed-messaging/e2e/soak/soak";
import { parseOptions, positiveNumber, runCommand, wholeNumber } from "./command/command.ts";

const USAGE = `usage: bun run soak-broker [options]

Runs the embedded broker under a steady load of different clients: kafkajs, librdkafka, and connections that break off.
Consumers leave and return, producers change, topics come and go. The exit code is 0 only if memory, open files and disk
did not grow and no client failed. librdkafka is the one of the package confluent-kafka for Python, which is installed in
.tools/clients; where it cannot be, it is left out.

  --minutes N   how long (5)
  --rate R      records a second, of each kind of client (500)`;

const say = (line: string) => process.stdout.write(`${line}\n`);

await runCommand("soak-broker", USAGE, async (args) => {
  const { values } = parseOptions(args, { minutes: { type: "string" }, rate: { type: "string" } });
  const minutes = positiveNumber("--minutes", values.minutes ?? "5");
  const rate = wholeNumber("--rate", values.rate ?? "500", 1);
  say(`soak-broker: ${minutes} minutes, ${rate} records a second of each kind of client`);
  const failures = await soak({ minutes, rate, report: say });
  for (const failure of failures) say(`FAILED: ${failure}`);
  if (failures.length === 0) say("memory, open files and disk are flat, and no client failed");
  return failures.length === 0 ? 0 : 1;
});
