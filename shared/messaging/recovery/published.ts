import { readCloudEvent } from "../contract/cloud-event.ts";
import { isCompacted, type Topic } from "../contract/define.ts";
import type { Message } from "../contract/envelope.ts";
import { SEQUENCE } from "../outbox/outbox.ts";
import { type Logs, recordsFrom } from "../transport/logs.ts";
import { type OutgoingRecord, topicPartition } from "../transport/transport.ts";

/** Where a record stands among all that its service has emitted. */
export interface Sequence {
  readonly epoch: number;
  readonly number: number;
}

/** What a service has published and a message, a timer, an effect or a request has caused. */
export interface Outputs {
  /** Of the cause. */
  readonly id: string;
  readonly first: Sequence;
  /** When it was handled, in milliseconds since the epoch. */
  readonly now: number;
  /** By id. */
  readonly messages: ReadonlyMap<string, Output>;
}

interface Output {
  readonly type: string;
  readonly subject: string;
  /** Of the content; not of the trace, in which two that are otherwise alike may differ. */
  readonly digest: bigint;
}

export const before = (one: Sequence, other: Sequence): boolean =>
  one.epoch < other.epoch || (one.epoch === other.epoch && one.number < other.number);

export function digestOf({ type, subject, data, correlationid, causationid }: Message): bigint {
  return Bun.hash.xxHash64(JSON.stringify([type, subject, data, correlationid, causationid]));
}

/** What a service has published since a moment of its database. */
export class Published {
  /** In the order in which they were emitted. */
  readonly outputs: readonly Outputs[];
  /** Where the log may have lost some of it, in words. */
  readonly gaps: readonly string[];
  readonly #byId: ReadonlyMap<string, Output>;
  readonly #unordered: ReadonlySet<string>;
  readonly #latest: ReadonlyMap<string, Sequence>;

  constructor(found: Found) {
    this.outputs = [...found.outputs.values()].sort((one, other) =>
      before(one.first, other.first) ? -1 : 1,
    );
    this.gaps = found.gaps;
    this.#byId = new Map(this.outputs.flatMap(({ messages }) => [...messages]));
    this.#unordered = found.unordered;
    this.#latest = found.latest;
  }

  find(id: string): Output | undefined {
    return this.#byId.get(id);
  }

  /** Whether a message was published by a version that did not say in which order. */
  isUnordered(id: string): boolean {
    return this.#unordered.has(id);
  }

  /** Whether the state of a key was published at or after a place in the order: one from before it needs not be sent. */
  hasState(record: Pick<OutgoingRecord, "topic" | "key">, from: Sequence): boolean {
    const latest = this.#latest.get(placeOf(record));
    return latest !== undefined && !before(latest, from);
  }
}

interface Found {
  readonly outputs: Map<
    string,
    { first: Sequence; now: number; readonly id: string; readonly messages: Map<string, Output> }
  >;
  readonly gaps: string[];
  readonly unordered: Set<string>;
  /** Of each key of a compacted topic, where its last state is. */
  readonly latest: Map<string, Sequence>;
}

/**
 * Reads what a service has published, from the first record that each topic has.
 *
 * @param topics that it writes
 * @param isNew whether the database lacks a message
 */
export async function readPublished(
  logs: Logs,
  topics: readonly Topic[],
  isNew: (sequence: Sequence, id: string) => boolean,
): Promise<Published> {
  const found: Found = { outputs: new Map(), gaps: [], unordered: new Set(), latest: new Map() };
  for (const topic of topics) {
    const compacted = isCompacted(topic);
    for (const bounds of await logs.partitions(topic.name)) {
      // Where the log begins with something that the database has, it has everything after that.
      let isComplete: boolean | undefined = compacted || bounds.earliest === 0 ? true : undefined;
      for await (const record of recordsFrom(logs, topic.name, bounds, bounds.earliest)) {
        const sequence = sequenceOf(record.headers[SEQUENCE]);
        if (sequence !== undefined && compacted) found.latest.set(placeOf(record), sequence);
        const message = readCloudEvent(record);
        if (typeof message === "string") continue;
        const isNewer = sequence !== undefined && isNew(sequence, message.id);
        isComplete ??= !isNewer;
        if (sequence === undefined) found.unordered.add(message.id);
        else if (isNewer) add(found, message, sequence);
      }
      if (isComplete !== true) {
        found.gaps.push(
          `retention may have removed some of what the service has published to ${topicPartition(topic.name, bounds.partition)}: it begins at offset ${bounds.earliest}`,
        );
      }
    }
  }
  return new Published(found);
}

function add({ outputs }: Found, message: Message, sequence: Sequence): void {
  const { id, type, subject, causationid } = message;
  const ofCause = outputs.get(causationid) ?? {
    id: causationid,
    first: sequence,
    now: Date.parse(message.time),
    messages: new Map<string, Output>(),
  };
  outputs.set(causationid, ofCause);
  if (before(sequence, ofCause.first)) {
    ofCause.first = sequence;
    ofCause.now = Date.parse(message.time);
  }
  // One that was sent again is the first one.
  if (!ofCause.messages.has(id)) ofCause.messages.set(id, { type, subject, digest: digestOf(message) });
}

function sequenceOf(text: string | undefined): Sequence | undefined {
  const [, epoch, number] = /^(\d{1,15})\.(\d{1,15})$/.exec(text ?? "") ?? [];
  return epoch === undefined ? undefined : { epoch: Number(epoch), number: Number(number) };
}

function placeOf({ topic, key }: Pick<OutgoingRecord, "topic" | "key">): string {
  return `${topic}\n${key}`;
}
