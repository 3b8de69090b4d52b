import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { portSetting } from "@distributed-messaging/supervisor/settings";
import { processNames, ROOT } from "@distributed-messaging/supervisor/store";
import type { OwnStore } from "../support/own-store.ts";
import { runToEnd } from "../support/run-to-end.ts";

const PAGE = join(ROOT, "docs/operations.md");
/** What an operator fills in: `<PARTITION>`. */
const PLACEHOLDER = /<([A-Z]+)>/g;
const COMMAND_LIMIT_MS = 60_000;

/** The blocks of commands of docs/operations.md, by the heading that they stand under, in their order. */
export function runbook(): ReadonlyMap<string, readonly (readonly string[])[]> {
  const sections = new Map<string, string[][]>();
  let heading = "";
  let block: string[] | undefined;
  for (const line of readFileSync(PAGE, "utf8").split("\n")) {
    if (block !== undefined) {
      if (line === "```") block = undefined;
      else block.push(line);
    } else if (line === "```sh") {
      block = [];
      sections.set(heading, [...(sections.get(heading) ?? []), block]);
    } else if (line.startsWith("#")) heading = line.replace(/^#+ /, "");
  }
  return sections;
}

/** An operator who knows nothing but docs/operations.md, at a store of the test. */
export class Operator {
  /** What every command has printed. */
  #seen = "";

  constructor(private readonly store: OwnStore) {}

  /**
   * Runs the commands of one block as they stand in the page.
   *
   * @param number of the block in its section, from 1
   * @param find for each placeholder, what is filled in: a text, or what matches in all that was printed before
   * @param mayFail whether a command may find something wrong: exit code 1
   * @returns what they printed
   */
  async follow(
    heading: string,
    number: number,
    find: Readonly<Record<string, string | RegExp>> = {},
    { mayFail = false } = {},
  ): Promise<string> {
    const commands = runbook().get(heading)?.[number - 1];
    if (commands === undefined) throw new Error(`docs/operations.md: no block ${number} under ${heading}`);
    let printed = "";
    for (const command of commands) {
      const { stdout, stderr, exitCode } = await this.#run(this.#filledIn(command, find));
      const output = `${stdout}${stderr}`;
      if (exitCode > (mayFail ? 1 : 0)) throw new Error(`${command}\nexit code ${exitCode}\n${output}`);
      printed += output;
      this.#seen += output;
    }
    return printed;
  }

  #filledIn(command: string, find: Readonly<Record<string, string | RegExp>>): string {
    return command.replace(PLACEHOLDER, (_, name: string) => {
      const value = find[name];
      if (value === undefined) throw new Error(`${command}: nothing to fill in for ${name}`);
      if (typeof value === "string") return value;
      const found = value.exec(this.#seen)?.[1];
      if (found === undefined) throw new Error(`${command}: nothing printed shows ${name}:\n${this.#seen}`);
      return found;
    });
  }

  #run(command: string) {
    const { supervisor, dataDir, brokers } = this.store;
    const ports = processNames.map((name) => [portSetting(name), String(supervisor.ports[name])] as const);
    return runToEnd(["/bin/sh", "-c", command], {
      cwd: ROOT,
      timeoutMs: COMMAND_LIMIT_MS,
      env: {
        ...process.env,
        PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
        DATA_DIR: dataDir,
        KAFKA_BROKERS: brokers,
        ...Object.fromEntries(ports),
      },
    });
  }
}
