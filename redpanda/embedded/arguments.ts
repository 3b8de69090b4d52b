/** The arguments of the command, as text; `settings.ts` checks their values. */
import { parseArgs } from "node:util";

const options = {
  port: { type: "string" },
  host: { type: "string" },
  advertised: { type: "string" },
  "data-dir": { type: "string" },
  "in-memory": { type: "boolean" },
  "auto-create": { type: "boolean" },
  topic: { type: "string", multiple: true },
  "log-level": { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

export const USAGE = `usage: embedded-broker [options]

A one-node broker for the Kafka protocol, for development and tests. It logs one JSON object a line.

  --port N                 the port to listen on, 9092 by default; 0: any free one (BROKER_PORT)
  --host ADDRESS           the address to listen on, localhost by default
  --advertised HOST:PORT   what clients are given, by default where the broker listens
  --data-dir DIRECTORY     stores its files in the subdirectory "broker", of .data by default (DATA_DIR)
  --in-memory              writes no file: records are gone when the broker ends
  --auto-create            creates a topic when a client asks for its metadata (AUTO_CREATE_TOPICS=true)
  --topic NAME:PARTITIONS  creates the topic if it is missing; may be repeated; NAME alone: 1 partition
  --log-level LEVEL        debug, info, warn, error or silent; info by default (LOG_LEVEL)
  --help, --version

An argument overrides the environment variable in parentheses; --host and --port override KAFKA_BROKERS, a host:port.
Exit code: 0 after SIGTERM or SIGINT, 1 when the broker cannot start, 2 for wrong arguments.
`;

export type Name = keyof typeof options;

export const argumentNames: readonly string[] = Object.keys(options);

export interface Arguments {
  /** The values of each argument that was given; none for one without a value. */
  readonly given: ReadonlyMap<Name, readonly string[]>;
  /** One line for each argument that cannot be understood. */
  readonly problems: readonly string[];
}

export function readArguments(args: readonly string[]): Arguments {
  // The strict mode would throw at the first problem.
  const parsed = parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true });
  const given = new Map<Name, string[]>();
  const problems: string[] = [];
  for (const token of parsed.tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      problems.push(`${token.value}: unknown argument; --help lists them`);
    } else if (!isName(token.name)) {
      problems.push(`${token.rawName}: unknown argument; --help lists them`);
    } else {
      const { name, rawName, value } = token;
      const hasValue = value !== undefined && value !== "" && (token.inlineValue || !value.startsWith("--"));
      const takesValue = options[name].type === "string";
      if (takesValue && !hasValue) problems.push(`${rawName}: a value is missing`);
      else if (!takesValue && hasValue) problems.push(`${rawName}: takes no value`);
      else given.set(name, [...(given.get(name) ?? []), ...(hasValue ? [value] : [])]);
    }
  }
  return { given, problems };
}

function isName(name: string): name is Name {
  return Object.hasOwn(options, name);
}
