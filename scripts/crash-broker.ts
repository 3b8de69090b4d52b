import { ClientMissing } from "@distributed-messaging/e2e/clients/toolchains";
import { crash } from "@distributed-messaging/e2e/soak/crash";
import { parseOptions, runCommand, wholeNumber } from "./command/command.ts";

const USAGE = `usage: bun run crash-broker [options]

Kills the embedded broker with SIGKILL, again and again, while idempotent franz-go producers send as fast as it
acknowledges. Then compares what is stored with what was acknowledged. The exit code is 0 only if every acknowledged record
is at its offset, and none is stored twice. Without Go it does nothing, with one line and exit code 0.

  --rounds N   how often it is killed (20)`;

const MOST_SHOWN = 10;

const say = (line: string) => process.stdout.write(`${line}\n`);

await runCommand("crash-broker", USAGE, async (args) => {
  const { values } = parseOptions(args, { rounds: { type: "string" } });
  const rounds = wholeNumber("--rounds", values.rounds ?? "20", 1);
  try {
    const failures = await crash({ rounds, report: say });
    for (const failure of failures.slice(0, MOST_SHOWN)) say(`FAILED: ${failure}`);
    say(failures.length === 0 ? "nothing acknowledged was lost" : `${failures.length} failures`);
    return failures.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof ClientMissing)) throw error;
    say(`crash-broker: skipped: ${error.message}`);
    return 0;
  }
});
