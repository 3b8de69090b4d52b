/**
 * DescribeConfigs (32), versions 1 to 4: the configuration of topics, and the broker settings that clients read.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeConfigs; KIP-226 (v1), KIP-569 (types, v3).
 *
 * Left out: documentation, other resource types.
 */
import { type BrokerState, defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode, KafkaError } from "../errors.ts";
import {
  type ConfigEntry,
  ConfigSource,
  ConfigType,
  describeTopicConfig,
  ResourceType,
} from "../topics/config.ts";

interface Resource {
  readonly type: number;
  readonly name: string;
  /** Null or empty: all, as Apache Kafka's ConfigHelper. */
  readonly keys: readonly string[] | null;
}

interface ResourceResult extends Resource {
  readonly code: ErrorCode;
  readonly message: string | null;
  readonly configs: readonly ConfigEntry[];
}

interface DescribeConfigsRequest {
  readonly resources: readonly Resource[];
  readonly includeSynonyms: boolean;
}

interface DescribeConfigsResponse {
  readonly results: readonly ResourceResult[];
  readonly includeSynonyms: boolean;
}

export const describeConfigs = defineApi<DescribeConfigsRequest, DescribeConfigsResponse>({
  key: 32,
  name: "DescribeConfigs",
  minVersion: 1,
  maxVersion: 4,
  flexibleFrom: 4,

  decode: (reader) => ({
    resources: reader.structs(() => ({
      type: reader.int8(),
      name: reader.string(),
      keys: reader.nullableArray(() => reader.string()),
    })),
    includeSynonyms: reader.boolean(),
  }),

  async handle({ resources, includeSynonyms }, broker) {
    const results = await Promise.all(resources.map((resource) => describe(broker, resource)));
    return { results, includeSynonyms };
  },

  refuse: ({ resources, includeSynonyms }, code, message) => ({
    includeSynonyms,
    results: resources.map((resource) => ({ ...resource, code, message, configs: [] })),
  }),

  encode(writer, { results, includeSynonyms }, version) {
    writer.int32(0).structs(results, ({ code, message, type, name, configs }) => {
      writer.int16(code).nullableString(message).int8(type).string(name);
      writer.structs(configs, (config) => {
        const sensitive = false;
        writer
          .string(config.name)
          .nullableString(config.value)
          .boolean(config.isReadOnly)
          .int8(config.source);
        writer.boolean(sensitive).structs(includeSynonyms ? config.synonyms : [], (synonym) => {
          writer.string(synonym.name).nullableString(synonym.value).int8(synonym.source);
        });
        const documentation = null;
        if (version >= 3) writer.int8(config.type).nullableString(documentation);
      });
    });
  },
});

function describe(broker: BrokerState, resource: Resource): Promise<ResourceResult> {
  const work = () => {
    const { keys } = resource;
    const isWanted = ({ name }: ConfigEntry) => !keys?.length || keys.includes(name);
    const configs = configsOf(broker, resource).filter(isWanted);
    return { ...resource, code: ErrorCode.NONE, message: null, configs };
  };
  return catchKafkaError<ResourceResult>(work, ({ code, message }) => ({
    ...resource,
    code,
    message,
    configs: [],
  }));
}

function configsOf(broker: BrokerState, { type, name }: Resource): ConfigEntry[] {
  if (type === ResourceType.topic) {
    return describeTopicConfig(broker.topics.resolve({ name, id: null }).overrides);
  }
  if (type !== ResourceType.broker || (name !== "" && name !== String(broker.nodeId))) {
    throw new KafkaError(ErrorCode.INVALID_REQUEST, "only topics and this broker can be described");
  }
  const { autoCreateTopics, defaultPartitions, maxFrameBytes, maxFetchBytes } = broker.options;
  const values = {
    "auto.create.topics.enable": autoCreateTopics,
    "num.partitions": defaultPartitions,
    "default.replication.factor": 1,
    "socket.request.max.bytes": maxFrameBytes,
    "fetch.max.bytes": maxFetchBytes,
  };
  return Object.entries(values).map(([config, value]) => ({
    name: config,
    value: String(value),
    isReadOnly: true,
    source: ConfigSource.broker,
    type: typeof value === "boolean" ? ConfigType.boolean : ConfigType.int,
    synonyms: [{ name: config, value: String(value), source: ConfigSource.broker }],
  }));
}
