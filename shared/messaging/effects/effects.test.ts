import { afterEach, beforeEach, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { closed } from "../contract/define.ts";
import { DomainError, StorageError } from "../errors.ts";
import type { MessagingOptions } from "../messaging.ts";
import { systemRuntime } from "../runtime.ts";
import { eventually, failureOf } from "../testing/eventually.ts";
import { groupLog } from "../testing/group-log.ts";
import { Answer, letter, TestService } from "../testing/kit.ts";
import { defineEffect, type EffectContext } from "./define.ts";

const Input = Type.Object({ name: Type.String() }, closed);
const retry = { backoff: { firstMs: 1, mostMs: 2 }, attempts: 3 };

/** The other system: what it was asked, in that order. */
let calls: (EffectContext & { name: string })[];
let respond: (context: EffectContext) => Promise<string>;
let onCompleted: (output: string) => void;
let service: TestService;

const Call = defineEffect({
  name: "call",
  input: Input,
  retry,
  timeoutMs: 60_000,
  run: ({ name }, context) => {
    calls.push({ name, ...context });
    return respond(context);
  },
  completed: (output, { name }, transaction) => {
    service.database.sql.run("INSERT INTO effects (name, text) VALUES (?, ?)", [name, output]);
    onCompleted(output);
    transaction.emit(Answer, { name, text: output });
  },
  failed: (error, { name }, transaction) => {
    transaction.emit(Answer, { name, text: `failed: ${String(error)}` });
  },
});

beforeEach(() => {
  calls = [];
  respond = async () => "done";
  onCompleted = () => {};
});
afterEach(() => service.stop());

function start(options: Partial<MessagingOptions> = {}): void {
  service = new TestService(({ name }, transaction) => void transaction.enqueue(Call, { name }), {
    effects: [Call],
    ...options,
  });
  service.kit.start();
}
const enqueue = (name = "a") =>
  service.kit.unitOfWork.run((transaction) => transaction.enqueue(Call, { name }));
const answers = () =>
  service.broker
    .records("answers")
    .map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()))
    .map(({ data, causationid, correlationid }) => ({ text: data.text, causationid, correlationid }));
const row = () =>
  service.database.sql
    .query<{ due_at: number | null; attempts: number; error: string | null }, []>(
      "SELECT due_at, attempts, error FROM durable_effects",
    )
    .get();

test("a handler's effect is performed after the commit, and its result comes back as a message", async () => {
  start();
  const one = letter("a", "1");
  await service.publish(one);
  await eventually(() => answers().length === 1);
  const [call] = calls;
  expect(calls).toHaveLength(1);
  expect(call).toMatchObject({ name: "a", attempt: 1 });
  expect(answers()).toEqual([
    { text: "done", causationid: call?.idempotencyKey ?? "", correlationid: one.correlationid },
  ]);
  expect(service.kit.effects.counts()).toEqual({ pending: 0, dead: 0 });
  expect(service.kit.effects.totals).toEqual({ completed: 1, retried: 0, failed: 0 });
});

test("an effect of work that was rolled back is not performed", async () => {
  start();
  const failing = service.kit.unitOfWork.run((transaction) => {
    transaction.enqueue(Call, { name: "never" });
    throw new Error("no");
  });
  expect(await failureOf(failing)).toMatch("no");
  await enqueue("a");
  await eventually(() => answers().length === 1);
  expect(calls.map(({ name }) => name)).toEqual(["a"]);
});

test("an input that breaks its schema, and an effect that the service does not have, are refused", async () => {
  start();
  const { unitOfWork } = service.kit;
  const wrong = { name: "a", more: "than the schema" };
  expect(await failureOf(unitOfWork.run((transaction) => transaction.enqueue(Call, wrong)))).toBe(
    "ContractViolation: effect call: /more: is not a known field",
  );
  const Other = defineEffect({ name: "call", input: Input, run: async () => {} });
  expect(await failureOf(unitOfWork.run((transaction) => transaction.enqueue(Other, { name: "a" })))).toBe(
    "UsageError: there is no effect named call",
  );
  expect(() => new TestService(undefined, { effects: [Call, Other] })).toThrow("two effects named call");
  expect(service.kit.effects.counts()).toEqual({ pending: 0, dead: 0 });
});

test("an effect that fails is tried again under the same idempotency key", async () => {
  respond = async ({ attempt }) => {
    if (attempt < 3) throw new Error("away");
    return "done";
  };
  start();
  const key = await enqueue();
  await eventually(() => answers().length === 1);
  expect(calls.map(({ idempotencyKey, attempt }) => [idempotencyKey, attempt])).toEqual([
    [key, 1],
    [key, 2],
    [key, 3],
  ]);
  expect(service.kit.effects.totals).toEqual({ completed: 1, retried: 2, failed: 0 });
});

test("after the last try the effect is dead, and what reacts to that commits with it", async () => {
  respond = async () => {
    throw new Error("away");
  };
  start();
  await enqueue();
  await eventually(() => answers().length === 1);
  expect(answers()[0]?.text).toBe("failed: Error: away");
  expect(calls).toHaveLength(3);
  expect(row()).toEqual({ due_at: null, attempts: 3, error: "away" });
  expect(service.kit.effects.counts()).toEqual({ pending: 0, dead: 1 });
});

test("a DomainError is not tried again", async () => {
  respond = async () => {
    throw new DomainError("card declined");
  };
  start();
  await enqueue();
  await eventually(() => answers().length === 1);
  expect(calls).toHaveLength(1);
  expect(row()).toEqual({ due_at: null, attempts: 1, error: "card declined" });
});

test("a try ends with its time, also if it does not heed its signal", async () => {
  respond = ({ attempt }) => (attempt === 1 ? new Promise(() => {}) : Promise.resolve("done"));
  const Short = defineEffect({ ...Call, timeoutMs: 50, retry });
  start({ effects: [Short] });
  await service.kit.unitOfWork.run((transaction) => transaction.enqueue(Short, { name: "a" }));
  await eventually(() => answers().length === 1);
  expect(calls.map(({ signal, attempt }) => [attempt, signal.aborted])).toEqual([
    [1, true],
    [2, false],
  ]);
  expect(String(calls[0]?.signal.reason)).toBe("Error: it was not done within 50 ms");
});

test("an effect that the last process did not complete is performed by the next one, its result applied once", async () => {
  const begun = Promise.withResolvers<void>();
  respond = ({ signal }) => {
    begun.resolve();
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  start();
  const key = await enqueue();
  await begun.promise;
  respond = async () => "done";
  await service.restart();
  await eventually(() => answers().length === 1);
  // The stop was not the fault of the effect: its try does not count.
  expect(calls.map(({ idempotencyKey, attempt }) => [idempotencyKey, attempt])).toEqual([
    [key, 1],
    [key, 1],
  ]);
  expect(service.applied()).toEqual(["a:done"]);
});

test("stops during an effect, however many, are not counted as crashes", async () => {
  respond = () => new Promise(() => {});
  start();
  await enqueue();
  for (let stops = 1; stops <= 4; stops += 1) {
    await eventually(() => calls.length === stops);
    if (stops === 4) respond = async () => "done";
    await service.restart();
  }
  await eventually(() => answers().length === 1);
  expect(answers().map(({ text }) => text)).toEqual(["done"]);
});

test("a stop does not wait for a disk that fails to store a result", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  respond = () => promise;
  start();
  await enqueue();
  await eventually(() => calls.length === 1);
  const { sql } = service.database;
  const run = sql.run.bind(sql);
  sql.run = (statement: string, ...rest: never[]) => {
    if (statement !== "COMMIT") return run(statement, ...rest);
    throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
  };
  resolve("done");
  await service.kit.stop();
  expect(service.applied()).toEqual([]);
});

/** From now on the service is replicated, and it is not known whether its next commit is confirmed. */
function doubtNextCommit(): { readonly commits: () => number } {
  let commits = 0;
  const replication = groupLog((callback) => {
    commits += 1;
    callback(commits === 1 ? new StorageError("the change log does not have it yet") : undefined);
  });
  Object.assign(service.database, { replication });
  return { commits: () => commits };
}

test.each([
  ["the result", async () => "done", "done"],
  ["the last failure", () => Promise.reject(new DomainError("no")), "failed: DomainError: no"],
])("%s of an effect is applied once, also if it is not known whether it was stored", async (_, end, text) => {
  const ended = Promise.withResolvers<void>();
  respond = () => ended.promise.then(end);
  start();
  await enqueue();
  await eventually(() => calls.length === 1);
  const { commits } = doubtNextCommit();
  ended.resolve();
  await eventually(() => commits() >= 2);
  await eventually(() => answers().length > 0);
  await service.kit.stop();
  expect(answers().map((answer) => answer.text)).toEqual([text]);
  expect(service.applied()).toEqual(text === "done" ? ["a:done"] : []);
});

test("what reacts to each failure and to the result of an effect has an id of its own", async () => {
  respond = () => Promise.reject(new DomainError("no"));
  start();
  const key = await enqueue();
  const dead = () => service.kit.effectAdmin.list({ limit: 1 }).at(0);
  await eventually(() => dead() !== undefined);
  await service.kit.effectAdmin.retry(dead()?.id ?? 0, "operator");
  await eventually(() => answers().length === 2);
  respond = async () => "done";
  await service.kit.effectAdmin.retry(dead()?.id ?? 0, "operator");
  await eventually(() => answers().length === 3);
  const ids = service.broker.records("answers").map(({ value }) => JSON.parse(String(value)).id);
  expect(new Set(ids).size).toBe(3);
  expect(answers().map(({ causationid }) => causationid)).toEqual([key, key, key]);
});

test("an effect that was enqueued by the same cause before is enqueued once", async () => {
  service = new TestService(undefined, { effects: [Call] });
  const cause = { correlationId: "c", causationId: "m", idSeed: "m" };
  const again = () =>
    service.kit.unitOfWork.run((transaction) => transaction.enqueue(Call, { name: "a" }), cause);
  expect(await again()).toBe(await again());
  expect(service.kit.effects.counts()).toEqual({ pending: 1, dead: 0 });
});

test("an operator retries and discards dead effects only", async () => {
  service = new TestService(undefined, { effects: [Call] });
  await enqueue();
  const { effectAdmin } = service.kit;
  for (const refused of [effectAdmin.retry(1, "operator"), effectAdmin.discard(1, "no", "operator")]) {
    expect(await failureOf(refused)).toBe("EffectRefusal: there is no dead effect 1");
  }
  expect(service.kit.effects.counts()).toEqual({ pending: 1, dead: 0 });
});

test("an effect that ends its process three times is dead", async () => {
  start({ effects: [] });
  service.database.sql.run(
    `INSERT INTO durable_effects (key, name, input, due_at, crashes, correlation_id, enqueued_at)
     VALUES ('k2', 'call', '{"name":"a"}', 0, 2, 'c', 0), ('k3', 'call', '{"name":"b"}', 0, 3, 'c', 0)`,
  );
  const { database } = service;
  await service.kit.stop();
  service = new TestService(undefined, { database, effects: [Call] });
  service.kit.start();
  await eventually(() => answers().length === 2);
  expect(
    answers()
      .map(({ text }) => text)
      .sort(),
  ).toEqual(["done", "failed: UsageError: the process ended 3 times during it"]);
});

test("an effect without a definition is dead, not lost", async () => {
  start();
  await service.kit.stop();
  service.database.sql.run(
    `INSERT INTO durable_effects (key, name, input, due_at, correlation_id, enqueued_at)
     VALUES ('k', 'gone', '{}', 0, 'c', 0)`,
  );
  await service.restart();
  await eventually(() => service.kit.effects.counts().dead === 1);
  expect(row()?.error).toBe("there is no effect named gone");
});

test("when the result cannot be applied, nothing of it is, and the effect is performed again", async () => {
  onCompleted = () => {
    if (calls.length === 1) throw new Error("a fault of the service");
  };
  start();
  const key = await enqueue();
  await eventually(() => answers().length === 1);
  expect(calls.map(({ idempotencyKey }) => idempotencyKey)).toEqual([key, key]);
  expect(service.applied()).toEqual(["a:done"]);
});

test("an effect whose result breaks the contract of a message is performed once", async () => {
  const Broken = defineEffect({
    ...Call,
    completed: (_output, _input, transaction) => transaction.emit(Answer, { name: "", text: "no key" }),
  });
  start({ effects: [Broken] });
  await service.kit.unitOfWork.run((transaction) => transaction.enqueue(Broken, { name: "a" }));
  await eventually(() => service.kit.effects.counts().dead === 1);
  expect(calls.length).toBe(1);
});

test("the function for the last failure may fail: the effect is dead all the same", async () => {
  const Broken = defineEffect({
    name: "broken",
    input: Input,
    run: async () => {
      throw new DomainError("no");
    },
    failed: () => {
      throw new Error("a fault of the service");
    },
  });
  start({ effects: [Broken] });
  await service.kit.unitOfWork.run((transaction) => transaction.enqueue(Broken, { name: "a" }));
  await eventually(() => service.kit.effects.counts().dead === 1);
  expect(row()?.error).toBe("no; its function for that failed: a fault of the service");
});

test("asynchronous functions for the result are refused by their types and at run time", async () => {
  const Broken = defineEffect({
    name: "broken",
    input: Input,
    run: async () => "done",
    // @ts-expect-error a function that returns a promise
    completed: async () => {},
  });
  start({ effects: [Broken] });
  await service.kit.unitOfWork.run((transaction) => transaction.enqueue(Broken, { name: "a" }));
  await eventually(() => service.kit.effects.counts().dead === 1);
  expect(row()?.error).toBe(
    "the function for the result of effect broken must be synchronous: it returned a promise",
  );
});

test("a slow effect leaves room for others: at most four of a kind are performed at a time", async () => {
  const release = Promise.withResolvers<string>();
  respond = () => release.promise;
  const quick: string[] = [];
  const Slow = defineEffect({ ...Call, completed: () => {}, concurrency: 4 });
  const Quick = defineEffect({
    name: "quick",
    input: Input,
    run: async ({ name }) => void quick.push(name),
  });
  start({ effects: [Slow, Quick] });
  await service.kit.unitOfWork.run((transaction) => {
    for (let i = 0; i < 100; i++) transaction.enqueue(Slow, { name: String(i) });
    for (let i = 0; i < 20; i++) transaction.enqueue(Quick, { name: String(i) });
  });
  await eventually(() => quick.length === 20, "the slow ones before it do not hold it up");
  expect(calls).toHaveLength(4);
  release.resolve("done");
  await eventually(() => service.kit.effects.totals.completed === 120);
  expect(calls).toHaveLength(100);
});

test("an effect that becomes due while due ones are looked for is not slept through", async () => {
  let now = Date.now();
  let tries = 0;
  // Between any two looks at the clock 10 ms pass, and each try waits for a few ms longer than the one before.
  const runtime = { ...systemRuntime, now: () => (now += 10), random: () => tries++ / 20 };
  respond = async ({ attempt }) => {
    if (attempt < 20) throw new Error("away");
    return "done";
  };
  const Slow = defineEffect({
    ...Call,
    completed: () => {},
    failed: () => {},
    retry: { backoff: { firstMs: 100, mostMs: 100 }, attempts: 20 },
  });
  start({ effects: [Slow], runtime });
  await service.kit.unitOfWork.run((transaction) => transaction.enqueue(Slow, { name: "a" }));
  await eventually(() => service.kit.effects.totals.completed === 1);
  expect(calls).toHaveLength(20);
});

test("a kind of effect has a concurrency of four, or its own", () => {
  const options = { name: "one", input: Input, run: async () => {} };
  expect(defineEffect(options).concurrency).toBe(4);
  expect(defineEffect({ ...options, concurrency: 1 }).concurrency).toBe(1);
  for (const concurrency of [0, 1.5, Number.NaN]) {
    expect(() => defineEffect({ ...options, concurrency })).toThrow(
      `effect one: concurrency is ${concurrency}`,
    );
  }
});

test("at most 16 effects are performed at a time, the others follow", async () => {
  let running = 0;
  let most = 0;
  const release = Promise.withResolvers<void>();
  respond = async () => {
    running += 1;
    most = Math.max(most, running);
    await release.promise;
    running -= 1;
    return "done";
  };
  const Slow = defineEffect({ ...Call, completed: () => {}, concurrency: 100 });
  start({ effects: [Slow] });
  await service.kit.unitOfWork.run((transaction) => {
    for (let i = 0; i < 40; i++) transaction.enqueue(Slow, { name: String(i) });
  });
  await eventually(() => calls.length === 16);
  release.resolve();
  await eventually(() => service.kit.effects.totals.completed === 40);
  expect(most).toBe(16);
});

test("the same message handled by a restored file enqueues its effect under the same key", async () => {
  start();
  const one = letter("a", "1");
  await service.publish(one);
  await eventually(() => calls.length === 1);
  await service.stop();
  start();
  await service.publish(one);
  await eventually(() => calls.length === 2);
  expect(calls[0]?.idempotencyKey).toBe(calls[1]?.idempotencyKey ?? "");
});
