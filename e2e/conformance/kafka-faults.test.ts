import { afterAll, beforeAll, expect, test } from "bun:test";
import { ErrorCode, type Fault } from "@distributed-messaging/embedded-broker";
import type { Topic } from "@distributed-messaging/messaging";
import { numbered, record, TEST_TIMEOUT_MS } from "@distributed-messaging/messaging/conformance";
import { eventually } from "@distributed-messaging/messaging/testing";
import { runsSlowTests } from "../support/slow-test.ts";
import { type EmbeddedBrokerUnderTest, embeddedBroker } from "./embedded.ts";
import { type Api, FaultFixture } from "./faults.ts";

/*
 * The embedded broker fails, delays and cuts requests on purpose. After each of these faults records flow again, none
 * is missing, and those of a key keep their order.
 */

type NamedFault = readonly [name: string, fault: Fault];

let server: EmbeddedBrokerUnderTest;
beforeAll(async () => {
  server = await embeddedBroker();
}, TEST_TIMEOUT_MS);
afterAll(() => server.stop(), TEST_TIMEOUT_MS);

const codes = (...names: (keyof typeof ErrorCode)[]): readonly NamedFault[] =>
  names.map((name) => [name, { fault: "fail", code: ErrorCode[name] }]);
const cut: NamedFault = ["cut", { fault: "cut" }];
const dropResponse: NamedFault = ["drop-response", { fault: "drop-response" }];
/** kafkajs does not retry these, whatever the request. */
const unforeseen = codes("UNKNOWN_SERVER_ERROR", "INVALID_REQUEST");
const membership = codes(
  "REBALANCE_IN_PROGRESS",
  "UNKNOWN_MEMBER_ID",
  "ILLEGAL_GENERATION",
  "FENCED_INSTANCE_ID",
);
const coordinator = codes("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS");
const leadership = codes("NOT_LEADER_OR_FOLLOWER", "UNKNOWN_TOPIC_OR_PARTITION");

const faultsOfReaders: Partial<Record<Api, readonly NamedFault[]>> = {
  Fetch: [
    ...codes("OFFSET_OUT_OF_RANGE", "KAFKA_STORAGE_ERROR", "CORRUPT_MESSAGE"),
    ...leadership,
    ...unforeseen,
    cut,
    dropResponse,
  ],
  Heartbeat: [...membership, ...coordinator, ...unforeseen, cut, dropResponse],
  JoinGroup: [...membership, ...coordinator, ...codes("GROUP_MAX_SIZE_REACHED"), cut, dropResponse],
  SyncGroup: [...codes("REBALANCE_IN_PROGRESS", "NOT_COORDINATOR", "UNKNOWN_SERVER_ERROR"), dropResponse],
  OffsetCommit: [...codes("ILLEGAL_GENERATION", "NOT_COORDINATOR", "UNKNOWN_SERVER_ERROR"), cut],
  OffsetFetch: [...codes("COORDINATOR_LOAD_IN_PROGRESS", "UNKNOWN_SERVER_ERROR"), cut],
  FindCoordinator: [...codes("COORDINATOR_NOT_AVAILABLE", "UNKNOWN_SERVER_ERROR"), cut],
  ListOffsets: [...codes("NOT_LEADER_OR_FOLLOWER", "UNKNOWN_SERVER_ERROR"), cut],
  Metadata: [...codes("UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_SERVER_ERROR"), cut],
};

/** Sent only when a member joins: at its start, or after a heartbeat that asks for it. */
const onJoining: readonly Api[] = ["JoinGroup", "SyncGroup", "OffsetFetch", "FindCoordinator", "Metadata"];
/** Sent at the start only. */
const onStart: readonly Api[] = ["ListOffsets"];
/**
 * Once, from which kafkajs may recover by itself, and more often than it retries. A member that is told, wrongly, that it
 * is unknown joins as another one, and the group waits for the first one until its session ends: once is enough.
 */
const timesOf = (name: string) => (name === "UNKNOWN_MEMBER_ID" ? [1] : [1, 4]);

/** Without the slow tests: those while reading, and those at a start. */
const FAULTED_ALWAYS: readonly Api[] = ["Fetch", "OffsetCommit"];
const STARTED_ALWAYS: readonly Api[] = ["OffsetFetch", "Metadata"];

for (const [api, faults] of Object.entries(faultsOfReaders) as [Api, readonly NamedFault[]][]) {
  if (onJoining.includes(api) || onStart.includes(api)) {
    const run = runsSlowTests || STARTED_ALWAYS.includes(api) ? test.concurrent : test.skip;
    run(
      `readers start in spite of every fault of ${api}`,
      async () => {
        await Promise.all(faults.map(([name, fault]) => starts(api, name, fault)));
      },
      TEST_TIMEOUT_MS,
    );
  }
  if (!onStart.includes(api)) {
    // Each takes many seconds, because kafkajs waits longer before each retry.
    const run = runsSlowTests || FAULTED_ALWAYS.includes(api) ? test.concurrent : test.skip;
    run(
      `readers continue in spite of every fault of ${api}`,
      async () => {
        await Promise.all(faults.map(([name, fault]) => goesOn(api, name, fault)));
      },
      TEST_TIMEOUT_MS,
    );
  }
}

async function starts(api: Api, name: string, fault: Fault): Promise<void> {
  await using fixture = new FaultFixture(server);
  const topic = fixture.topic(2);
  const rounds = new Rounds(topic);
  await rounds.publish();
  const rule = fixture.inject(api, fault, Math.max(...timesOf(name)));
  const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
  await reader.hasAll(rounds.values);
  expect([api, name, rule.hits > 0]).toEqual([api, name, true]);
  rule.remove();
  await rounds.publish();
  await reader.hasAll(rounds.values);
  expect([api, name, reader.redelivered]).toEqual([api, name, []]);
}

async function goesOn(api: Api, name: string, fault: Fault): Promise<void> {
  await using fixture = new FaultFixture(server);
  const topic = fixture.topic(2);
  const rounds = new Rounds(topic);
  const reader = fixture.read(fixture.connect(topic), { topics: [topic] });
  await rounds.publish();
  await reader.hasAll(rounds.values);
  for (const times of timesOf(name)) {
    const rule = fixture.inject(api, fault, times);
    if (onJoining.includes(api)) {
      fixture.inject("Heartbeat", { fault: "fail", code: ErrorCode.REBALANCE_IN_PROGRESS }, times);
    }
    await rounds.publish();
    await eventually(() => rule.hits > 0, `${api} ${name} is met`);
    await rounds.publish();
    await reader.hasAll(rounds.values);
    rule.remove();
    await rounds.publish();
    await reader.hasAll(rounds.values);
    await reader.isHealthy();
  }
  expect([api, name, reader.redelivered]).toEqual([api, name, []]);
}

/** Rounds of records for all partitions of a topic, by a client without faults. */
class Rounds {
  readonly values: string[] = [];
  readonly #topic: Topic;
  #count = 0;

  constructor(topic: Topic) {
    this.#topic = topic;
  }

  async publish(): Promise<void> {
    this.#count += 1;
    const values = numbered(`${this.#count}:`, 20);
    this.values.push(...values);
    const sender = server.connect([this.#topic]);
    await sender.publish(values.map((value) => record(this.#topic, value, value)));
    await sender.close();
  }
}
