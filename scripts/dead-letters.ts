import { escapeInvisible } from "@distributed-messaging/messaging";
import type { ShownStop } from "@distributed-messaging/service/partitions";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { AdminClient, queryOf } from "./command/admin.ts";
import { CommandFailed, runCommand } from "./command/command.ts";
import { type Command, type Filter, readArguments, usage } from "./dead-letters/args.ts";
import {
  type Details,
  details,
  listing,
  outcomes,
  type Result,
  type Summary,
  stopLine,
} from "./dead-letters/output.ts";

/** `bun run dead-letters`. The exit code is 1 when a request was refused, or a replayed message failed again. */

const PATH = "/dead-letters";

async function main(args: string[]): Promise<number> {
  const request = readArguments(args);
  const { command, services } = request;
  const admin = new AdminClient("dead-letters", request);
  if (command.name === "list") return list(admin, services, command.filter, request.json);
  if (command.name === "replay-matching") {
    return replay(admin, services, { filter: command.filter }, command.dryRun);
  }
  const [service] = services;
  if (service === undefined) throw new TypeError("a command with an id has one service");
  return carryOut(admin, service, command);
}

/** Lists the dead letters, then the partitions that are stopped: their messages wait, too. */
async function list(
  admin: AdminClient,
  services: readonly ServiceName[],
  filter: Filter,
  json: boolean,
): Promise<number> {
  const { answers, isComplete } = await admin.askEach(services, async (service) => {
    const found = await admin.ask<Summary[]>(service, "GET", `${PATH}${queryOf({ ...filter })}`, 200);
    const stops = await admin.ask<ShownStop[]>(service, "GET", "/partitions", 200);
    return {
      letters: found.map((letter) => ({ service, ...letter })),
      stops: stops
        .filter(({ topic }) => filter.topic === undefined || filter.topic === topic)
        .map((stop) => stopLine(service, stop)),
    };
  });
  const letters = answers.flatMap((answer) => answer.letters);
  const stops = answers.flatMap((answer) => answer.stops);
  admin.print(letters, [listing(letters, Date.now()), ...stops].join("\n"));
  // The JSON is the list of dead letters.
  if (json) for (const line of stops) process.stderr.write(escapeInvisible(`${line}\n`));
  return isComplete ? 0 : 1;
}

async function replay(
  admin: AdminClient,
  services: readonly ServiceName[],
  which: { readonly ids: readonly number[] } | { readonly filter: Filter },
  dryRun: boolean,
): Promise<number> {
  const { answers, isComplete } = await admin.askEach(services, async (service) => {
    const body = { ...which, dryRun };
    type Replayed = { readonly results: Result[]; readonly left: number };
    const replayed = await admin.ask<Replayed>(service, "POST", `${PATH}/replay`, 200, body);
    return { service, ...replayed };
  });
  admin.print(answers, outcomes(answers));
  const results = answers.flatMap((answer) => answer.results);
  const isDone = results.every(({ outcome }) => outcome !== "failed" && outcome !== "refused");
  return isComplete && isDone ? 0 : 1;
}

async function carryOut(
  admin: AdminClient,
  service: ServiceName,
  command: Exclude<Command, { name: "list" | "replay-matching" }>,
): Promise<number> {
  if (command.name === "replay") return replay(admin, [service], { ids: command.ids }, command.dryRun);
  const { id } = command;
  const path = `${PATH}/${id}`;
  switch (command.name) {
    case "show": {
      const letter = await admin.ask<Details>(service, "GET", path, 200);
      if (command.raw) process.stdout.write(rawOf(letter));
      else admin.print(letter, details(letter));
      return 0;
    }
    case "edit": {
      const message = await messageIn(command.file);
      const letter = await admin.ask<Details>(service, "PUT", `${path}/message`, 200, message);
      admin.print(letter, `${id} is edited; replay it to have it handled`);
      return 0;
    }
    case "discard":
      await admin.ask(service, "DELETE", path, 204, { reason: command.reason });
      admin.print({ id, discarded: true }, `${id} is discarded`);
      return 0;
    default:
      return command satisfies never;
  }
}

/** The bytes of the message: the edited ones if it was edited. */
function rawOf({ raw, edited }: Details): Uint8Array {
  return Buffer.from((edited ?? raw)?.base64 ?? "", "base64");
}

/** @throws CommandFailed when the file cannot be read or is not a JSON object */
async function messageIn(file: string): Promise<object> {
  const text = await (file === "-" ? Bun.stdin : Bun.file(file)).text().catch(() => {
    throw new CommandFailed(`cannot read ${file}`);
  });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Reported below, like JSON that is not an object.
  }
  throw new CommandFailed(`${file} is not a JSON object`);
}

await runCommand("dead-letters", usage, main);
