import type { MessageDefinition } from "./define.ts";
import { deadLetterTopic, type Topic } from "./define.ts";
import { CONTENT_TYPE, Envelope, MAX_MESSAGE_BYTES } from "./envelope.ts";

type Json = Readonly<Record<string, unknown>>;

export interface AsyncApiOptions {
  readonly title: string;
  readonly version: string;
  /** What the messages are for, in front of how they are delivered. */
  readonly about?: string;
  /** The name of the licence. */
  readonly license?: string;
  /** AsyncAPI Server Objects, by name. */
  readonly servers: Readonly<Record<string, Json>>;
  /** Every topic, those of dead letters included. */
  readonly topics: readonly Topic[];
  /** Every kind of message; its `source` is the service that sends it. */
  readonly definitions: readonly MessageDefinition[];
  /** The messages that each service receives, by its name. A service that receives none is in here, too. */
  readonly receivers: Readonly<Record<string, readonly MessageDefinition[]>>;
}

interface Reference {
  readonly $ref: string;
}

/** The members of a generated document that describe its messages; it has more. */
export interface AsyncApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly channels: Readonly<Record<string, { readonly address: string; readonly description: string }>>;
  readonly operations: Readonly<Record<string, Operation>>;
  readonly components: {
    readonly messages: Readonly<Record<string, Message>>;
    readonly schemas: Readonly<Record<string, unknown>>;
  };
}

interface Operation {
  readonly action: "send" | "receive";
  readonly channel: Reference;
  readonly messages: readonly Reference[];
}

interface Message {
  readonly name: string;
  readonly summary: string;
  readonly contentType: string;
}

const BINDING = "0.5.0";
const DEAD_LETTER = "dead-letter";

/**
 * Describes messages as an AsyncAPI 3.1 document, generated from what the code uses.
 * https://www.asyncapi.com/docs/reference/specification/v3.1.0
 */
export function asyncApi(options: AsyncApiOptions): AsyncApiDocument & Json {
  const { title, version, about, license, servers, topics, definitions, receivers } = options;
  const deadLetterTopics = new Set(Object.keys(receivers).map((service) => deadLetterTopic(service).name));
  const messagesOn = ({ name }: Topic) =>
    deadLetterTopics.has(name)
      ? [DEAD_LETTER]
      : definitions.filter(({ topic }) => topic.name === name).flatMap(typesOf);
  return {
    asyncapi: "3.1.0",
    info: {
      title,
      version,
      description:
        (about === undefined ? "" : `${about}.\n\n`) +
        "CloudEvents 1.0 in structured JSON mode, as Kafka records whose key is the subject. Delivery is at " +
        "least once; readers drop duplicates by their id. Messages of one key keep their order.",
      ...(license === undefined ? {} : { license: { name: license } }),
    },
    defaultContentType: CONTENT_TYPE,
    servers,
    channels: Object.fromEntries(topics.map((topic) => [topic.name, channel(topic, messagesOn(topic))])),
    operations: Object.fromEntries(operations(definitions, receivers)),
    components: {
      messages: Object.fromEntries(messages(definitions)),
      schemas: Object.fromEntries(schemas(definitions)),
    },
  };
}

function channel(topic: Topic, names: readonly string[]): AsyncApiDocument["channels"][string] & Json {
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
  receivers: AsyncApiOptions["receivers"],
): Iterable<[string, Operation & Json]> {
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
): [string, Operation & Json] {
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

function* messages(definitions: readonly MessageDefinition[]): Iterable<[string, Message & Json]> {
  for (const definition of definitions) {
    const { type, kind, key, source, upcasts } = definition;
    for (const old of upcasts) {
      const summary = `Superseded by ${type}: no longer sent, still accepted.`;
      yield [old.type, cloudEvent(old.type, { summary, tags: [{ name: kind }, { name: "superseded" }] })];
    }
    const summary = `${kind === "event" ? "An" : "A"} ${kind} from ${source}, keyed by its ${key}.`;
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

function cloudEvent(type: string, about: Json & Pick<Message, "summary">): Message & Json {
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
    {
      type: "object",
      properties: {
        "content-type": { const: CONTENT_TYPE },
        sequence: {
          type: "string",
          pattern: "^\\d+\\.\\d+$",
          description: "Where it stands among all that its service has emitted: epoch and number",
        },
      },
      required: ["content-type"],
    },
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

/** Through JSON, which drops the symbols that TypeBox keeps in a schema. */
function plain(schema: object): Json {
  return JSON.parse(JSON.stringify(schema)) as Json;
}

function typesOf({ type, upcasts }: MessageDefinition): string[] {
  return [...upcasts.map((old) => old.type), type];
}
