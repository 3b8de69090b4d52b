import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { MessageDefinition } from "./define.ts";
import { Envelope } from "./envelope.ts";

/** A contract as it is recorded: a JSON Schema (2020-12), with what else its readers rely on under `x-`. */
export type ContractRecord = Readonly<Record<string, unknown>>;

/** The name under which the envelope is recorded. */
export const ENVELOPE = "envelope";

/** Where a project keeps its records, for the texts that say what to do. */
export interface RecordsLocation {
  /** The folder of the files `<type>.json`. */
  readonly folder: string;
  /** The command that writes missing records. */
  readonly command: string;
}

/** What the record of each contract has to be: every version of every message, and the envelope. */
export function contractRecords(
  definitions: readonly MessageDefinition[],
): ReadonlyMap<string, ContractRecord> {
  const records = new Map<string, ContractRecord>([[ENVELOPE, recordOf(ENVELOPE, Envelope, {})]]);
  for (const { type, data, kind, topic, key, upcasts } of definitions) {
    const about = { "x-kind": kind, "x-topic": topic.name };
    // The key field of an older version is unknown here; it was recorded while that version was the current one.
    for (const old of upcasts) records.set(old.type, recordOf(old.type, old.data, about));
    records.set(type, recordOf(type, data, { ...about, "x-key": key }));
  }
  return records;
}

/** The records of a folder, by name. @throws when the folder is missing, or a file is not JSON */
export function readRecords(folder: string): ReadonlyMap<string, ContractRecord> {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  return new Map(
    files.map((file) => [basename(file, ".json"), JSON.parse(readFileSync(join(folder, file), "utf8"))]),
  );
}

function recordOf(title: string, schema: object, about: Readonly<Record<string, string>>): ContractRecord {
  // Through JSON, which drops the symbols that TypeBox keeps in a schema.
  const plain = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title, ...about, ...plain };
}

/**
 * Compares the contracts with their records.
 *
 * Every object of a message is closed, and every reader checks what it reads, so every change of a schema is
 * incompatible: a reader with the old schema rejects a new field, one with the new schema misses a removed one. A
 * released version never changes; a change is a new version.
 *
 * @returns for each contract that differs from its record, what to do
 */
export function contractProblems(
  definitions: readonly MessageDefinition[],
  recorded: ReadonlyMap<string, ContractRecord>,
  location: RecordsLocation,
): string[] {
  const problems: string[] = [];
  const current = contractRecords(definitions);
  for (const [name, expected] of current) {
    const record = recorded.get(name);
    if (record === undefined) problems.push(`${name} has no record: run "${location.command}" and commit`);
    else {
      const where = difference(record, expected);
      if (where !== undefined) problems.push(changed(name, where, location));
    }
  }
  for (const name of recorded.keys()) if (!current.has(name)) problems.push(removed(name, location));
  return problems;
}

function changed(name: string, where: string, { folder, command }: RecordsLocation): string {
  const file = `${folder}/${name}.json`;
  if (name === ENVELOPE) {
    return (
      `the envelope differs from its record ${file} at ${where}. It has no versions: services of the last ` +
      "release must be able to read what is written now, and the other way round. If they can (a new optional " +
      `attribute), delete the record and run "${command}".`
    );
  }
  const next = name.replace(/\d+$/, (version) => String(Number(version) + 1));
  return (
    `${name} differs from its record ${file} at ${where}. The topics hold messages of it, and running services ` +
    `read them by the recorded schema. Define ${next} with the changed schema, keep the recorded one as ${name} ` +
    `in its upcasts with a function that lifts it, and run "${command}". (Only if ${name} was never released: ` +
    "delete the record and run the command.)"
  );
}

function removed(name: string, { folder }: RecordsLocation): string {
  return (
    `${name} is recorded in ${folder}/${name}.json and not defined: the topics and the dead letters may still ` +
    "hold messages of it. Keep it in the upcasts of the version that follows it. (Only if none can exist: delete " +
    "the record.)"
  );
}

/** The path of the first difference. The record of an older version may have an `x-key` that is not expected. */
function difference(record: unknown, expected: unknown, path = ""): string | undefined {
  if (!isObject(record) || !isObject(expected)) {
    return Object.is(record, expected) ? undefined : path || "/";
  }
  const names = new Set([...Object.keys(record), ...Object.keys(expected)]);
  if (path === "" && !("x-key" in expected)) names.delete("x-key");
  for (const name of names) {
    const found = difference(record[name], expected[name], `${path}/${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
