import { type Emitted, emittedBy, handledBy, type Parked, parkedBy } from "./ledger.ts";
import { POISON_HEADER } from "./poison.ts";
import type { World } from "./world.ts";

/**
 * Each service has handled every message that it takes exactly once, and those of one key in the order in
 * which they were emitted. Of a topic that was compacted it may have missed all but the last of a key; and a
 * late copy of one that it missed comes out of order, which is why the states on such a topic have versions.
 */
export function* deliveredInOrder({ processes, compacted }: World): Iterable<string> {
  const emitted = processes.flatMap((process) => emittedBy(process.disk.database));
  for (const { name, types, disk } of processes) {
    const lines = Map.groupBy(
      emitted.filter(({ type }) => types.has(type)),
      lineOf,
    );
    const handled = Map.groupBy(handledBy(disk.database), lineOf);
    for (const line of new Set([...lines.keys(), ...handled.keys()])) {
      const expected = lines.get(line) ?? [];
      const actual = (handled.get(line) ?? []).map(({ messageId }) => messageId);
      const fault = compacted.has(expected[0]?.topic ?? "")
        ? faultInSome(expected, actual)
        : faultInAll(expected, actual);
      if (fault !== undefined) yield `${name}, ${line}: ${fault}`;
    }
  }
}

function lineOf({ topic, key }: { topic: string; key: string | null }): string {
  return `${topic} ${key}`;
}

function faultInAll(expected: readonly Emitted[], actual: readonly string[]): string | undefined {
  for (const [index, { id, type }] of expected.entries()) {
    const position = actual.indexOf(id);
    if (position === -1) return `${type} ${id} was never handled`;
    if (actual.lastIndexOf(id) !== position) return `${type} ${id} was handled twice`;
    if (position !== index) return `${type} ${id} was number ${index} and was handled as number ${position}`;
  }
  return actual.length > expected.length ? "something was handled that nobody emitted" : undefined;
}

/** None twice, and the last one for certain. */
function faultInSome(expected: readonly Emitted[], actual: readonly string[]): string | undefined {
  if (new Set(actual).size < actual.length) return "something was handled twice";
  const ids = new Set(expected.map(({ id }) => id));
  const stranger = actual.find((id) => !ids.has(id));
  if (stranger !== undefined) return `${stranger} was handled and nobody emitted it`;
  const last = expected.at(-1);
  return last === undefined || actual.includes(last.id)
    ? undefined
    : `the last one, ${last.id}, was never handled`;
}

/** What has taken effect is in the inbox, so that it cannot take effect again. */
export function* ledgerMatchesInbox({ processes }: World): Iterable<string> {
  for (const { name, disk } of processes) {
    const forgotten = disk.database.sql
      .query<{ id: string }, [string]>(
        `SELECT message_id AS id FROM simulation_handled
         WHERE message_id NOT IN (SELECT message_id FROM inbox WHERE consumer = ?)`,
      )
      .all(name);
    for (const { id } of forgotten) yield `${name} has handled ${id} and does not remember it`;
  }
}

export function* outboxesAreEmpty({ processes }: World): Iterable<string> {
  for (const process of processes) {
    const depth = process.disk.count("outbox");
    if (depth > 0) yield `${depth} messages are left in the outbox of ${process.name}`;
  }
}

/**
 * What was put into a topic to do harm was parked once by each service that reads the topic. A real message
 * was parked only if it was cursed, waited behind another one, or was there whenever its process died.
 */
export function* parkedForAReason({ processes, poisons, compacted, recreated }: World): Iterable<string> {
  for (const { name, disk, topics, handlerWatch } of processes) {
    const times = new Map<string, number>();
    for (const parked of parkedBy(disk.database)) {
      const poison = parked.headers[POISON_HEADER];
      if (poison !== undefined) times.set(poison, (times.get(poison) ?? 0) + 1);
      else if (!mayBePoisonous(parked, handlerWatch.cursed)) {
        yield `${name} has parked a message of ${parked.topic} ${parked.key}: ${parked.reason}, ${parked.error}`;
      }
    }
    for (const { topic, key, headers } of poisons) {
      const poison = headers[POISON_HEADER] ?? "";
      const expected = topics.has(topic) ? 1 : 0;
      const count = times.get(poison) ?? 0;
      // It may have been gone before anybody read it.
      if (count === 0 && key !== null && compacted.has(topic)) continue;
      // Or passed over, when a copy of the last record of the old log came to stand at its old place in the new
      // one. What a service emits comes in order, so all that stands before such a copy has been handled.
      if (count === 0 && recreated.has(topic)) continue;
      if (count !== expected) yield `${name} has parked poison ${poison} of ${topic} ${count} times`;
    }
  }
}

function mayBePoisonous({ reason, value }: Parked, cursed: ReadonlyMap<string, unknown>): boolean {
  if (reason === "blocked" || reason === "crash") return true;
  if (value === null) return false;
  const { id } = JSON.parse(Buffer.from(value).toString()) as { id: string };
  return cursed.has(id);
}

/** Every deadline came once. */
export function* deadlinesComeOnce({ processes }: World): Iterable<string> {
  for (const { name, disk } of processes) {
    const wrong = disk.database.sql
      .query<{ key: string; fired: number }, []>("SELECT key, fired FROM simulation_timers WHERE fired <> 1")
      .all();
    for (const { key, fired } of wrong) yield `the deadline of ${key} came ${fired} times at ${name}`;
  }
}
