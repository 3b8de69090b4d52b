import type { MessageDefinition } from "./define.ts";
import { CONTENT_TYPE, Envelope, MAX_MESSAGE_BYTES } from "./envelope.ts";
import { deadLetterTopic, type Topic } from "./topic.ts";

/** The messages that each service handles, by its name. Every service of the system is a key. */
export type Receivers = Readonly<Record<string, readonly MessageDefinition[]>>;

type Json = Readonly<Record<string, unknown>>;

const BINDING = "0.5.0";
const DEAD_LETTER = "dead-letter";

/**
 * The messages of the store as an AsyncAPI 3.0 document, generated from the definitions.
 * https://www.asyncapi.com/docs/reference/specification/v3.0.0
 *
 * @param topics every topic, those of dead letters included
 */
export function asyncApi(
  definitions: readonly MessageDefinition[],
  topics: readonly Topic[],
  receivers: Receivers,
): Json {
  const deadLetterTopics = new Set(Object.keys(receivers).map((service) => deadLetterTopic(service).name));
  const messagesOn = ({ name }: Topic) =>
    deadLetterTopics.has(name)
      ? [DEAD_LETTER]
      : definitions.filter(({ topic }) => topic.name === name).flatMap(typesOf);
  return {
    asyncapi: "3.0.0",
    info: {
      title: "The messages of the store",
      version: "0.1.0",
      description:
        "CloudEvents 1.0 in structured JSON mode, as Kafka records whose key is the subject. Delivery is at " +
        "least once; readers drop what they have seen by its id. Messages of one key keep their order.",
      license: { name: "MIT" },
    },
    defaultContentType: CONTENT_TYPE,
    servers: {
      local: {
        host: "localhost:9092",
        protocol: "kafka",
        description: "The broker that npm start runs; KAFKA_BROKERS names any other",
      },
    },
    channels: Object.fromEntries(topics.map((topic) => [topic.name, channel(topic, messagesOn(topic))])),
    operations: Object.fromEntries(operations(definitions, receivers)),
    components: {
      messages: Object.fromEntries(messages(definitions)),
      schemas: Object.fromEntries(schemas(definitions)),
    },
  };
}

function channel(topic: Topic, names: readonly string[]): Json {
  const { "cleanup.policy": policy = "delete", "retention.ms": retention } = topic.config;
  return {
    address: topic.name,
    description: `Keyed by ${topic.key}.`,
    messages: Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }])),
    bindings: {
      kafka: {
        topic: topic.name,
        partitions: topic.partitions,
        topicConfiguration: {
          "cleanup.policy": policy.split(","),
          ...(retention === undefined ? {} : { "retention.ms": Number(retention) }),
        },
        bindingVersion: BINDING,
      },
    },
  };
}

function* operations(
  definitions: readonly MessageDefinition[],
  receivers: Receivers,
): Iterable<[string, Json]> {
  for (const [service, received] of Object.entries(receivers)) {
    const sent = definitions.filter((definition) => definition.source === service);
    for (const [topic, group] of Map.groupBy(sent, (definition) => definition.topic.name)) {
      yield operation(
        service,
        "send",
        topic,
        group.map(({ type }) => type),
      );
    }
    yield operation(service, "send", deadLetterTopic(service).name, [DEAD_LETTER]);
    for (const [topic, group] of Map.groupBy(received, (definition) => definition.topic.name)) {
      const [name, details] = operation(service, "receive", topic, group.flatMap(typesOf));
      const bindings = { kafka: { groupId: { type: "string", const: service }, bindingVersion: BINDING } };
      yield [name, { ...details, bindings }];
    }
  }
}

function operation(
  service: string,
  action: "send" | "receive",
  topic: string,
  types: readonly string[],
): [string, Json] {
  return [
    `${service}.${action}.${topic}`,
    {
      action,
      title: `${service} ${action}s on ${topic}`,
      channel: { $ref: `#/channels/${topic}` },
      messages: types.map((type) => ({ $ref: `#/channels/${topic}/messages/${type}` })),
      tags: [{ name: service }],
    },
  ];
}

function* messages(definitions: readonly MessageDefinition[]): Iterable<[string, Json]> {
  for (const definition of definitions) {
    const { type, kind, key, source, upcasts } = definition;
    for (const old of upcasts) {
      const summary = `Superseded by ${type}: no longer emitted, still understood.`;
      yield [old.type, cloudEvent(old.type, { summary, tags: [{ name: kind }, { name: "superseded" }] })];
    }
    const summary = `A ${kind} from ${source}, keyed by its ${key}.`;
    yield [type, cloudEvent(type, { summary, tags: [{ name: kind }] })];
  }
  yield [
    DEAD_LETTER,
    {
      name: DEAD_LETTER,
      summary: "A copy of a record that a service could not handle: key, value and headers as they came.",
      contentType: "application/octet-stream",
      headers: { $ref: "#/components/schemas/dead-letter.headers" },
      payload: { description: "Any bytes, or none." },
    },
  ];
}

function cloudEvent(type: string, about: Json): Json {
  return {
    name: type,
    ...about,
    contentType: CONTENT_TYPE,
    headers: { $ref: "#/components/schemas/headers" },
    payload: {
      allOf: [
        { $ref: `#/components/schemas/envelope` },
        {
          type: "object",
          properties: { type: { const: type }, data: { $ref: `#/components/schemas/${type}` } },
        },
      ],
    },
    bindings: {
      kafka: { key: { type: "string", description: "The subject" }, bindingVersion: BINDING },
    },
  };
}

function* schemas(definitions: readonly MessageDefinition[]): Iterable<[string, unknown]> {
  yield [
    "headers",
    { type: "object", properties: { "content-type": { const: CONTENT_TYPE } }, required: ["content-type"] },
  ];
  yield [
    "dead-letter.headers",
    {
      type: "object",
      properties: {
        "dead-letter-reason": { type: "string" },
        "dead-letter-error": { type: "string" },
        "dead-letter-attempts": { type: "string", pattern: "^\\d+$" },
        "dead-letter-source": { type: "string", description: "topic/partition/offset" },
      },
      required: ["dead-letter-reason", "dead-letter-error", "dead-letter-attempts", "dead-letter-source"],
    },
  ];
  yield ["envelope", { ...plain(Envelope), description: `At most ${MAX_MESSAGE_BYTES} bytes as JSON.` }];
  for (const definition of definitions) {
    for (const { type, data } of [...definition.upcasts, definition]) yield [type, plain(data)];
  }
}

/** Through JSON, which leaves out what TypeBox keeps in a schema for itself. */
function plain(schema: object): Json {
  return JSON.parse(JSON.stringify(schema)) as Json;
}

function typesOf({ type, upcasts }: MessageDefinition): string[] {
  return [...upcasts.map((old) => old.type), type];
}
