import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  deadLetterTopic,
  type Logger,
  ownerTopic,
  PublishError,
  silentLogger,
  systemRuntime,
} from "@distributed-messaging/messaging";
import { type Admin, KafkaClient, kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { aclOf } from "@distributed-messaging/redpanda/access";
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
import { Type } from "@sinclair/typebox";
import { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } from "kafkajs";
import { type ListedRight, listedRights } from "../support/access.ts";
import { parse } from "../support/answers.ts";
import type { Customer } from "../support/customer.ts";
import { Store } from "../support/store.ts";

/*
 * The store on an Apache Kafka that denies everything for which there is no ACL. Each service has a principal of its own
 * with the rights that docs/operations.md lists. Not named `*.test.ts`: it needs Java and Maven.
 * `bun run test-apache-kafka` runs it.
 */

const LIMIT_MS = 120_000;
const dataDir = join(tmpdir(), `access-${crypto.randomUUID()}`);
const passwordOf = forEachService(() => crypto.randomUUID());
const rights = listedRights();
const adminPassword = crypto.randomUUID();
const lines: string[] = [];
let kafka: ApacheKafka;
let supervisor: StoreSupervisor;
let store: Store;
let customer: Customer;
let admin: Admin;

beforeAll(async () => {
  const [broker = 0, controller = 0] = freePorts(2);
  const users = { admin: adminPassword, ...passwordOf };
  kafka = await startApacheKafka({ ports: { broker, controller }, users });
  await provision(settingsOf("admin", adminPassword), storeTopics);
  admin = new KafkaClient(settingsOf("admin", adminPassword), silentLogger).kafka.admin();
  await admin.connect();
  await admin.createAcls({ acl: rights.map(aclOfRight) });
  supervisor = new StoreSupervisor({
    dataDir,
    brokers: kafka.brokers.join(","),
    env: { AUTOMATION_TESTING: "true", DEMO_SIGN_IN: "true", TOPICS: "check", KAFKA_SASL_MECHANISM: "plain" },
    envOf: (name) => ({ KAFKA_SASL_USERNAME: name, KAFKA_SASL_PASSWORD: passwordOf[name] }),
    onLog: ({ process, line }) => lines.push(`${process} ${line}`),
  });
  await supervisor.startAll();
  store = new Store({
    addresses: forEachService((name) => supervisor.url(name)),
    brokers: supervisor.brokers,
    isFresh: true,
  });
  customer = await eventually(() => store.signIn("CUSTOMER_001"), "the sign-in");
  await store.seed();
}, LIMIT_MS);
afterAll(async () => {
  await supervisor?.stopAll();
  await admin?.disconnect();
  await kafka?.stop();
  rmSync(dataDir, { recursive: true, force: true });
}, LIMIT_MS);

function settingsOf(username: string, password: string) {
  const sasl = { mechanism: "plain" as const, username, password };
  return { brokers: kafka.brokers, clientId: username, sasl, topics: { create: false } };
}

const aclOfRight = ({ service, ...right }: ListedRight) => aclOf({ principal: `User:${service}`, ...right });

const place = () => customer.place({ items: [{ productId: "PRODUCT_001", quantity: 1 }] });

const Readiness = Type.Object({ checks: Type.Record(Type.String(), Type.String()) });

/** Whether a readiness check of a service is up. */
async function isUp(service: ServiceName, check: string): Promise<boolean> {
  const { body } = await store.request(service, "/readiness");
  return parse(Readiness, body).checks[check] === "UP";
}

test(
  "takes an order to confirmed, with the rights that docs/operations.md lists and no others",
  async () => {
    const any = {
      ...{ resourceType: AclResourceTypes.ANY, resourcePatternType: ResourcePatternTypes.ANY },
      ...{ operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY },
    };
    const { resources } = await admin.describeAcls(any);
    const granted = resources.flatMap(({ acls, ...resource }) =>
      acls.map((acl) => ({ ...resource, ...acl })),
    );
    const sorted = (acls: readonly object[]) =>
      acls.map((acl) => JSON.stringify(Object.entries(acl).sort())).sort();
    expect(sorted(granted)).toEqual(sorted(rights.map(aclOfRight)));
    const { orderId } = await place();
    await customer.until(orderId, "confirmed");
    expect(await store.metric("order", "dead_letters")).toBe(0);
  },
  LIMIT_MS,
);

describe("without one of its rights, the order service says what is missing, and goes on once it has it", () => {
  test.each(rights.filter(({ service }) => service === "order"))(
    "$operation $resource $name",
    async (right) => {
      const { operation, resource, name } = right;
      const from = lines.length;
      const logged = (pattern: RegExp) =>
        lines.slice(from).some((line) => line.startsWith("order ") && pattern.test(line));
      const acl = aclOfRight(right);
      await admin.deleteAcls({ filters: [acl] });
      const { orderId } = await place();
      if (operation === "READ") {
        await eventually(() => logged(new RegExp(`Not authorized to access ${resource}`, "i")), "the error");
        await eventually(async () => !(await isUp("order", "broker")), "the service is not ready");
        await eventually(async () => !(await isUp("order", "rights")), "the reason is shown");
      } else if (name === ownerTopic("order").name) {
        await eventually(
          () =>
            logged(
              /the owner of the service cannot be written.*Not authorized|Not authorized.*the owner of the service cannot be written/,
            ),
          "the error",
        );
        await eventually(async () => !(await isUp("order", "rights")), "the reason is shown");
        expect([await isUp("order", "broker"), await isUp("order", "ownership")]).toEqual([true, true]);
      } else {
        // What cannot be decoded has a copy among the dead letters.
        if (name === deadLetterTopic("order").name) await send("admin", adminPassword, "order.commands");
        const error = new RegExp(`"topic":"${name}","error":"[^"]*Not authorized.*a topic cannot be written`);
        await eventually(() => logged(error), "the error");
        await eventually(async () => !(await isUp("order", "outbox")), "it is shown");
        expect([await isUp("order", "broker"), await isUp("order", "rights")]).toEqual([true, false]);
      }
      await admin.createAcls({ acl: [acl] });
      await customer.until(orderId, "confirmed");
      await eventually(
        async () =>
          (await isUp("order", "broker")) &&
          (await isUp("order", "outbox")) &&
          (await isUp("order", "rights")),
        "it is well",
      );
      expect(supervisor.report().map(({ restarts }) => restarts)).toEqual(serviceNames.map(() => 0));
    },
    LIMIT_MS,
  );
});

/** @throws PublishError */
async function send(username: string, password: string, ...topics: string[]): Promise<void> {
  const known = storeTopics.filter(({ name }) => topics.includes(name));
  const transport = kafkaTransport(settingsOf(username, password), known, systemRuntime, silentLogger);
  const records = topics.map((topic) => ({ topic, key: null, value: "forged", headers: {} }));
  await transport.publish(records).finally(() => transport.close());
}

/** @returns what the log says when the records of a topic are read */
async function readingFails(service: ServiceName, topic: string, group: string): Promise<string> {
  const failed = Promise.withResolvers<string>();
  const log: Logger = {
    ...silentLogger,
    warn: (_fields, text) => text.startsWith("not consuming") && failed.resolve(text),
  };
  const transport = kafkaTransport(settingsOf(service, passwordOf[service]), [], systemRuntime, log);
  const subscription = transport.subscribe({
    ...{ group, topics: [topic], startAt: () => 0 },
    handle: async ({ end }) => {
      failed.resolve(`${topic} was read`);
      return { next: end };
    },
  });
  try {
    return await failed.promise;
  } finally {
    await subscription.stop();
    await transport.close();
  }
}

// That it may write no topic but its own is tested by tls-and-sasl.ts.
describe("the broker refuses a service what is not its own", () => {
  // The groups of the services are free, and what is written is not their work.
  beforeAll(() => supervisor.stopAll(), LIMIT_MS);

  const unreadable = (service: ServiceName) => {
    const own = rights.filter((right) => right.service === service && right.operation === "READ");
    return storeTopics.map(({ name }) => name).filter((topic) => !own.some(({ name }) => name === topic));
  };

  test.each(serviceNames.map((service) => [service, unreadable(service).length] as const))(
    "%s may not read %d topics, nor as another service",
    async (service) => {
      for (const topic of unreadable(service)) {
        expect({ topic, error: await readingFails(service, topic, service) }).toEqual({
          topic,
          error: expect.stringMatching(/Not authorized to access topics/),
        });
      }
      const own = rights.find((right) => right.service === service && right.operation === "READ");
      const other = service === "order" ? "inventory" : "order";
      expect(await readingFails(service, own?.name ?? "", other)).toMatch(/Not authorized to access group/);
    },
    LIMIT_MS,
  );

  test(
    "the records of its own topics are sent, whatever is refused beside them",
    async () => {
      const own = deadLetterTopic("inventory").name;
      const error: unknown = await send("inventory", passwordOf.inventory, own, "order.commands").catch(
        (reason: unknown) => reason,
      );
      const failures = error instanceof PublishError ? [...error.failures] : [];
      expect(failures).toMatchObject([[{ topic: "order.commands" }, { scope: "topic" }]]);
    },
    LIMIT_MS,
  );
});
