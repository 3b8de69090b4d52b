import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { adminToken } from "./command/client.ts";
import { runCommand, UsageError } from "./command/command.ts";
import { type Command, readArguments, usage } from "./dead-letters/args.ts";
import { DeadLettersClient, type Details, type Filter } from "./dead-letters/client.ts";
import { details, type Listed, listing, outcomes, type Replayed } from "./dead-letters/output.ts";

/** `bun run dead-letters`. The exit code is 1 when a request was refused, or a replayed message failed again. */

async function main(args: string[]): Promise<number> {
  if (args.length === 0) {
    console.log(usage);
    return 1;
  }
  const request = readArguments(args);
  const settings = readSettings(process.env);
  const { host, ports } = settings;
  const token = await adminToken(settings, request.token);
  const clients = request.services.map(
    (service) => new DeadLettersClient(service, urlOf(host, ports[service]), token),
  );
  const output = new Output(request.json);
  const { command } = request;
  if (command.name === "list") return list(clients, command.filter, output);
  if (command.name === "replay-matching") {
    return replay(clients, { filter: command.filter }, command.dryRun, output);
  }
  const [client] = clients;
  if (client === undefined) throw new TypeError("a command with an id has one service");
  return carryOut(client, command, output);
}

class Output {
  constructor(readonly json: boolean) {}

  print(value: unknown, text: string): void {
    console.log(this.json ? JSON.stringify(value, null, 2) : text);
  }
}

/**
 * Sends a request to every service, also when some of them do not answer.
 *
 * @throws UsageError when none answers
 */
async function eachOf<T>(
  clients: readonly DeadLettersClient[],
  send: (client: DeadLettersClient) => Promise<T>,
): Promise<{ answers: T[]; isComplete: boolean }> {
  const answers: T[] = [];
  const problems: string[] = [];
  for (const client of clients) {
    try {
      answers.push(await send(client));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(`${client.service}: ${error.message}`);
    }
  }
  if (answers.length === 0) throw new UsageError(problems.join("\n"));
  for (const problem of problems) process.stderr.write(`dead-letters: ${problem}\n`);
  return { answers, isComplete: problems.length === 0 };
}

async function list(clients: readonly DeadLettersClient[], filter: Filter, output: Output): Promise<number> {
  const { answers, isComplete } = await eachOf(clients, async (client): Promise<Listed[]> => {
    const letters = await client.list(filter);
    return letters.map((letter) => ({ service: client.service, ...letter }));
  });
  const letters = answers.flat();
  output.print(letters, listing(letters, Date.now()));
  return isComplete ? 0 : 1;
}

async function replay(
  clients: readonly DeadLettersClient[],
  which: Parameters<DeadLettersClient["replay"]>[0],
  dryRun: boolean,
  output: Output,
): Promise<number> {
  const { answers, isComplete } = await eachOf(clients, async (client): Promise<Replayed> => {
    return { service: client.service, ...(await client.replay(which, dryRun)) };
  });
  output.print(answers, outcomes(answers));
  const results = answers.flatMap((answer) => answer.results);
  const isDone = results.every(({ outcome }) => outcome !== "failed" && outcome !== "refused");
  return isComplete && isDone ? 0 : 1;
}

async function carryOut(
  client: DeadLettersClient,
  command: Exclude<Command, { name: "list" | "replay-matching" }>,
  output: Output,
): Promise<number> {
  switch (command.name) {
    case "show": {
      const letter = await client.show(command.id);
      if (command.raw) process.stdout.write(rawOf(letter));
      else output.print(letter, details(letter));
      return 0;
    }
    case "edit": {
      const letter = await client.edit(command.id, await messageIn(command.file));
      output.print(letter, `${command.id} is edited; replay it to have it handled`);
      return 0;
    }
    case "discard":
      await client.discard(command.id, command.reason);
      output.print({ id: command.id, discarded: true }, `${command.id} is discarded`);
      return 0;
    case "replay":
      return replay([client], { ids: command.ids }, command.dryRun, output);
    default:
      return command satisfies never;
  }
}

/** The bytes of the message: the edited ones if it was edited. */
function rawOf({ raw, edited }: Details): Uint8Array {
  return Buffer.from((edited ?? raw)?.base64 ?? "", "base64");
}

/** @throws UsageError when the file cannot be read or is not a JSON object */
async function messageIn(file: string): Promise<object> {
  const text = await (file === "-" ? Bun.stdin : Bun.file(file)).text().catch(() => {
    throw new UsageError(`cannot read ${file}`);
  });
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Reported below, like JSON that is not an object.
  }
  throw new UsageError(`${file} is not a JSON object`);
}

await runCommand("dead-letters", usage, main);
