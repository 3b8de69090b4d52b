import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { define } from "./contract/define.ts";
import { DatabaseInUse, UsageError } from "./errors.ts";
import { on } from "./inbox/inbox.ts";
import type { MessagingOptions } from "./messaging.ts";
import { type Runtime, systemRuntime } from "./runtime.ts";
import { failureOf } from "./testing/eventually.ts";
import { Answer, definitions, Letter, letters, TestService } from "./testing/kit.ts";

const elsewhere = { ...letters, name: "elsewhere" };
const Elsewhere = define({
  type: "test.elsewhere.v1",
  kind: "event",
  source: "reader",
  topic: elsewhere,
  key: "name",
  data: Type.Object({ name: Type.String() }),
});
const remind = { name: "remind", fire: () => {} };

describe("parts that do not fit together are refused at construction", () => {
  const mistakes: readonly [string, Partial<MessagingOptions>][] = [
    [
      "the handler of test.answer.v1 is for none",
      { definitions: [Letter], handlers: [on(Answer, () => {})] },
    ],
    ["the handler of test.letter.v1 is for none", { handlers: [on({ ...Letter }, () => {})] }],
    ["two handlers of test.letter.v1", { handlers: [on(Letter, () => {}), on(Letter, () => {})] }],
    ["two handlers of timers named remind", { timers: [remind, remind] }],
    ["the transport was not given the topic lost.dead-letters", { deadLetterTopic: "lost.dead-letters" }],
    ["the inbox cannot keep claims for NaN ms", { inboxRetentionMs: Number.NaN }],
    ["the inbox cannot keep claims for -1 ms", { inboxRetentionMs: -1 }],
    ["fetchIntervalMs must be from 0 to 1000, not -1", { fetchIntervalMs: -1 }],
    ["fetchIntervalMs must be from 0 to 1000, not 1001", { fetchIntervalMs: 1001 }],
    ["the transport was not given the topic elsewhere", { definitions: [...definitions, Elsewhere] }],
  ];
  test.each(mistakes)("%s", (text, options) => {
    expect(() => new TestService(undefined, options)).toThrow(UsageError);
    expect(() => new TestService(undefined, options)).toThrow(text);
  });
});

test("a message or record for a topic that the transport was not given is not emitted", async () => {
  const service = new TestService();
  const { unitOfWork, outbox } = service.kit;
  const message = unitOfWork.run((transaction) => transaction.emit(Elsewhere, { name: "a" }));
  const record = unitOfWork.run((transaction) =>
    transaction.emitRaw({ topic: "elsewhere", key: "a", value: "x", headers: {} }),
  );
  for (const work of [message, record]) {
    expect(await failureOf(work)).toBe("UsageError: the transport was not given the topic elsewhere");
  }
  expect(outbox.depth()).toBe(0);
  await service.stop();
});

test("a kit starts once: not again, and not after it was stopped", async () => {
  const service = new TestService();
  const { kit } = service;
  kit.start();
  expect(() => kit.start()).toThrow(UsageError);
  await kit.stop();
  expect(() => kit.start()).toThrow(UsageError);
  await service.stop();
});

test("one kit at a time works on a database", async () => {
  const service = new TestService();
  const { database } = service;
  service.kit.start();
  const second = new TestService(undefined, { database });
  expect(() => second.kit.start()).toThrow(DatabaseInUse);
  await second.kit.stop();
  const third = new TestService(undefined, { database });
  expect(() => third.kit.start()).toThrow(DatabaseInUse);
  await service.kit.stop();
  third.kit.start();
  await third.stop();
});

test("a stop leaves no timer behind, also not in the middle of pruning", async () => {
  const timers = new Map<symbol, { readonly delayMs: number; readonly callback: () => void }>();
  const runtime: Runtime = {
    ...systemRuntime,
    after: (delayMs, callback) => {
      const id = Symbol();
      timers.set(id, { delayMs, callback });
      return () => timers.delete(id);
    },
  };
  const service = new TestService(undefined, { runtime });
  service.kit.start();
  const [pruning] = [...timers].filter(([, { delayMs }]) => delayMs === 60_000);
  if (pruning === undefined) throw new Error("nothing is pruned");
  const [id, { callback }] = pruning;
  timers.delete(id);
  callback();
  await service.stop();
  await Bun.sleep(0);
  expect([...timers.values()].map(({ delayMs }) => delayMs)).toEqual([]);
});
