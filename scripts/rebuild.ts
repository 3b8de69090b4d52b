import type { ShownRebuild } from "@distributed-messaging/service/rebuild";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { adminToken, expectAnswer, request } from "./command/client.ts";
import { CommandFailed, parseOptions, runCommand, UsageError } from "./command/command.ts";
import { Progress } from "./command/progress.ts";

const USAGE = `usage: bun run rebuild --service NAME [--drop-unaccounted] [--token TOKEN]

Rebuilds the projections of a running service from the topics. The service keeps running meanwhile, and completes the
rebuild also when this command is stopped.

  --service NAME       one that has projections: ${serviceNames.join(", ")}
  --drop-unaccounted   deletes, in the end, the rows that no message accounts for; without it, they are counted only
  --token TOKEN        an admin's token; without it, TOKEN in the environment, one that is signed with OPERATOR_KEY_FILE, or, where
                       there is no such file, one of the demo sign-in`;

const POLL_MS = 200;

interface Options {
  readonly service: ServiceName;
  readonly dropUnaccounted: boolean;
  readonly token: string | undefined;
}

/** @throws UsageError */
function readOptions(args: readonly string[]): Options {
  const { values } = parseOptions(args, {
    service: { type: "string" },
    "drop-unaccounted": { type: "boolean", default: false },
    token: { type: "string" },
  });
  const service = serviceNames.find((name) => name === values.service);
  if (service === undefined) throw new UsageError(`--service: expected one of ${serviceNames.join(", ")}`);
  return { service, dropUnaccounted: values["drop-unaccounted"], token: values.token };
}

async function main(args: readonly string[]): Promise<number> {
  const { service, dropUnaccounted, token: given } = readOptions(args);
  const settings = readSettings(process.env);
  const { host, ports } = settings;
  const token = await adminToken(settings, given);
  const url = `${urlOf(host, ports[service])}/rebuild`;
  const started = await request("POST", url, { token, body: { dropUnaccounted } });
  if (started.status === 404) throw new CommandFailed(`${service} has no projections`);
  await expectAnswer(started, 202);
  return follow(service, dropUnaccounted, () =>
    request("GET", url, { token }).then((answer) => expectAnswer<ShownRebuild>(answer, 200)),
  );
}

/** Prints the progress until the rebuild is completed. */
async function follow(
  service: ServiceName,
  dropUnaccounted: boolean,
  poll: () => Promise<ShownRebuild>,
): Promise<number> {
  const progress = new Progress();
  let printed = "";
  const say = (line: string) => {
    progress.clear();
    if (line !== printed) console.log(line);
    printed = line;
  };
  for (;;) {
    // A service that is restarted continues the rebuild.
    const status = await poll().catch((error: unknown) => {
      if (!(error instanceof CommandFailed)) throw error;
      say(`${error.message}; waiting`);
      return undefined;
    });
    if (status?.phase === "done") {
      const fate = dropUnaccounted ? "deleted" : "kept";
      say(
        `${service} is rebuilt: ${status.skipped} messages skipped, ` +
          `${status.unaccounted} rows that no message accounts for, ${fate}`,
      );
      return 0;
    }
    if (status?.phase === "failed") {
      progress.clear();
      throw new CommandFailed(`${service} is not changed: ${status.error ?? "no reason given"}`);
    }
    if (status?.phase === "reading") {
      progress.show(`${status.read} of ${status.toRead} messages read`, status.read, status.toRead);
    }
    await Bun.sleep(POLL_MS);
  }
}

await runCommand("rebuild", USAGE, main);
