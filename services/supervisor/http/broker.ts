import { CustomerId, OrderId, orderIdOf, topics } from "@distributed-messaging/contracts";
import { errorText } from "@distributed-messaging/messaging";
import type { KafkaInspector, StoredRecord } from "@distributed-messaging/messaging/kafka";
import { ServiceError } from "@distributed-messaging/service/errors";
import { documented } from "@distributed-messaging/service/http";
import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { RecordReport, Redelivery, TopicReport } from "../reports.ts";
import { RecordAnswer, RedeliveryAnswer, TopicAnswer } from "./answers.ts";

/** How many records of a topic are shown, and how many bytes of each. */
const LATEST = 20;
const MAX_BYTES = 4_000;
/** Of an order's: whole ones, also of the largest order. */
const MAX_BYTES_OF_ORDER = 64_000;
const MAX_AGE_MS = 1_000;

const BROKER = { name: "broker", description: "The topics, and what is in them" };

/** The topics that carry the messages of an order. */
const orderTopics = [topics.orderCommands, topics.orderEvents, topics.inventoryEvents].map(
  ({ name }) => name,
);

/** An order's own id; with a customer, the customer's name for it. */
const byOrder = {
  params: Type.Object({ orderId: OrderId }),
  query: Type.Object({ customerId: Type.Optional(CustomerId) }),
};

type OrderParams = Static<typeof byOrder.params>;
type CustomerQuery = Static<typeof byOrder.query>;

/** The topics and records of the broker, and two ways to publish records that must have no effect. */
export function brokerRoutes(inspector: KafkaInspector, topicNames: readonly string[]) {
  const topicStates = coalesced(() => orUnavailable(inspector.topics()), MAX_AGE_MS);
  const latest = new Map(
    topicNames.map((name) => [
      name,
      coalesced(() => orUnavailable(inspector.latest(name, LATEST)), MAX_AGE_MS),
    ]),
  );
  const recordsOf = async (params: OrderParams, query: CustomerQuery): Promise<StoredRecord[]> => {
    const records = await orUnavailable(inspector.ofKey(keyOf(params, query), orderTopics));
    // An order that was placed when ids were names has its name for an id.
    if (records.length > 0 || query.customerId === undefined) return records;
    return orUnavailable(inspector.ofKey(params.orderId, orderTopics));
  };
  return new Elysia()
    .get("/topics", (): Promise<readonly TopicReport[]> => topicStates(), {
      detail: documented("Every topic with its offsets and the lag of each consumer group", {
        tag: BROKER,
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
        return (await ask()).map((record) => shown(record, MAX_BYTES));
      },
      {
        params: Type.Object({ topic: Type.String({ maxLength: 249 }) }),
        detail: documented("The latest records of a topic, newest first", {
          tag: BROKER,
          answers: { 200: Type.Array(RecordAnswer) },
          problems: [404, 503],
        }),
      },
    )
    .get(
      "/orders/:orderId/messages",
      async ({ params, query }): Promise<RecordReport[]> =>
        (await recordsOf(params, query)).map((record) => shown(record, MAX_BYTES_OF_ORDER)),
      {
        ...byOrder,
        detail: documented("Every record of an order, oldest first", {
          tag: BROKER,
          answers: { 200: Type.Array(RecordAnswer) },
          problems: [503],
        }),
      },
    )
    .post(
      "/orders/:orderId/deliver-again",
      async ({ params, query }): Promise<Redelivery> => {
        const { orderId } = params;
        const records = await recordsOf(params, query);
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
          tag: BROKER,
          answers: { 200: RedeliveryAnswer },
          problems: [404, 503],
        }),
      },
    )
    .post(
      "/orders/:orderId/broken-message",
      async ({ params, query }) => {
        const key = keyOf(params, query);
        await orUnavailable(
          inspector.publish([{ topic: topics.orderCommands.name, key, value: "not a message", headers: {} }]),
        );
        return { key };
      },
      {
        ...byOrder,
        detail: documented("Publish a record with an order's key that no service can decode", {
          tag: BROKER,
          answers: { 200: Type.Object({ key: Type.String() }) },
          problems: [503],
        }),
      },
    );
}

/** The key of an order's records. */
function keyOf({ orderId }: OrderParams, { customerId }: CustomerQuery): string {
  return customerId === undefined ? orderId : orderIdOf(customerId, orderId);
}

function shown({ topic, partition, offset, key, at, value }: StoredRecord, maxBytes: number): RecordReport {
  const text = value === null ? null : new TextDecoder().decode(value.subarray(0, maxBytes));
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
