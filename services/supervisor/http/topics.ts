import { OrderId, topics } from "@distributed-messaging/contracts";
import { errorText } from "@distributed-messaging/messaging";
import type { KafkaInspector, StoredRecord } from "@distributed-messaging/messaging/kafka";
import { ServiceError } from "@distributed-messaging/service/errors";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { RecordReport, Redelivery, TopicReport } from "../reports.ts";
import { askedOnce } from "./cache.ts";

/** Records shown of a topic, and characters shown of each. */
const LATEST = 20;
const MAX_CHARACTERS = 4_000;
const MAX_AGE_MS = 1_000;

/** The topics that an order's messages travel on. */
const orderTopics = [topics.orderCommands, topics.orderEvents, topics.inventoryEvents].map(
  ({ name }) => name,
);

const byOrder = { params: Type.Object({ orderId: OrderId }) };

/** What stands in the broker, and ways to put something there that should make no difference. */
export function brokerRoutes(inspector: KafkaInspector, topicNames: readonly string[]) {
  const topicStates = askedOnce(() => answered(inspector.topics()), MAX_AGE_MS);
  const latest = new Map(
    topicNames.map((name) => [name, askedOnce(() => answered(inspector.latest(name, LATEST)), MAX_AGE_MS)]),
  );
  const recordsOf = (orderId: string) => answered(inspector.ofKey(orderId, orderTopics));
  return new Elysia()
    .get("/topics", (): Promise<readonly TopicReport[]> => topicStates(), {
      detail: { summary: "Every topic with its offsets, and how far behind its readers are" },
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
        detail: { summary: "The latest records of a topic, newest first" },
      },
    )
    .get(
      "/orders/:orderId/messages",
      async ({ params: { orderId } }): Promise<RecordReport[]> => (await recordsOf(orderId)).map(shown),
      { ...byOrder, detail: { summary: "Every record of an order, oldest first" } },
    )
    .post(
      "/orders/:orderId/deliver-again",
      async ({ params: { orderId } }): Promise<Redelivery> => {
        const records = await recordsOf(orderId);
        if (records.length === 0) {
          throw new ServiceError("not-found", "order-not-found", `The topics hold no message of ${orderId}.`);
        }
        await answered(inspector.publish(records));
        const byTopic = Map.groupBy(records, ({ topic }) => topic);
        return {
          orderId,
          records: Object.fromEntries([...byTopic].map(([topic, { length }]) => [topic, length])),
        };
      },
      { ...byOrder, detail: { summary: "Publish every record of an order once more" } },
    )
    .post(
      "/orders/:orderId/broken-message",
      async ({ params: { orderId }, set }) => {
        await answered(
          inspector.publish([
            { topic: topics.orderCommands.name, key: orderId, value: "no message at all", headers: {} },
          ]),
        );
        set.status = 204;
      },
      { ...byOrder, detail: { summary: "Publish a record under an order's key that nobody can read" } },
    );
}

function shown({ topic, partition, offset, key, at, value }: StoredRecord): RecordReport {
  const text = value === null ? null : new TextDecoder().decode(value.subarray(0, MAX_CHARACTERS));
  return { topic, partition, offset, key, at, value: text };
}

/** @throws ServiceError unavailable: broker-silent */
async function answered<T>(question: Promise<T>): Promise<T> {
  try {
    return await question;
  } catch (error) {
    const detail = `The broker gave no answer: ${errorText(error)}.`;
    throw new ServiceError("unavailable", "broker-silent", detail, { cause: error });
  }
}
