import { parseArgs } from "node:util";
import { errorText } from "@distributed-messaging/messaging";
import type { ShownRebuild } from "@distributed-messaging/service/admin/rebuild";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { runCommand } from "./command/command.ts";
import { ask, expectAnswer } from "./command/http-client.ts";
import { GatewayClient } from "./post-order/gateway-client.ts";
import { readSettings, UsageError } from "./start/settings.ts";

const USAGE = `bun run rebuild --service NAME [--drop-unaccounted] [--token TOKEN]

  Rebuilds the projections of a running service from the topics. The service goes on meanwhile. The command ends when
  the rebuild is done; stopping the command does not stop the rebuild.

  --service NAME       ${serviceNames.join(", ")}: one that has projections
  --drop-unaccounted   deletes, in the end, rows that no message accounts for; without it they are only counted
  --token TOKEN        an admin's token, or TOKEN in the environment; by default one from the demo sign-in
`;

/** The customer id of the demo sign-in. */
const OPERATOR = "operator";
const POLL_MS = 200;

interface Options {
  readonly service: ServiceName;
  readonly dropUnaccounted: boolean;
  readonly token: string | undefined;
}

/** @throws UsageError */
function readOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: {
        service: { type: "string" },
        "drop-unaccounted": { type: "boolean", default: false },
        token: { type: "string" },
      },
    });
    const service = serviceNames.find((name) => name === values.service);
    if (service === undefined) throw new Error(`--service: expected one of ${serviceNames.join(", ")}`);
    return { service, dropUnaccounted: values["drop-unaccounted"], token: values.token };
  } catch (error) {
    throw new UsageError(`${errorText(error)}\n${USAGE}`);
  }
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  const { service, dropUnaccounted, token: given } = readOptions(args);
  const { host, ports } = readSettings(process.env);
  const gateway = new GatewayClient(urlOf(host, ports["api-gateway"]));
  const token = given ?? (process.env.TOKEN?.trim() || (await gateway.signIn(OPERATOR, "admin")));
  const url = `${urlOf(host, ports[service])}/rebuild`;
  const begun = await ask("POST", url, { token, body: { dropUnaccounted } });
  if (begun.status === 404) throw new UsageError(`${service} has no projections`);
  await expectAnswer(begun, 202);
  return follow(service, dropUnaccounted, () =>
    ask("GET", url, { token }).then((answer) => expectAnswer<ShownRebuild>(answer, 200)),
  );
}

/** Prints the progress until the rebuild has ended. */
async function follow(
  service: ServiceName,
  dropUnaccounted: boolean,
  look: () => Promise<ShownRebuild>,
): Promise<number> {
  let said = "";
  const say = (line: string) => {
    if (line !== said) console.log(line);
    said = line;
  };
  for (;;) {
    // A service that is restarted resumes its rebuild, so one that does not answer is waited for.
    const status = await look().catch((error: unknown) => {
      if (!(error instanceof UsageError)) throw error;
      say(`${error.message}; waiting for it`);
      return undefined;
    });
    if (status?.phase === "done") {
      const fate = dropUnaccounted ? "deleted" : "not changed";
      say(
        `${service} is rebuilt: ${status.skipped} messages skipped, ` +
          `${status.unaccounted} rows that no message accounts for, ${fate}`,
      );
      return 0;
    }
    if (status?.phase === "failed") {
      throw new UsageError(`${service} is not changed: ${status.error ?? "no reason given"}`);
    }
    if (status?.phase === "reading") say(`${status.read} of ${status.toRead} messages read`);
    await Bun.sleep(POLL_MS);
  }
}

await runCommand("rebuild", main);
