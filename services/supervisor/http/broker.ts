import { OrderId, topics } from "@distributed-messaging/contracts";
import { errorText } from "@distributed-messaging/messaging";
import type { KafkaInspector, StoredRecord } from "@distributed-messaging/messaging/kafka";
import { ServiceError } from "@distributed-messaging/service/errors";
import { documented } from "@distributed-messaging/service/http";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { RecordReport, Redelivery, TopicReport } from "../reports.ts";
import { RecordAnswer, RedeliveryAnswer, TopicAnswer } from "./answers.ts";

/** How many records of a topic are shown, and how many characters of each. */
const LATEST = 20;
const MAX_CHARACTERS = 4_000;
const MAX_AGE_MS = 1_000;

/** The topics that carry the messages of an order. */
const orderTopics = [topics.orderCommands, topics.orderEvents, topics.inventoryEvents].map(
  ({ name }) => name,
);

const byOrder = { params: Type.Object({ orderId: OrderId }) };

/** The topics and records of the broker, and two ways to publish records that must have no effect. */
export function brokerRoutes(inspector: KafkaInspector, topicNames: readonly string[]) {
  const topicStates = coalesced(() => orUnavailable(inspector.topics()), MAX_AGE_MS);
  const latest = new Map(
    topicNames.map((name) => [
      name,
      coalesced(() => orUnavailable(inspector.latest(name, LATEST)), MAX_AGE_MS),
    ]),
  );
  const recordsOf = (orderId: string) => orUnavailable(inspector.ofKey(orderId, orderTopics));
  return new Elysia()
    .get("/topics", (): Promise<readonly TopicReport[]> => topicStates(), {
      detail: documented("Every topic with its offsets and the lag of each consumer group", {
        answers: { 200: Type.Array(TopicAnswer) },
        problems: [503],
      }),
    })
    .get(
      "/topics/:topic/messages",
      async ({ params: { topic } }): Promise<RecordReport[]> => {
        const ask = latest.get(topic);
        if (ask === undefined) {
          throw new ServiceError("not-found", "topic-not-found", `There is no topic ${topic}.`);
        }
        return (await ask()).map(shown);
      },
      {
        params: Type.Object({ topic: Type.String({ maxLength: 249 }) }),
        detail: documented("The latest records of a topic, newest first", {
          answers: { 200: Type.Array(RecordAnswer) },
          problems: [404, 503],
        }),
      },
    )
    .get(
      "/orders/:orderId/messages",
      async ({ params: { orderId } }): Promise<RecordReport[]> => (await recordsOf(orderId)).map(shown),
      {
        ...byOrder,
        detail: documented("Every record of an order, oldest first", {
          answers: { 200: Type.Array(RecordAnswer) },
          problems: [503],
        }),
      },
    )
    .post(
      "/orders/:orderId/deliver-again",
      async ({ params: { orderId } }): Promise<Redelivery> => {
        const records = await recordsOf(orderId);
        if (records.length === 0) {
          throw new ServiceError("not-found", "order-not-found", `The topics hold no message of ${orderId}.`);
        }
        await orUnavailable(inspector.publish(records));
        const byTopic = Map.groupBy(records, ({ topic }) => topic);
        return {
          orderId,
          records: Object.fromEntries([...byTopic].map(([topic, { length }]) => [topic, length])),
        };
      },
      {
        ...byOrder,
        detail: documented("Publish every record of an order again", {
          answers: { 200: RedeliveryAnswer },
          problems: [404, 503],
        }),
      },
    )
    .post(
      "/orders/:orderId/broken-message",
      async ({ params: { orderId }, set }) => {
        await orUnavailable(
          inspector.publish([
            { topic: topics.orderCommands.name, key: orderId, value: "not a message", headers: {} },
          ]),
        );
        set.status = 204;
      },
      {
        ...byOrder,
        detail: documented("Publish a record with an order's key that no service can decode", {
          answers: { 204: null },
          problems: [503],
        }),
      },
    );
}

function shown({ topic, partition, offset, key, at, value }: StoredRecord): RecordReport {
  const text = value === null ? null : new TextDecoder().decode(value.subarray(0, MAX_CHARACTERS));
  return { topic, partition, offset, key, at, value: text };
}

/** @throws ServiceError unavailable: broker-silent */
async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const detail = `The broker does not answer: ${errorText(error)}.`;
    throw new ServiceError("unavailable", "broker-silent", detail, { cause: error });
  }
}

/**
 * A query whose concurrent callers share one answer, and later ones reuse it until it is too old: the load on the
 * store does not depend on how many pages are open.
 */
export function coalesced<Answer>(query: () => Promise<Answer>, maxAgeMs: number): () => Promise<Answer> {
  let current: Promise<Answer> | undefined;
  let answeredAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (current !== undefined && performance.now() - answeredAt < maxAgeMs) return current;
    answeredAt = Number.POSITIVE_INFINITY;
    const answer = query().finally(() => {
      answeredAt = performance.now();
    });
    current = answer;
    return answer;
  };
}
