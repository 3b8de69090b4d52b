import { errorText, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { checkTopic } from "@distributed-messaging/messaging/internal";
import { KafkaClient, type KafkaSettings, kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { compareAccess, describeGrant, type Grant } from "@distributed-messaging/redpanda/access";
import { storeTopics } from "@distributed-messaging/services/registry";
import { type Finding, failed, orOk, warning } from "./finding.ts";

/** What the kit sends itself: the versions that it needs of the broker (https://kafka.apache.org/protocol). */
const NEEDED = [
  { api: "Produce", key: 0, version: 3 },
  { api: "Fetch", key: 1, version: 4 },
  { api: "OffsetCommit", key: 8, version: 2 },
  { api: "JoinGroup", key: 11, version: 2 },
] as const;
const FEWEST_REPLICAS = 3;

interface BrokerCheck {
  readonly settings: KafkaSettings;
  readonly grants: readonly Grant[];
  /** Whether the broker has to answer: a service runs, or it is not the store's own. */
  readonly isExpected: boolean;
  readonly isProduction: boolean;
}

/** The versions, topics and rights at the brokers. Changes nothing. */
export async function checkBroker(options: BrokerCheck): Promise<readonly Finding[]> {
  const { settings, isExpected } = options;
  try {
    return [
      ...(await apiVersions(settings)),
      ...(await topics(options)),
      ...(await rights(settings, options.grants)),
    ];
  } catch (error) {
    const text = `no answer from ${settings.brokers.join(", ")}: ${errorText(error)}`;
    const make = isExpected ? failed : warning;
    return [make("broker", text, "docs/operations.md#brokerunreachable; topics and rights are not checked")];
  }
}

async function apiVersions(settings: KafkaSettings): Promise<readonly Finding[]> {
  const client = new KafkaClient(settings, silentLogger);
  const cluster = client.cluster();
  try {
    await cluster.connect();
    const versions = cluster.brokerPool.versions ?? {};
    const unsupported = NEEDED.filter(({ key, version }) => {
      const range = versions[key];
      return range === undefined || range.minVersion > version || range.maxVersion < version;
    });
    return orOk(
      "versions",
      unsupported.map(({ api, version }) =>
        failed("versions", `the broker has no ${api} version ${version}`, "use a broker that has it"),
      ),
      "the broker has the versions of the protocol that the services use",
    );
  } finally {
    await client.close(() => cluster.disconnect());
  }
}

async function topics({ settings, isProduction }: BrokerCheck): Promise<readonly Finding[]> {
  const asked = { ...settings, topics: { ...settings.topics, create: false } };
  const transport = kafkaTransport(asked, storeTopics, systemRuntime, silentLogger);
  try {
    const described = (await transport.describeTopics?.()) ?? [];
    const findings = described.flatMap(({ topic, real }) => {
      const found = checkTopic(topic, real).map(({ severity, text }) =>
        severity === "error"
          ? failed("topics", `${topic.name} ${text}`, "docs/operations.md#topicmisconfigured")
          : warning("topics", `${topic.name} ${text}`, "docs/operations.md#topicmisconfigured"),
      );
      const { partitions, replicas = 1 } = real;
      const isThin = isProduction && partitions !== undefined && replicas < FEWEST_REPLICAS;
      const text = `${topic.name} has ${replicas} replicas: a broker that is lost may stop or lose it`;
      return isThin
        ? [...found, warning("topics", text, "three replicas, with min.insync.replicas=2")]
        : found;
    });
    return orOk("topics", findings, `all ${described.length} topics are as the messages need them`);
  } finally {
    await transport.close();
  }
}

async function rights(settings: KafkaSettings, grants: readonly Grant[]): Promise<readonly Finding[]> {
  try {
    const { missing, excess } = await compareAccess(settings, grants);
    return orOk(
      "rights",
      [
        ...missing.map((grant) =>
          failed(
            "rights",
            `missing: ${describeGrant(grant)}`,
            "bun run access -- apply, as an administrator",
          ),
        ),
        ...excess.map((line) =>
          warning("rights", `more than needed: ${line}`, "remove it, unless something else needs it"),
        ),
      ],
      "each service has its rights, and no other",
    );
  } catch (error) {
    return [
      warning(
        "rights",
        `the brokers do not show them: ${errorText(error)}`,
        "no access control, or not for this user: run the doctor as one with DESCRIBE on the cluster",
      ),
    ];
  }
}
