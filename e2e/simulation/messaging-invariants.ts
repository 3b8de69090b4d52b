import { isCompacted } from "@distributed-messaging/messaging/contract";
import { storeTopics } from "@distributed-messaging/services/registry";
import { differences } from "../support/copies.ts";
import {
  decidedBy,
  discardedBy,
  type Emitted,
  emittedBy,
  handledBy,
  type Parked,
  parkedBy,
} from "./ledger.ts";
import { type Lost, leftOutBy, lostBy, OPERATOR } from "./losses.ts";
import { POISON_HEADER } from "./poison.ts";
import type { World } from "./world.ts";

const compactedTopics = new Set(storeTopics.filter(isCompacted).map(({ name }) => name));

/**
 * Each service has handled every message that it takes once, and those of one key in the order in which they were
 * emitted. Of a compacted topic it may have missed all but the last message of a key, and a late copy of one that it
 * missed is handled out of order: hence the revisions of the states on such a topic.
 */
export function* handledOnceInOrder({ processes, compacted, removed }: World): Iterable<string> {
  const emitted = processes.flatMap((process) => emittedBy(process.disk.database));
  for (const process of processes) {
    const { name, types, disk } = process;
    const lost = new Set(lostBy(process, removed).map(({ id }) => id));
    const taken = Map.groupBy(
      emitted.filter(({ type }) => types.has(type)),
      topicAndKey,
    );
    const handled = Map.groupBy(handledBy(disk.database), topicAndKey);
    for (const place of new Set([...taken.keys(), ...handled.keys()])) {
      const expected = taken.get(place) ?? [];
      const actual = (handled.get(place) ?? []).map(({ messageId }) => messageId);
      const isCompacted = compacted.has(expected[0]?.topic ?? "");
      const breach = isCompacted ? breachCompacted(expected, actual) : breachComplete(expected, actual, lost);
      if (breach !== undefined) yield `${name}, ${place}: ${breach}`;
    }
  }
}

function topicAndKey({ topic, key }: { topic: string; key: string | null }): string {
  return `${topic} ${key}`;
}

/** @param lost a message may be handled late if a copy of it was, or not at all */
function breachComplete(
  expected: readonly Emitted[],
  actual: readonly string[],
  lost: ReadonlySet<string>,
): string | undefined {
  for (const [index, id] of actual.entries()) {
    if (actual.indexOf(id) !== index) return `${id} was handled twice`;
    if (!expected.some((message) => message.id === id)) return `${id} was handled and not emitted`;
  }
  const rest = actual.filter((id) => !lost.has(id));
  for (const [index, { id, type }] of expected.filter((message) => !lost.has(message.id)).entries()) {
    const position = rest.indexOf(id);
    if (position === -1) return `${type} ${id} was not handled`;
    if (position !== index) return `${type} ${id} was emitted at ${index} and handled at ${position}`;
  }
  return undefined;
}

function breachCompacted(expected: readonly Emitted[], actual: readonly string[]): string | undefined {
  if (new Set(actual).size < actual.length) return "a message was handled twice";
  const ids = new Set(expected.map(({ id }) => id));
  const unknown = actual.find((id) => !ids.has(id));
  if (unknown !== undefined) return `${unknown} was handled and not emitted`;
  const last = expected.at(-1);
  if (last === undefined || actual.includes(last.id)) return undefined;
  return `the last message, ${last.id}, was not handled`;
}

/** Every message that took effect is in the inbox for as long as claims are kept, so that it cannot take effect again. */
export function* inboxIsComplete({ processes, shortRetention }: World): Iterable<string> {
  if (shortRetention) return;
  for (const { name, disk } of processes) {
    const missing = disk.database.sql
      .query<{ id: string }, []>(
        `SELECT message_id AS id FROM simulation_handled
         WHERE coalesce(unhex(message_id, '-'), message_id) NOT IN (SELECT message_id FROM inbox)`,
      )
      .all();
    for (const { id } of missing) yield `${name} has handled ${id}, which is not in its inbox`;
  }
}

export function* outboxesAreEmpty({ processes }: World): Iterable<string> {
  for (const { name, disk } of processes) {
    const depth = disk.count("outbox");
    if (depth > 0) yield `${depth} messages in the outbox of ${name}`;
    const parked = disk.count("parked_outgoing");
    if (parked > 0) yield `${parked} outgoing messages of ${name} are parked`;
  }
}

/**
 * Poison was parked once by each service that reads its topic, unless it is a tombstone. A genuine message was parked only if its handler had a
 * bug, its key was blocked, an earlier one of its key was lost, its process had crashed before it was handled, or the inbox kept its claims too short.
 */
export function* parkedWithReason(world: World): Iterable<string> {
  const { processes, poison, compacted, truncated, removed, shortRetention } = world;
  for (const process of processes) {
    const { name, disk, topics, instrumented } = process;
    const counts = new Map<string, number>();
    const isLeftOut = leftOutBy(disk.database);
    const lost = lostBy(process, removed);
    for (const parked of parkedBy(disk.database)) {
      const number = parked.headers[POISON_HEADER];
      if (number !== undefined) counts.set(number, (counts.get(number) ?? 0) + 1);
      else if (
        !(shortRetention && parked.reason === "too-old") &&
        !mayBeParked(parked, instrumented.bugs, lost)
      ) {
        yield `${name} has parked a message of ${parked.topic} ${parked.key}: ${parked.reason}, ${parked.error}`;
      }
    }
    for (const { topic, key, value, headers } of poison) {
      const number = headers[POISON_HEADER] ?? "";
      const isTombstone = value === null && compactedTopics.has(topic);
      const expected = topics.has(topic) && !isTombstone ? 1 : 0;
      const count = counts.get(number) ?? 0;
      // It may have been removed, or compacted, before it was read.
      if (count === 0 && removed.filter(isLeftOut).some((record) => record.headers[POISON_HEADER] === number))
        continue;
      if (count === 0 && key !== null && compacted.has(topic)) continue;
      // It is parked each time that its log is read.
      if (count > expected && expected > 0 && truncated.has(topic)) continue;
      if (count !== expected) yield `${name} has parked poison ${number} of ${topic} ${count} times`;
    }
  }
}

function mayBeParked(
  { reason, topic, key, value }: Parked,
  bugs: ReadonlyMap<string, unknown>,
  lost: readonly Lost[],
): boolean {
  if (reason === "blocked" || reason === "crash") return true;
  if (reason === "domain" && lost.some((before) => before.topic === topic && before.key === key)) return true;
  if (value === null) return false;
  const { id } = JSON.parse(Buffer.from(value).toString()) as { id: string };
  return bugs.has(id);
}

/** What an operator has discarded does not take effect any more, not as another copy of it either. */
export function* discardedForGood({ processes }: World): Iterable<string> {
  for (const { name, disk } of processes) {
    for (const { id, tookEffect } of discardedBy(disk.database)) {
      if (tookEffect) yield `${name} has handled ${id}, which was discarded`;
    }
  }
}

/** Every stop was ended by an operator who had looked at it, and undecodable records were left out in no other way. */
export function* stopsAreDecided({ processes, broker, operator }: World): Iterable<string> {
  for (const { name: service, topics, disk } of processes) {
    const decided = decidedBy(disk.database);
    for (const { actor, ...decision } of decided) {
      const { topic, partition, reason, offset, action } = decision;
      if (action === "log-replaced") continue;
      const isKnown = operator.decisions.some((made) => Bun.deepEquals(made, { service, ...decision }));
      if (actor === OPERATOR && isKnown) continue;
      yield `${action} at ${service} by ${actor}: ${topic}/${partition} at ${offset}, ${reason}`;
    }
    for (const { topic, partition, undecodable } of [...topics].flatMap((name) =>
      broker.partitionsOf(name),
    )) {
      for (const { offset, lastOffset } of undecodable) {
        const isSkipped = decided.some(
          (decision) =>
            decision.topic === topic &&
            decision.partition === partition &&
            decision.reason === "undecodable-batch" &&
            decision.action === "skip" &&
            decision.nextOffset === lastOffset + 1,
        );
        if (!isSkipped)
          yield `${service} has left out ${topic}/${partition} from ${offset} without a decision`;
      }
    }
  }
}

export function* timersFireOnce({ processes }: World): Iterable<string> {
  for (const { name, disk } of processes) {
    const wrong = disk.database.sql
      .query<{ key: string; fired: number }, []>("SELECT key, fired FROM simulation_timers WHERE fired <> 1")
      .all();
    for (const { key, fired } of wrong) yield `the timer of ${key} fired ${fired} times at ${name}`;
  }
}

/** Every effect of a transaction that committed was performed, under one idempotency key, and its result applied once. */
export function* effectsCompleteOnce({ processes }: World): Iterable<string> {
  for (const { name, disk, instrumented } of processes) {
    const effects = disk.database.sql
      .query<{ key: string; completed: number }, []>("SELECT key, completed FROM simulation_effects")
      .all();
    for (const { key, completed } of effects) {
      if (completed !== 1) yield `the effect of ${key} was completed ${completed} times at ${name}`;
    }
    const enqueued = new Set(effects.map(({ key }) => key));
    for (const [id, keys] of instrumented.performed) {
      if (!enqueued.has(id)) yield `${name} has performed an effect of ${id}, which was rolled back`;
      if (keys.size > 1)
        yield `${name} has performed the effect of ${id} under ${keys.size} idempotency keys`;
    }
  }
}

/** A rebuilt projection has only rows that a message accounts for, unless messages were lost with their topic. */
export function* rebuildsAreComplete({ processes, restocked, incomplete }: World): Iterable<string> {
  if (!restocked || incomplete.size > 0) return;
  for (const { name, running } of processes) {
    const status = running?.rebuild?.status();
    if (status === undefined) continue;
    if (status.phase !== "done") yield `the rebuild at ${name} is ${status.phase}: ${status.error}`;
    else if (status.unaccounted > 0) {
      yield `${name} has ${status.unaccounted} rows that no message accounts for`;
    }
  }
}

/** The databases of all instances of a replicated service have the same rows in every table. */
export function* copiesAreEqual({ replicated }: World): Iterable<string> {
  for (const { name: service, instances } of replicated) {
    yield* differences(instances.map(({ name, path }) => ({ service, name, file: path })));
  }
}
