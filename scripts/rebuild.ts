import { parseArgs } from "node:util";
import { errorText } from "@distributed-messaging/messaging";
import type { ShownRebuild } from "@distributed-messaging/service/admin/rebuild";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { runCommand } from "./command/command.ts";
import { ask, expectAnswer } from "./command/http-client.ts";
import { GatewayClient } from "./post-order/gateway-client.ts";
import { readSettings, UsageError } from "./start/settings.ts";

const USAGE = `bun run rebuild --service api-gateway|notification [--drop-unaccounted] [--token TOKEN]

  Makes the copies that a running service keeps anew, from the topics that they were made from. The service goes on
  meanwhile. Ends when it is done; stopping this command does not stop it.

  --drop-unaccounted   drops, in the end, what no message accounts for; without it, that is only counted
  --token TOKEN        an admin's token, or TOKEN in the environment; without one, the demo sign-in is asked for one
`;

/** The services that keep copies of what others decide. */
const SERVICES = ["api-gateway", "notification"] as const;
type Rebuildable = (typeof SERVICES)[number];

/** Who the demo sign-in lets in. */
const OPERATOR = "operator";
const POLL_MS = 200;

interface Options {
  readonly service: Rebuildable;
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
    const service = SERVICES.find((name) => name === values.service);
    if (service === undefined) throw new Error(`--service: expected ${SERVICES.join(" or ")}`);
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
  await expectAnswer(await ask("POST", url, { token, body: { dropUnaccounted } }), 202);
  return follow(service, dropUnaccounted, () =>
    ask("GET", url, { token }).then((answer) => expectAnswer<ShownRebuild>(answer, 200)),
  );
}

/** Says how far it is until it is over. */
async function follow(
  service: Rebuildable,
  dropUnaccounted: boolean,
  look: () => Promise<ShownRebuild>,
): Promise<number> {
  let said = "";
  const say = (line: string) => {
    if (line !== said) console.log(line);
    said = line;
  };
  for (;;) {
    // It goes on by itself in a service that is started again: one that is away for a moment is waited for.
    const status = await look().catch((error: unknown) => {
      if (!(error instanceof UsageError)) throw error;
      say(`${error.message}; waiting for it`);
      return undefined;
    });
    if (status?.phase === "done") {
      const fate = dropUnaccounted ? "dropped" : "left as they are";
      say(
        `${service} is made anew: ${status.skipped} messages left out, ` +
          `${status.unaccounted} rows that no message accounts for, ${fate}`,
      );
      return 0;
    }
    if (status?.phase === "failed") {
      throw new UsageError(`${service} stays as it was: ${status.error ?? "no reason given"}`);
    }
    if (status?.phase === "reading") say(`${status.read} of ${status.toRead} messages read`);
    await Bun.sleep(POLL_MS);
  }
}

await runCommand("rebuild", main);
