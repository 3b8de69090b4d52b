import type { KafkaInspector, StoredRecord, TopicState } from "@distributed-messaging/messaging/kafka";
import { documented } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { MovedMessage, Movement, TrafficReport } from "../reports.ts";
import { FIGURES, TrafficAnswer } from "./answers.ts";
import { coalesced } from "./broker.ts";
import { serviceOf } from "./services.ts";

const MAX_AGE_MS = 300;
/** How many records of a partition are read for a sample: under load, the last ones. */
const SAMPLE = 3;
/** How many movements are kept for pages that ask later. */
const KEPT = 200;

/** Where a topic ended, and how many records its groups had handled, at the last look. */
interface Position {
  readonly latest: ReadonlyMap<number, number>;
  readonly handled: ReadonlyMap<string, number>;
}

interface Growth extends Pick<Movement, "topic" | "stored" | "read"> {
  /** The sample. */
  readonly ranges: Parameters<KafkaInspector["read"]>[0];
}

/**
 * What moves through the broker: the growth of its topics and of the committed offsets from one look to the next. It
 * looks only when a page asks, at most every 300 ms.
 */
export class Traffic {
  readonly #inspector: Pick<KafkaInspector, "topics" | "read">;
  readonly #look = coalesced(() => this.#observe(), MAX_AGE_MS);
  readonly #positions = new Map<string, Position>();
  #movements: readonly Movement[] = [];
  #next = 0;

  constructor(inspector: Pick<KafkaInspector, "topics" | "read">) {
    this.#inspector = inspector;
  }

  /** @param after the `next` of an earlier answer */
  async since(after: number | undefined): Promise<TrafficReport> {
    const answered = await this.#look().then(
      () => true,
      () => false,
    );
    if (!answered) return { next: after ?? this.#next, movements: null };
    const count = after === undefined ? 0 : Math.max(0, this.#next - after);
    return { next: this.#next, movements: count === 0 ? [] : this.#movements.slice(-count) };
  }

  async #observe(): Promise<void> {
    const topics = await this.#inspector.topics();
    const grown = topics.flatMap((topic) => growthOf(topic, this.#positions.get(topic.name)));
    const records = await this.#read(grown);
    const movements = grown.flatMap(({ topic, stored, read }): Movement[] => {
      const sample = records.get(topic)?.toSorted((one, other) => one.at - other.at);
      return sample === undefined ? [] : [{ topic, stored, sample: sample.map(messageIn), read }];
    });
    // After the read: what could not be read is reported by a later look.
    for (const topic of topics) {
      const isUnread = grown.some(({ topic: name }) => name === topic.name) && !records.has(topic.name);
      if (!isUnread) this.#positions.set(topic.name, positionOf(topic));
    }
    this.#movements = [...this.#movements, ...movements].slice(-KEPT);
    this.#next += movements.length;
  }

  /** The sampled records by topic; without the topics that cannot be read, such as one with a corrupt batch. */
  async #read(grown: readonly Growth[]): Promise<Map<string, StoredRecord[]>> {
    const readAll = async (topics: readonly Growth[]) => {
      const records = await this.#inspector.read(topics.flatMap(({ ranges }) => ranges));
      const byTopic = Map.groupBy(records, ({ topic }) => topic);
      return topics.map(({ topic }) => [topic, byTopic.get(topic) ?? []] as const);
    };
    try {
      return new Map(await readAll(grown));
    } catch {
      const alone = await Promise.all(grown.map((one) => readAll([one]).catch(() => [])));
      return new Map(alone.flat());
    }
  }
}

function positionOf({ partitions, groups }: TopicState): Position {
  const total = partitions.reduce((sum, { latest }) => sum + latest, 0);
  return {
    latest: new Map(partitions.map(({ partition, latest }) => [partition, latest])),
    handled: new Map(groups.map(({ group, lag }) => [group, total - lag])),
  };
}

/** What a topic has grown by; empty for a topic that did not change or is looked at for the first time. */
function growthOf(topic: TopicState, before: Position | undefined): Growth[] {
  if (before === undefined) return [];
  const ranges = topic.partitions.flatMap(({ partition, earliest, latest: to }) => {
    const from = Math.max(before.latest.get(partition) ?? 0, earliest);
    return to > from ? [{ topic: topic.name, partition, from, to }] : [];
  });
  const read: Record<string, number> = {};
  for (const [group, handled] of positionOf(topic).handled) {
    const more = handled - (before.handled.get(group) ?? 0);
    if (more > 0) read[serviceOf(group)] = Math.max(more, read[serviceOf(group)] ?? 0);
  }
  const stored = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  if (stored === 0 && Object.keys(read).length === 0) return [];
  const sampled = ranges.map((range) => ({ ...range, from: Math.max(range.from, range.to - SAMPLE) }));
  return [{ topic: topic.name, stored, read, ranges: sampled }];
}

/** The type and the sender of a message (CloudEvents, structured mode). */
function messageIn({ at, key, value }: StoredRecord): MovedMessage {
  let message: unknown;
  try {
    message = JSON.parse(new TextDecoder().decode(value ?? undefined));
  } catch {
    // A record that no service can read either.
  }
  return { at, key, type: textOf(message, "type"), sender: textOf(message, "source")?.split("/")[0] ?? null };
}

function textOf(message: unknown, field: "type" | "source"): string | null {
  if (typeof message !== "object" || message === null || !(field in message)) return null;
  const value: unknown = Reflect.get(message, field);
  return typeof value === "string" ? value : null;
}

/** @param inspector its topics are followed */
export function trafficRoutes(inspector: Pick<KafkaInspector, "topics" | "read">) {
  const traffic = new Traffic(inspector);
  return new Elysia().get(
    "/traffic",
    ({ query: { after } }) => traffic.since(after === undefined ? undefined : Number(after)),
    {
      query: Type.Object({ after: Type.Optional(Type.String({ pattern: "^\\d{1,15}$" })) }),
      detail: documented("What has moved through the broker since an earlier answer", {
        tag: FIGURES,
        answers: { 200: TrafficAnswer },
      }),
    },
  );
}
