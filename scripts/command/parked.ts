import type { ServiceName } from "@distributed-messaging/services/registry";
import {
  ADMIN_USAGE,
  AdminClient,
  adminOptions,
  flag,
  queryOf,
  required,
  servicesOf,
  text,
} from "./admin.ts";
import { noMore, parseOptions, runCommand, table, UsageError, wholeNumber } from "./command.ts";

/** A command that lists, shows, retries and removes what a service has put aside for an operator. */
export interface ParkedCommand<Shown, Details> {
  readonly name: string;
  /** The lines of the usage about the commands. */
  readonly commands: string;
  /** Where the services have it, such as `/effects/dead`. */
  readonly path: string;
  /** The field that `list` and `retry` select by; also the name of the option. */
  readonly filter: "name" | "topic";
  /** How to delete one: the command, and what is said afterwards. */
  readonly remove: readonly [command: string, done: string];
  /** What is said after a retry of one, and of all. */
  readonly retried: readonly [one: string, all: (count: number) => string];
  readonly none: string;
  readonly columns: readonly string[];
  row(shown: Shown): readonly string[];
  details(details: Details): string;
}

/** Runs it as this process. */
export function runParkedCommand<Shown extends { readonly id: number }, Details>(
  parked: ParkedCommand<Shown, Details>,
): Promise<never> {
  const { name, filter } = parked;
  const usage = `usage: bun run ${name} <command> [--service NAME|all] [options]

${parked.commands}

  --${filter} ${filter[0]?.toUpperCase()}  --after ID  --limit N  (list) those of a ${filter}; the next page; the size of a page
${ADMIN_USAGE}`;
  return runCommand(name, usage, (args) => main(parked, args));
}

async function main<Shown extends { readonly id: number }, Details>(
  { name, path, filter, remove: [remove, removed], retried, ...parked }: ParkedCommand<Shown, Details>,
  args: readonly string[],
): Promise<number> {
  const options = {
    ...adminOptions,
    name: text,
    topic: text,
    after: text,
    limit: text,
    reason: text,
    all: flag,
  };
  const { values, positionals } = parseOptions(args, options, 2);
  const [command, ...operands] = positionals;
  const commands = `list, show, retry and ${remove}`;
  if (command === undefined) throw new UsageError(`expected a command: ${commands}`);
  if (!["list", "show", "retry", remove].includes(command)) {
    throw new UsageError(`unknown command ${command}; the commands are ${commands}`);
  }
  const other = filter === "name" ? "topic" : "name";
  if (values[other] !== undefined) throw new UsageError(`Unknown option '--${other}'`);
  noMore(operands, command === "list" ? 0 : 1);
  const isForAll = command === "list" || (command === "retry" && operands.length === 0);
  const admin = new AdminClient(name, values);
  const services = servicesOf(values.service, isForAll, command === "list");
  const selected = values[filter];
  const isSelected = selected !== undefined || values.all;
  if (command === "retry" && isForAll !== isSelected) {
    throw new UsageError(`retry needs an id, --${filter} or --all`);
  }

  if (command === "list") {
    const after = values.after === undefined ? undefined : wholeNumber("--after", values.after);
    const limit = values.limit === undefined ? undefined : wholeNumber("--limit", values.limit, 1);
    const query = queryOf({ [filter]: selected, after, limit });
    const { answers, isComplete } = await admin.askEach(services, async (service) => {
      const found = await admin.ask<Shown[]>(service, "GET", `${path}${query}`, 200);
      return found.map((shown) => ({ service, ...shown }));
    });
    const rows = answers.flat().map((shown) => [shown.service, String(shown.id), ...parked.row(shown)]);
    const header = ["SERVICE", "ID", ...parked.columns];
    admin.print(answers.flat(), rows.length === 0 ? parked.none : table(header, rows));
    return isComplete ? 0 : 1;
  }
  if (isForAll) {
    const body = selected === undefined ? {} : { [filter]: selected };
    const { answers, isComplete } = await admin.askEach(services, async (service) => {
      return {
        service,
        ...(await admin.ask<{ retried: number }>(service, "POST", `${path}/retry`, 200, body)),
      };
    });
    const lines = answers.map((answer) => `${answer.service}: ${retried[1](answer.retried)}`);
    admin.print(answers, lines.join("\n"));
    return isComplete ? 0 : 1;
  }
  const [service] = services as readonly [ServiceName];
  const id = wholeNumber("an id", required(operands[0], command, "an id"));
  if (command === "show") {
    const details = await admin.ask<Details>(service, "GET", `${path}/${id}`, 200);
    admin.print(details, parked.details(details));
  } else if (command === "retry") {
    await admin.ask(service, "POST", `${path}/${id}/retry`, 204);
    admin.print({ id, retried: true }, `${id} ${retried[0]}`);
  } else {
    const reason = required(values.reason, command, "--reason TEXT");
    await admin.ask(service, "DELETE", `${path}/${id}`, 204, { reason });
    admin.print({ id, [removed]: true }, `${id} is ${removed}`);
  }
  return 0;
}
