import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deadLetterTopic, PublishError, silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import { KafkaClient, kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type ApacheKafka, startApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/broker";
import { provision } from "@distributed-messaging/redpanda/provision";
import {
  forEachService,
  type ServiceName,
  serviceNames,
  storeTopics,
} from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { StoreSupervisor } from "@distributed-messaging/supervisor/store";
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { rightsOf } from "../support/access.ts";
import { Store } from "../support/store.ts";

/*
 * The store on an Apache Kafka that denies everything for which there is no ACL. Each service has a principal of its own
 * with the rights that docs/operations.md lists. Not named `*.test.ts`: it needs Java and Maven.
 * `bun run test-apache-kafka` runs it.
 */

const LIMIT_MS = 120_000;
const dataDir = join(tmpdir(), `access-${crypto.randomUUID()}`);
const passwordOf = forEachService(() => crypto.randomUUID());
let kafka: ApacheKafka;
let supervisor: StoreSupervisor;
let store: Store;

beforeAll(async () => {
  const [broker = 0, controller = 0] = freePorts(2);
  const users = { admin: crypto.randomUUID(), ...passwordOf };
  kafka = await startApacheKafka({ ports: { broker, controller }, users });
  const admin = {
    brokers: kafka.brokers,
    clientId: "admin",
    sasl: { mechanism: "plain" as const, username: "admin", password: users.admin },
  };
  await provision(admin, storeTopics);
  await grant(admin);
  supervisor = new StoreSupervisor({
    dataDir,
    brokers: kafka.brokers.join(","),
    env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", TOPICS: "check", KAFKA_SASL_MECHANISM: "plain" },
    envOf: (name) => ({ KAFKA_SASL_USERNAME: name, KAFKA_SASL_PASSWORD: passwordOf[name] }),
  });
  await supervisor.startAll();
  store = new Store({
    addresses: forEachService((name) => supervisor.url(name)),
    brokers: supervisor.brokers,
    isFresh: true,
  });
}, LIMIT_MS);
afterAll(async () => {
  await supervisor?.stopAll();
  await kafka?.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, LIMIT_MS);

async function grant(settings: ConstructorParameters<typeof KafkaClient>[0]): Promise<void> {
  const client = new KafkaClient(settings, silentLogger);
  const admin = client.kafka.admin();
  await admin.connect();
  const rights = await Promise.all(
    serviceNames.map(async (service) => (await rightsOf(service)).map((right) => ({ service, ...right }))),
  );
  await admin.createAcls({
    acl: rights.flat().map(({ service, resource, name, operation }) => ({
      principal: `User:${service}`,
      host: "*",
      permissionType: AclPermissionTypes.ALLOW,
      operation: AclOperationTypes[operation],
      resourceType: resource === "topic" ? AclResourceTypes.TOPIC : AclResourceTypes.GROUP,
      resourceName: name,
      resourcePatternType: ResourcePatternTypes.LITERAL,
    })),
  });
  await admin.disconnect();
}

test(
  "takes an order to confirmed, with the rights that docs/operations.md lists",
  async () => {
    const customer = await eventually(() => store.signIn("CUSTOMER_001"), "the sign-in");
    await store.seed();
    const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });
    await customer.until(orderId, "confirmed");
    expect(await store.metric("order", "dead_letters")).toBe(0);
  },
  LIMIT_MS,
);

test(
  "a service may not write the topic of another one: the records of its own topics are sent all the same",
  async () => {
    const own = deadLetterTopic("inventory");
    const foreign = storeTopics.find(({ name }) => name === "order.commands");
    if (foreign === undefined) throw new Error("there is no topic order.commands");
    const username: ServiceName = "inventory";
    const sasl = { mechanism: "plain" as const, username, password: passwordOf[username] };
    const settings = { brokers: kafka.brokers, clientId: "test", sasl, topics: { create: true } };
    const transport = kafkaTransport(settings, [own, foreign], systemRuntime, silentLogger);
    const records = [own, foreign].map(({ name }) => ({ topic: name, key: "k", value: null, headers: {} }));
    const error: unknown = await transport.publish(records).catch((reason: unknown) => reason);
    await transport.close();
    expect(error).toBeInstanceOf(PublishError);
    if (!(error instanceof PublishError)) return;
    expect([...error.failures]).toMatchObject([[records[1], { scope: "topic" }]]);
  },
  LIMIT_MS,
);
