import { createInterface } from "node:readline";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type Answer, clientRecord, type StoredRecord } from "../client.ts";

/** Every field of a command; those that it does not have are empty. */
const shape = Type.Object({
  do: Type.String(),
  topic: Type.String({ default: "" }),
  topics: Type.Record(Type.String(), Type.Number(), { default: {} }),
  partition: Type.Number({ default: 0 }),
  partitions: Type.Number({ default: 0 }),
  codec: Type.Union(
    ["none", "gzip", "snappy", "lz4", "zstd"].map((name) => Type.Literal(name)),
    { default: "none" },
  ),
  acks: Type.String({ default: "" }),
  idempotent: Type.Boolean({ default: false }),
  records: Type.Array(clientRecord, { default: [] }),
  committed: Type.Boolean({ default: false }),
  configs: Type.Record(Type.String(), Type.String(), { default: {} }),
  names: Type.Array(Type.String(), { default: [] }),
  before: Type.Number({ default: 0 }),
  timestamps: Type.Array(Type.Number(), { default: [] }),
  group: Type.String({ default: "" }),
  id: Type.String({ default: "" }),
  end: Type.String({ default: "" }),
});
export type ParsedCommand = Static<typeof shape>;

/** What a client does for each command. A result of `undefined` is `{}`. */
export type Driver = Readonly<Record<string, (command: ParsedCommand) => Promise<Answer | undefined>>>;

export const acksNumber: Readonly<Record<string, number>> = { "0": 0, "1": 1, all: -1 };

/**
 * Answers commands, one JSON object a line on the standard input, until it ends.
 *
 * @param codeOf the number of an error of the broker, undefined for any other error
 */
export async function serve(
  client: string,
  version: string,
  driver: Driver,
  codeOf: (error: unknown) => number | undefined,
): Promise<never> {
  emit({ client, version });
  for await (const line of createInterface(process.stdin)) {
    const command = Value.Parse(shape, JSON.parse(line));
    const handle = driver[command.do];
    if (handle === undefined) emit({ lacks: command.do });
    else {
      try {
        emit((await handle(command)) ?? {});
      } catch (error) {
        emit({ error: codeOf(error) ?? String(error) });
      }
    }
  }
  process.exit(0);
}

export function emit(event: Answer): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

export function bytes(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text, "base64");
}

export function base64(content: Uint8Array | null | undefined): string | null {
  return content === null || content === undefined ? null : Buffer.from(content).toString("base64");
}

/** A record as it was received. */
export function incoming(
  place: Pick<StoredRecord, "topic" | "partition">,
  offset: string | bigint,
  timestamp: string | bigint,
  [key, value]: readonly [Uint8Array | null | undefined, Uint8Array | null | undefined],
  headers: readonly (readonly [string, string])[],
): StoredRecord {
  return {
    ...place,
    offset: Number(offset),
    key: base64(key),
    value: base64(value),
    headers: headers.map(([name, content]) => [name, content]),
    timestamp: Number(timestamp),
  };
}
