import { escapeInvisible } from "@distributed-messaging/messaging";
import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { readSettings } from "@distributed-messaging/supervisor/settings";
import { urlOf } from "@distributed-messaging/supervisor/store";
import { adminToken, expectAnswer, isTokenGiven, request } from "./client.ts";
import { CommandFailed, UsageError } from "./command.ts";

/* What the commands for admins share. */

export const text = { type: "string" } as const;
export const flag = { type: "boolean", default: false } as const;

export const adminOptions = { service: text, token: text, json: flag } as const;

export const TOKEN_USAGE = `  --json     print JSON
  --token T  an admin's token; without it, TOKEN in the environment, one that is signed with OPERATOR_KEY_FILE, or, where
             there is no such file, one of the demo sign-in`;

export const ADMIN_USAGE = `${TOKEN_USAGE}

--service is one of ${serviceNames.join(", ")}. A command about one thing needs it; others
accept all, too, which is the default of list.
HOST and the ports of the services come from the environment, as for npm start.`;

/** One request replays or retries a thousand messages. */
const TIMEOUT_MS = 60_000;

/** What several services answered. */
export interface Answers<Answer> {
  readonly answers: readonly Answer[];
  /** Whether all of them did. */
  readonly isComplete: boolean;
}

/** A running store, as an admin sees it. Every method throws CommandFailed when a request fails. */
export class AdminClient {
  readonly #settings = readSettings(process.env);
  readonly #command: string;
  readonly #values: { readonly token?: string | undefined; readonly json: boolean };
  #token: Promise<string> | undefined;

  /** @param command for the lines about services that do not answer */
  constructor(command: string, values: { readonly token?: string | undefined; readonly json: boolean }) {
    this.#command = command;
    this.#values = values;
  }

  async ask<Body>(
    service: ServiceName,
    method: string,
    path: string,
    status: number,
    body?: object,
  ): Promise<Body> {
    const { host, ports } = this.#settings;
    this.#token ??= adminToken(this.#settings, this.#values.token);
    const options = {
      token: await this.#token,
      timeoutMs: TIMEOUT_MS,
      ...(body === undefined ? {} : { body }),
    };
    const response = await request(method, `${urlOf(host, ports[service])}${path}`, options);
    if (response.status === 401 && !isTokenGiven(this.#values.token)) {
      const hint = "DATA_DIR (or OPERATOR_KEY_FILE) must be that of the service";
      throw new CommandFailed(
        `${new URL(response.url).origin} answered 401: without --token and TOKEN, ${hint}`,
      );
    }
    return expectAnswer<Body>(response, status);
  }

  /** Asks several services, also when some of them do not answer. @throws CommandFailed when none answers */
  async askEach<Answer>(
    services: readonly ServiceName[],
    ask: (service: ServiceName) => Promise<Answer>,
  ): Promise<Answers<Answer>> {
    const answers: Answer[] = [];
    const problems: string[] = [];
    for (const service of services) {
      try {
        answers.push(await ask(service));
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error;
        problems.push(`${service}: ${error.message}`);
      }
    }
    if (answers.length === 0) throw new CommandFailed(problems.join("\n"));
    for (const problem of problems) process.stderr.write(escapeInvisible(`${this.#command}: ${problem}\n`));
    return { answers, isComplete: problems.length === 0 };
  }

  /** Prints the value as JSON, or the lines; what could change the look of a terminal is escaped. */
  print(value: unknown, lines: string): void {
    console.log(escapeInvisible(this.#values.json ? JSON.stringify(value, null, 2) : lines));
  }
}

/**
 * The services that `--service` names.
 *
 * @param takesAll whether the command may be for all of them
 * @throws UsageError
 */
export function servicesOf(
  named: string | undefined,
  takesAll: boolean,
  allByDefault: boolean,
): readonly ServiceName[] {
  if (named === "all" || (named === undefined && allByDefault)) {
    if (takesAll) return serviceNames;
    throw new UsageError("a command with an id needs one service: --service");
  }
  const service = serviceNames.find((name) => name === named);
  if (service !== undefined) return [service];
  const problem = named === undefined ? "--service is missing" : `unknown service ${named}`;
  throw new UsageError(`${problem}; expected ${serviceNames.join(", ")}${takesAll ? " or all" : ""}`);
}

/** @throws UsageError */
export function serviceOf(named: string | undefined): ServiceName {
  const [service] = servicesOf(named, false, false);
  if (service === undefined) throw new TypeError("one service is named");
  return service;
}

/** @throws UsageError */
export function required(value: string | undefined, command: string, what: string): string {
  if (value === undefined || value === "") throw new UsageError(`${command} needs ${what}`);
  return value;
}

/** What is given of the values, as a query string with its question mark; nothing where nothing is given. */
export function queryOf(values: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

/** One line for each recorded action. */
export function actionLines(
  actions: readonly { at: string; actor: string; action: string; detail: string }[],
): string[] {
  return actions.map(({ at, actor, action, detail }) => `${at}  ${actor}  ${action}  ${detail}`);
}

/** The name of a partition, or of a topic as a whole. */
export function placeName({
  topic,
  partition,
}: {
  readonly topic: string;
  readonly partition: string;
}): string {
  return partition === "all" ? topic : `${topic}/${partition}`;
}
