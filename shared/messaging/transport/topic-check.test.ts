import { afterEach, expect, test } from "bun:test";
import type { Logger } from "../runtime.ts";
import { type Runtime, silentLogger, systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import { letters, TestService } from "../testing/kit.ts";
import { checkTopic } from "./topic-check.ts";
import type { TopicDescription } from "./transport.ts";

let service: TestService | undefined;
afterEach(async () => {
  await service?.stop();
  service = undefined;
});

const events = { ...letters, config: { "cleanup.policy": "delete", "retention.ms": "1000" } };
const real: TopicDescription = {
  ...{ name: "letters", brokers: 3, partitions: 3, replicas: 3 },
  config: {
    "cleanup.policy": "delete",
    "retention.ms": "1000",
    "min.insync.replicas": "2",
    "max.message.bytes": "1048588",
    "compression.type": "producer",
  },
};
const withConfig = (config: Record<string, string>) => ({ ...real, config: { ...real.config, ...config } });

test("a topic as it is defined has no findings", () => {
  expect(checkTopic(events, real)).toEqual([]);
  expect(checkTopic(events, withConfig({ "retention.ms": "-1" }))).toEqual([]);
  expect(checkTopic(events, { ...real, brokers: 1, replicas: 1 })).toEqual([]);
  // What the definition does not set is the cluster's to decide.
  expect(checkTopic(letters, real)).toEqual([]);
});

const mismatches: [TopicDescription, "error" | "warning", string][] = [
  [{ name: "letters", brokers: 3 }, "error", "does not exist"],
  [{ ...real, partitions: 2 }, "error", "has 2 partitions instead of 3"],
  [{ ...real, partitions: 4 }, "warning", "has 4 partitions instead of 3"],
  [{ ...real, replicas: 1 }, "error", "one replica"],
  [{ name: "letters", brokers: 3, partitions: 3, replicas: 3 }, "warning", "may not be described"],
  [withConfig({ "min.insync.replicas": "1" }), "warning", "min.insync.replicas is 1"],
  [withConfig({ "min.insync.replicas": "3" }), "warning", "min.insync.replicas is 3 of 3"],
  [withConfig({ "cleanup.policy": "compact" }), "error", "cleanup.policy is compact instead of delete"],
  [withConfig({ "retention.ms": "999" }), "error", "retention.ms is 999 instead of 1000"],
  [withConfig({ "max.message.bytes": "2000" }), "error", "max.message.bytes is 2000"],
  [withConfig({ "compression.type": "brotli" }), "error", "compression.type is brotli"],
];

test.each(mismatches)("%j", (description, severity, text) => {
  expect(checkTopic(events, description)).toMatchObject([
    { topic: "letters", severity, text: expect.stringContaining(text) },
  ]);
});

test("all findings are logged in one list, once", async () => {
  const errors: object[] = [];
  const log: Logger = { ...silentLogger, error: (fields) => errors.push(fields) };
  let asked = 0;
  let nowMs = 0;
  let checkAgain: (() => void) | undefined;
  const runtime: Runtime = {
    ...systemRuntime,
    monotonic: () => nowMs,
    after: (delayMs, callback) => {
      if (delayMs !== 5_000) return systemRuntime.after(delayMs, callback);
      checkAgain = callback;
      return () => {};
    },
  };
  /** Five seconds later, as far as the check is concerned. */
  const next = async () => {
    const check = await eventually(() => checkAgain);
    checkAgain = undefined;
    check();
    await eventually(() => checkAgain);
  };
  const description = { ...real, partitions: 2, replicas: 1 };
  service = new TestService(undefined, { log, runtime });
  Object.assign(service.broker, {
    describeTopics: async () => {
      asked += 1;
      if (asked === 1) throw new Error("no broker answers");
      return [{ topic: events, real: description }];
    },
  });
  service.kit.start();
  const { kit } = service;
  await next();
  expect([kit.topicFindings().length, asked]).toEqual([2, 2]);
  await next();
  expect(asked).toBe(2);
  nowMs += 10 * 60_000;
  await next();
  expect(asked).toBe(3);
  expect(errors).toEqual([
    {
      findings: [
        "error: letters has 2 partitions instead of 3: it is not written",
        expect.stringContaining("error: letters has one replica"),
      ],
    },
  ]);
});
