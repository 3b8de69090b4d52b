/** What AlterConfigs and IncrementalAlterConfigs have in common: one result for each resource. */
import type { BrokerState } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import { type ConfigChange, changedOverrides, checkTopicConfig, ResourceType } from "./config.ts";
import { checkTopicName } from "./entry.ts";

export interface Resource {
  readonly type: number;
  readonly name: string;
  readonly changes: readonly ConfigChange[];
}

export interface AlterRequest {
  readonly resources: readonly Resource[];
  readonly validateOnly: boolean;
}

interface AlterResponse {
  readonly results: readonly (Pick<Resource, "type" | "name"> & {
    readonly code: ErrorCode;
    readonly message: string | null;
  })[];
}

/** @param operationOf reads what is done with a configuration, in the API that says it */
export function decodeAlter(reader: Reader, operationOf: () => number): AlterRequest {
  return {
    resources: reader.structs(() => ({
      type: reader.int8(),
      name: reader.string(),
      changes: reader.structs(() => ({
        name: reader.string(),
        operation: operationOf(),
        value: reader.nullableString(),
      })),
    })),
    validateOnly: reader.boolean(),
  };
}

/**
 * Resolves when the changes are durable, each resource by itself.
 * @param replace whether configurations that the request does not name are removed.
 */
export async function alter(
  broker: BrokerState,
  { resources, validateOnly }: AlterRequest,
  { replace }: { readonly replace: boolean },
): Promise<AlterResponse> {
  const twice = repeated(resources.map(idOf));
  const results = resources.map(({ type, name, changes }) => {
    const work = async () => {
      if (twice.has(idOf({ type, name }))) {
        throw new KafkaError(ErrorCode.INVALID_REQUEST, "the resource is in the request twice");
      }
      if (repeated(changes.map((change) => change.name)).size > 0) {
        throw new KafkaError(ErrorCode.INVALID_REQUEST, "a configuration is in the request twice");
      }
      if (type !== ResourceType.topic) refuseBroker(broker, type, name, changes);
      else await alterTopic(broker, name, changes, replace, validateOnly);
      return { type, name, code: ErrorCode.NONE, message: null };
    };
    return catchKafkaError<AlterResponse["results"][number]>(work, ({ code, message }) => ({
      ...{ type, name, code, message },
    }));
  });
  return { results: await Promise.all(results) };
}

export function refuseAlter({ resources }: AlterRequest, code: ErrorCode, message: string): AlterResponse {
  return { results: resources.map(({ type, name }) => ({ type, name, code, message })) };
}

export function encodeAlter(writer: Writer, { results }: AlterResponse): void {
  writer.int32(0).structs(results, ({ code, message, type, name }) => {
    writer.int16(code).nullableString(message).int8(type).string(name);
  });
}

async function alterTopic(
  { topics }: BrokerState,
  name: string,
  changes: readonly ConfigChange[],
  replace: boolean,
  validateOnly: boolean,
): Promise<void> {
  const ref = { name, id: null };
  const topic = topics.find(ref);
  const overrides = changedOverrides(replace ? {} : (topic?.overrides ?? {}), changes);
  // In the order of Apache Kafka, which looks for the topic last.
  if (name === "") throw new KafkaError(ErrorCode.INVALID_REQUEST, "the topic has no name");
  checkTopicName(name);
  checkTopicConfig(overrides);
  await topics.configure(topic ?? topics.resolve(ref), overrides, validateOnly);
}

/** The settings of the broker are those that it was started with. @throws KafkaError INVALID_REQUEST, as for a read-only one */
function refuseBroker({ nodeId }: BrokerState, type: number, name: string, changes: readonly ConfigChange[]) {
  if (type !== ResourceType.broker || (name !== "" && name !== String(nodeId))) {
    throw new KafkaError(ErrorCode.INVALID_REQUEST, "only topics can be configured");
  }
  if (changes.length === 0) return;
  const names = changes.map((change) => change.name).join(", ");
  throw new KafkaError(ErrorCode.INVALID_REQUEST, `cannot be changed while the broker runs: ${names}`);
}

/** The names that occur twice. */
function repeated(names: readonly string[]): Set<string> {
  const seen = new Set<string>();
  return new Set(names.filter((name) => seen.size === seen.add(name).size));
}

function idOf({ type, name }: Pick<Resource, "type" | "name">): string {
  return `${type} ${name}`;
}
