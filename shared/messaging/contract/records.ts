import type { MessageDefinition } from "./define.ts";
import { Envelope } from "./envelope.ts";

/** A contract as it is recorded: a JSON Schema (2020-12), with what else its readers rely on under `x-`. */
export type ContractRecord = Readonly<Record<string, unknown>>;

/** The name under which the envelope is recorded. */
export const ENVELOPE = "envelope";

/** Where the records are, from the root of the project; each is called after its type. */
export const RECORDS_FOLDER = "shared/contracts/schemas";

/** What the record of each contract should be: every version of every message, and the envelope. */
export function contractRecords(
  definitions: readonly MessageDefinition[],
): ReadonlyMap<string, ContractRecord> {
  const records = new Map<string, ContractRecord>([[ENVELOPE, recordOf(ENVELOPE, Envelope, {})]]);
  for (const { type, data, kind, topic, key, upcasts } of definitions) {
    const about = { "x-kind": kind, "x-topic": topic.name };
    // What an older version was keyed by was recorded while it was the current one; its subject is what counts.
    for (const old of upcasts) records.set(old.type, recordOf(old.type, old.data, about));
    records.set(type, recordOf(type, data, { ...about, "x-key": key }));
  }
  return records;
}

function recordOf(title: string, schema: object, about: Readonly<Record<string, string>>): ContractRecord {
  // Through JSON, which leaves out what TypeBox keeps in a schema for itself.
  const plain = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title, ...about, ...plain };
}

/**
 * Holds the contracts against what was recorded of them.
 *
 * Every object of a message is closed, and every reader checks what it reads. So each change of a schema breaks
 * somebody: a new field those who read by the old one, a field less those who read by the new one. There is no
 * compatible change of a version, only a new version.
 *
 * @returns for each contract that is not as recorded, what to do about it
 */
export function contractProblems(
  definitions: readonly MessageDefinition[],
  recorded: ReadonlyMap<string, ContractRecord>,
): string[] {
  const problems: string[] = [];
  const current = contractRecords(definitions);
  for (const [name, expected] of current) {
    const record = recorded.get(name);
    if (record === undefined)
      problems.push(`${name} has no record: run "bun run record-contracts" and commit`);
    else {
      const where = difference(record, expected);
      if (where !== undefined) problems.push(changed(name, where));
    }
  }
  for (const name of recorded.keys()) if (!current.has(name)) problems.push(lost(name));
  return problems;
}

function changed(name: string, where: string): string {
  const file = `${RECORDS_FOLDER}/${name}.json`;
  if (name === ENVELOPE) {
    return (
      `the envelope differs from its record ${file} at ${where}. It has no versions: services of the last ` +
      "release must be able to read what is written now, and the other way round. Where they are (a new " +
      'optional attribute), delete the record and run "bun run record-contracts".'
    );
  }
  const next = name.replace(/\d+$/, (version) => String(Number(version) + 1));
  return (
    `${name} differs from its record ${file} at ${where}. Messages of it are in the topics, and running ` +
    `services read them by the recorded schema. Define ${next} with the changed schema, keep the recorded one ` +
    `as ${name} in its upcasts with a function that lifts it, and run "bun run record-contracts". (Only if no ` +
    "message of it was ever released: delete the record and record it anew.)"
  );
}

function lost(name: string): string {
  return (
    `${name} is recorded in ${RECORDS_FOLDER}/${name}.json and defined nowhere: messages of it may still be ` +
    "in the topics and among the dead letters. Keep it in the upcasts of the version that follows it. (Only if " +
    "none can exist any more: delete the record.)"
  );
}

/** The path of the first place at which two values differ. An old version's record may say more than is asked. */
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
