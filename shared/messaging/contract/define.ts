import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";

/** A topic of a Kafka-protocol broker, as it is provisioned. */
export interface Topic {
  readonly name: string;
  /** What its records are keyed by. Records of one key keep their order; a topic promises no more than that. */
  readonly key: string;
  readonly partitions: number;
  /** Kafka topic configuration, as `kafka-configs` spells it. */
  readonly config: Readonly<Record<string, string>>;
}

/** Whether the broker keeps the last record of each key only: then records are missing from a log as a rule. */
export function isCompacted({ config }: Topic): boolean {
  return (config["cleanup.policy"] ?? "delete").split(",").includes("compact");
}

const DEAD_LETTER_RETENTION_MS = 30 * 24 * 60 * 60 * 1000;

/**
 * The topic to which a service copies its dead letters, for people who look at topics. Nobody consumes it: the dead
 * letters themselves are in the service's database.
 */
export function deadLetterTopic(service: string): Topic {
  return {
    name: `${service}.dead-letters`,
    key: "as it came",
    partitions: 1,
    config: { "cleanup.policy": "delete", "retention.ms": String(DEAD_LETTER_RETENTION_MS) },
  };
}

/**
 * The topic in which the owner of a service is found. Compacted: the last claim stays. Small segments, so that a broker
 * compacts what the owner repeats.
 */
export function ownerTopic(service: string): Topic {
  return {
    name: `${service}.owner`,
    key: "kind of record",
    partitions: 1,
    config: { "cleanup.policy": "compact", "segment.bytes": String(1024 * 1024) },
  };
}

/** The change log of a replicated service, from which its other instances follow it. It keeps what no snapshot replaces. */
export function changesTopic(service: string): Topic {
  return {
    name: `${service}.changes`,
    key: "none",
    partitions: 1,
    config: { "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1" },
  };
}

/** For every object of a message: a field that the schema does not have is an error. */
export const closed = { additionalProperties: false } as const;

/** A kind of message: its type, its topic and the schema of its data. */
export interface MessageDefinition<Name extends string = string, Data extends TSchema = TSchema> {
  /** With its version, `parcel.sent.v1`. */
  readonly type: Name;
  readonly kind: "command" | "event";
  /** The service that may send it: of a command the one that asks, of an event the one that it happened in. */
  readonly source: string;
  readonly topic: Topic;
  /** The field of the data that is its partition key. */
  readonly key: string;
  readonly data: Data;
  /** The versions before this one, oldest first: topics and dead letters may still hold messages of them. */
  readonly upcasts: readonly Upcast[];
  /** The partition key of a message with this data. */
  keyOf(data: Static<Data>): string;
  readonly check: TypeCheck<Data>;
}

/** An older version of a kind of message, and the function that lifts its data to the next version. */
export interface Upcast {
  readonly type: string;
  readonly data: TSchema;
  readonly check: TypeCheck<TSchema>;
  /** Is given what `check` accepts. May throw: then the message is rejected like one that breaks its schema. */
  lift(old: unknown): unknown;
}

/** The schemas that each of the older versions is lifted to: those after the first, then the current one. */
type Next<Olds extends readonly TSchema[], Current extends TSchema> = Olds extends readonly [
  TSchema,
  ...infer Rest extends readonly TSchema[],
]
  ? readonly [...Rest, Current]
  : readonly [];

type Lifted<Schemas extends readonly TSchema[], Index> = Index extends keyof Schemas
  ? Schemas[Index] extends TSchema
    ? Static<Schemas[Index]>
    : never
  : never;

type UpcastsOf<Olds extends readonly TSchema[], Current extends TSchema> = {
  readonly [Index in keyof Olds]: {
    readonly type: string;
    readonly data: Olds[Index];
    readonly lift: (old: Static<Olds[Index]>) => Lifted<Next<Olds, Current>, Index>;
  };
};

/** The fields of data that may be its key: those that always have a text or a number. */
type KeyField<Data> = {
  [Field in keyof Data & string]-?: Data[Field] extends string | number ? Field : never;
}[keyof Data & string];

/**
 * Defines a kind of message.
 *
 * @param options.type the versioned name, `parcel.sent.v1`
 * @param options.source the service that may send it; any other that emits it throws
 * @param options.key the field of the data that is its partition key
 * @param options.upcasts the versions before this one, oldest first, each with a pure function to the next
 * @throws TypeError when the versions are not those directly before this one
 */
export function define<
  const Name extends string,
  Data extends TSchema,
  const Olds extends readonly TSchema[] = readonly [],
>(options: {
  type: Name;
  kind: "command" | "event";
  source: string;
  topic: Topic;
  key: KeyField<Static<Data>>;
  data: Data;
  upcasts?: UpcastsOf<Olds, Data>;
}): MessageDefinition<Name, Data> {
  // Sound: `decode` passes `lift` only what the schema beside it accepts, and checks the result.
  const olds = (options.upcasts ?? []) as readonly Omit<Upcast, "check">[];
  refuseGaps([...olds.map(({ type }) => type), options.type]);
  return {
    ...options,
    upcasts: olds.map((old) => ({ ...old, check: TypeCompiler.Compile(old.data) })),
    keyOf: (data) => String((data as Record<string, unknown>)[options.key]),
    check: TypeCompiler.Compile(options.data),
  };
}

/** A name and its version. */
export const VERSIONED = /^(.+)\.v([1-9]\d*)$/;

/** A version left out would be a version whose messages nobody can read. */
function refuseGaps(types: readonly string[]): void {
  for (const [index, type] of types.entries()) {
    const before = types[index - 1];
    if (before === undefined) continue;
    const [, stem, version] = VERSIONED.exec(before) ?? [];
    const next = `${stem}.v${Number(version) + 1}`;
    if (type !== next)
      throw new TypeError(`${before} is followed by ${type}: a version is lifted to the next one`);
  }
}

/**
 * Definitions by each name that a message of theirs may bear: the current one and those of older versions.
 *
 * @throws TypeError when two of them claim one name
 */
export function byType(definitions: readonly MessageDefinition[]): ReadonlyMap<string, MessageDefinition> {
  const known = new Map<string, MessageDefinition>();
  for (const definition of definitions) {
    for (const { type } of [definition, ...definition.upcasts]) {
      const other = known.get(type);
      if (other !== undefined && other !== definition) throw new TypeError(`${type} is defined twice`);
      known.set(type, definition);
    }
  }
  return known;
}

/** TypeBox's messages that can be said in plain words. */
const words: Readonly<Record<string, string>> = {
  "Expected required property": "is missing",
  "Unexpected property": "is not a known field",
};

/** The first few faults of a value, each with its path; of one path the first. */
export function faultsOf(check: TypeCheck<TSchema>, value: unknown): string {
  const faults = new Map<string, string>();
  for (const { path, message } of check.Errors(value)) {
    if (!faults.has(path)) faults.set(path, `${path || "/"}: ${words[message] ?? message}`);
    if (faults.size === 3) break;
  }
  return [...faults.values()].join("; ");
}
