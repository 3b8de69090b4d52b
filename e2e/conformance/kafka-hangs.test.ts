import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiKey, ErrorCode } from "@distributed-messaging/embedded-broker";
import { silentLogger, systemRuntime } from "@distributed-messaging/messaging";
import {
  firsts,
  numbered,
  record,
  rejects,
  TEST_TIMEOUT_MS,
} from "@distributed-messaging/messaging/conformance";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { type EmbeddedBrokerUnderTest, embeddedBroker } from "./embedded.ts";
import { type Api, FaultFixture } from "./faults.ts";

let server: EmbeddedBrokerUnderTest;
beforeAll(async () => {
  server = await embeddedBroker();
}, TEST_TIMEOUT_MS);
afterAll(() => server.stop(), TEST_TIMEOUT_MS);

/** Answers no request of the APIs until it is disposed of, like a broker that hangs. */
class Hang implements Disposable {
  readonly #released = Promise.withResolvers<void>();
  readonly #rules;

  constructor(fixture: FaultFixture, ...apis: Api[]) {
    const until = this.#released.promise;
    this.#rules = apis.map((api) => fixture.inject(api, { fault: "delay", until }, Number.POSITIVE_INFINITY));
  }

  get hits(): number {
    return this.#rules.reduce((sum, rule) => sum + rule.hits, 0);
  }

  [Symbol.dispose](): void {
    for (const rule of this.#rules) rule.remove();
    this.#released.resolve();
  }
}

/** A client that has sent a record to a topic of its own, and read it. */
async function reading(fixture: FaultFixture) {
  const topic = fixture.topic(1);
  const client = fixture.connect(topic);
  const reader = fixture.read(client, { topics: [topic] });
  await client.publish([record(topic, "key", "before")]);
  await reader.hasAll(["before"]);
  return { topic, client, reader };
}

test.concurrent(
  "a reader whose fetches hang is not healthy, and its consumer is replaced",
  async () => {
    await using fixture = new FaultFixture(server);
    const { topic, reader } = await reading(fixture);
    const sender = fixture.connect(topic);
    const asked = reader.starts.length;
    {
      using hang = new Hang(fixture, "Fetch");
      await eventually(() => !reader.subscription.healthy(), "it is not healthy");
      await eventually(() => reader.starts.length > asked && hang.hits > 1, "it is replaced");
    }
    await sender.publish([record(topic, "key", "after")]);
    await reader.hasAll(["after"]);
    await reader.isHealthy();
    expect(reader.values).toEqual(["before", "after"]);
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "the consumer of a reader that fetches nothing for too long is replaced, although no request failed",
  async () => {
    let aheadMs = 0;
    const runtime = { ...systemRuntime, monotonic: () => systemRuntime.monotonic() + aheadMs };
    await using fixture = new FaultFixture(server, runtime, 10 * 60_000);
    const { topic, reader } = await reading(fixture);
    const sender = fixture.connect(topic);
    const asked = reader.starts.length;
    {
      using hang = new Hang(fixture, "Fetch");
      await eventually(() => hang.hits > 0, "a fetch hangs");
      aheadMs = 60_000;
      await eventually(() => reader.starts.length > asked, "it is replaced");
    }
    await sender.publish([record(topic, "key", "after")]);
    await reader.hasAll(["after"]);
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "publishes to a broker that answers nothing reject, and its readers are not healthy",
  async () => {
    await using fixture = new FaultFixture(server);
    const { topic, client, reader } = await reading(fixture);
    using _ = new Hang(fixture, ...(Object.keys(ApiKey) as Api[]));
    expect(await rejects(client.publish([record(topic, "key", "lost")]))).toBe(true);
    await eventually(() => !reader.subscription.healthy(), "the reader is not healthy");
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "a stop waits for no answer",
  async () => {
    await using fixture = new FaultFixture(server, systemRuntime, 10 * 60_000);
    const { topic, client, reader } = await reading(fixture);
    using hang = new Hang(fixture, ...(Object.keys(ApiKey) as Api[]));
    const publishing = rejects(client.publish([record(topic, "key", "lost")]));
    const startedMeanwhile = fixture.read(client, { topics: [topic] });
    await eventually(() => hang.hits > 1, "requests hang");
    await Promise.all([reader.subscription.stop(), startedMeanwhile.subscription.stop(), client.close()]);
    expect(await publishing).toBe(true);
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "a reader that is stopped leaves its group, although its fetch is not answered",
  async () => {
    await using fixture = new FaultFixture(server, systemRuntime, 10 * 60_000);
    const topic = fixture.topic(1);
    const client = fixture.connect(topic);
    const reader = fixture.read(client, { topics: [topic] });
    await client.publish([record(topic, "key", "before")]);
    await reader.hasAll(["before"]);
    let left = 0;
    fixture.watch("LeaveGroup", () => {
      left += 1;
    });
    using hang = new Hang(fixture, "Fetch");
    await eventually(() => hang.hits > 0, "a fetch hangs");
    await reader.subscription.stop();
    expect(left).toBe(1);
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "closing a client ends what it asks a broker that does not answer",
  async () => {
    const clientId = "closing";
    const settings = { brokers: [server.address], clientId, requestTimeoutMs: 10 * 60_000 };
    const client = kafkaTransport(settings, [], systemRuntime, silentLogger);
    const answer = Promise.withResolvers<void>();
    const rule = server.broker.control.on(ApiKey.Metadata, {
      ...{ fault: "delay", until: answer.promise, times: Number.POSITIVE_INFINITY },
      when: (request) => request.clientId === clientId,
    });
    try {
      const describing = rejects(client.describeTopics?.() ?? Promise.resolve());
      await eventually(() => rule.hits > 0, "it is asked");
      await client.close();
      expect(await describing).toBe(true);
    } finally {
      rule.remove();
      answer.resolve();
    }
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "a publish that fails succeeds later, on a new connection, whatever it failed with",
  async () => {
    await using fixture = new FaultFixture(server);
    const topic = fixture.topic();
    const client = fixture.connect(topic);
    const codes = [
      "NOT_LEADER_OR_FOLLOWER",
      "KAFKA_STORAGE_ERROR",
      "MESSAGE_TOO_LARGE",
      "UNKNOWN_SERVER_ERROR",
    ] as const;
    const faults = [
      ...codes.map((name) => ({ fault: "fail", code: ErrorCode[name] }) as const),
      { fault: "cut" } as const,
      { fault: "drop-response" } as const,
    ];
    for (const [index, fault] of faults.entries()) {
      const rule = fixture.inject("Produce", fault, Number.POSITIVE_INFINITY);
      expect([fault, await rejects(client.publish([record(topic, "key", `${index}`)]))]).toEqual([
        fault,
        true,
      ]);
      rule.remove();
      await client.publish([record(topic, "key", `${index}`)]);
    }
    const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
    const values = numbered("", faults.length);
    await reader.hasAll(values);
    expect(firsts(reader.values)).toEqual(values);
  },
  TEST_TIMEOUT_MS,
);

test.concurrent(
  "many clients may create the same topics at once",
  async () => {
    await using fixture = new FaultFixture(server);
    const topics = [fixture.topic(), fixture.topic(), fixture.topic()];
    const transports = Array.from({ length: 6 }, (_, index) =>
      kafkaTransport(
        { brokers: [server.address], clientId: `maker-${index}` },
        // Different ones, so that some clients find some of theirs already created.
        topics.slice(index % 3),
        systemRuntime,
        silentLogger,
      ),
    );
    await Promise.all(transports.map((transport) => transport.createTopics()));
    await Promise.all(transports.map((transport) => transport.close()));
    await fixture.connect().publish(topics.map((topic) => record(topic, "key", "value")));
  },
  TEST_TIMEOUT_MS,
);
