import { afterEach, describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { closed } from "./contract/define.ts";
import { defineEffect } from "./effects/define.ts";
import type { MessagingOptions } from "./messaging.ts";
import { RepeatedFailure } from "./repeated-failure.ts";
import { type Logger, silentLogger, systemRuntime } from "./runtime.ts";
import { eventually } from "./testing/eventually.ts";
import { letter, TestService } from "./testing/kit.ts";

interface Line {
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What is logged, but at `debug`. */
function capture(): { readonly log: Logger; readonly lines: Line[] } {
  const lines: Line[] = [];
  const add = (fields: object, text: string) => void lines.push({ text, fields: { ...fields } });
  return { log: { ...silentLogger, info: add, warn: add, error: add }, lines };
}

describe("a failure that is retried", () => {
  test("is logged first, then when its number has doubled or a minute has passed, and once when it is over", () => {
    let now = 0;
    const { log, lines } = capture();
    const failure = new RepeatedFailure({ monotonic: () => now }, log);
    for (let i = 0; i < 1_000; i++) failure.failed("x", new Error("full\nof lines"), { at: "x" }, "it fails");
    expect(lines.map(({ fields }) => fields.failures)).toEqual([1, 10, 20, 40, 80, 160, 320, 640]);
    expect(lines[0]).toEqual({ text: "it fails", fields: { at: "x", error: "full of lines", failures: 1 } });
    now = 60_000;
    failure.failed("x", new Error("full"), {}, "it fails");
    failure.failed("x", new Error("full"), {}, "it fails");
    failure.over("x", { at: "x" }, "it works");
    failure.over("x", {}, "it works");
    expect(lines.slice(8)).toEqual([
      { text: "it fails", fields: { error: "full", failures: 1_001 } },
      { text: "it works", fields: { at: "x", failures: 1_002, seconds: 60 } },
    ]);
  });

  test("of several that fail alike is over when none of them fails any more", () => {
    const { log, lines } = capture();
    const failure = new RepeatedFailure(systemRuntime, log);
    for (const member of ["a", "b", "c"]) failure.failed("x", "no", {}, "it fails", { member });
    failure.over("x", {}, "it works", "a");
    failure.forget("x", "b");
    expect(lines).toHaveLength(1);
    failure.over("x", {}, "it works", "c");
    expect(lines.map(({ text }) => text)).toEqual(["it fails", "it works"]);
  });
});

describe("the lines of a kit", () => {
  let service: TestService;
  afterEach(() => service.stop());

  const TRIES = 40;
  const retry: MessagingOptions["retry"] = { backoff: { firstMs: 1, mostMs: 2 }, attempts: 1_000 };
  /** Fails so often, then works. */
  const failing = () => {
    let left = TRIES;
    return () => {
      left -= 1;
      if (left >= 0) throw new Error("the reason in words");
    };
  };
  /** A clock on which what waits for seconds is due at once. */
  const hurried = {
    ...systemRuntime,
    after: (ms: number, call: () => void) => systemRuntime.after(Math.min(ms, 2), call),
  };

  test("a handler that fails: few, with the ids of the message, and one when it goes on", async () => {
    const { log, lines } = capture();
    const fail = failing();
    service = new TestService(fail, { log, retry });
    service.kit.start();
    const sent = letter("a", "1");
    await service.publish(sent);
    await eventually(() => service.applied().length === 1);
    await eventually(() => lines.some(({ text }) => text === "a partition goes on"));
    const failed = lines.filter(({ text }) => text === "a message failed, its partition waits");
    expect(failed.map(({ fields }) => fields.failures)).toEqual([1, 10, 20]);
    for (const { fields } of failed) {
      expect(fields).toMatchObject({
        error: "the reason in words",
        messageId: sent.id,
        correlationId: sent.correlationid,
      });
    }
    expect(lines.filter(({ text }) => text === "a partition goes on")).toEqual([
      {
        text: "a partition goes on",
        fields: {
          ...{ topic: "letters", partition: expect.any(Number) },
          // Work that fails runs once more, to find out which part of its group it was.
          ...{ failures: TRIES / 2, seconds: expect.any(Number) },
        },
      },
    ]);
  });

  test("an effect that fails: few, whichever of its name it is, and one when none fails any more", async () => {
    const { log, lines } = capture();
    let isUp = false;
    let tries = 0;
    const Call = defineEffect({
      ...{ name: "call", input: Type.Object({}, closed), retry: { ...retry, attempts: 100_000 } },
      run: async () => {
        tries += 1;
        if (!isUp) throw new Error("no answer");
      },
    });
    service = new TestService(undefined, { log, effects: [Call], runtime: hurried });
    service.kit.start();
    for (let i = 0; i < 5; i++)
      await service.kit.unitOfWork.run((transaction) => void transaction.enqueue(Call, {}));
    await eventually(() => tries >= 100, "many tries");
    isUp = true;
    await eventually(() => service.kit.effects.counts().pending === 0, "the effects to be done");
    expect(lines.filter(({ text }) => text.startsWith("an effect failed")).length).toBeLessThan(12);
    expect(lines.filter(({ text }) => text === "effects that had failed are completed")).toHaveLength(1);
    expect(lines[0]?.fields).toMatchObject({
      effect: "call",
      error: "no answer",
      correlationId: expect.any(String),
    });
  });

  test("a relay that cannot send: few, and one when it can", async () => {
    const { log, lines } = capture();
    let isUp = false;
    let sends = 0;
    service = new TestService(undefined, { log, runtime: hurried });
    const publish = service.broker.publish.bind(service.broker);
    service.broker.publish = async (records) => {
      sends += 1;
      if (!isUp) throw new Error("away");
      await publish(records);
    };
    service.kit.start();
    await service.send("a", "1");
    await eventually(() => sends >= TRIES, "many sends");
    isUp = true;
    await eventually(() => service.applied().length === 1);
    const failed = lines.filter(({ text }) => text.startsWith("messages cannot be sent"));
    expect(failed.length).toBeLessThan(12);
    expect(failed[0]?.fields).toMatchObject({ error: "away" });
    expect(lines.filter(({ text }) => text === "sending works again")).toHaveLength(1);
  });

  test("a timer that fails: one for each time it is tried at most, and one when it fires", async () => {
    const { log, lines } = capture();
    let ahead = 0;
    let left = 3;
    const timers = [
      {
        name: "expiry",
        fire: () => {
          left -= 1;
          if (left >= 0) throw new Error("not yet");
          return undefined;
        },
      },
    ];
    const runtime = { ...hurried, now: () => Date.now() + ahead };
    service = new TestService(undefined, { log, timers, runtime });
    service.kit.start();
    await service.kit.unitOfWork.run((transaction) => {
      for (const key of ["a", "b"]) transaction.setTimer({ name: "expiry", key, dueAt: transaction.now });
    });
    await eventually(() => {
      ahead += 60_000;
      return service.kit.timers.counts().pending === 0;
    }, "the timers to fire");
    const failed = lines.filter(({ text }) => text === "a timer failed, it is tried again");
    expect(failed).toHaveLength(1);
    expect(failed[0]?.fields).toMatchObject({
      ...{ timer: "expiry", error: "not yet", correlationId: expect.any(String) },
    });
    expect(lines.filter(({ text }) => text === "timers that had failed are fired")).toHaveLength(1);
  });

  test("a full disk: few for all that waits together, and one when there is space", async () => {
    const { log, lines } = capture();
    let commits = 0;
    let isFull = false;
    service = new TestService(undefined, { log, runtime: hurried });
    const { sql } = service.database;
    const run = sql.run.bind(sql);
    sql.run = (statement: string, ...rest: never[]) => {
      if (statement === "COMMIT" && isFull) {
        commits += 1;
        throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
      }
      return run(statement, ...rest);
    };
    service.kit.start();
    await service.publish(letter("a", "1"));
    await eventually(() => service.applied().length === 1);
    isFull = true;
    await service.publish(letter("a", "2"), letter("b", "1"), letter("c", "1"), letter("d", "1"));
    await eventually(async () => {
      await service.send("e", "1").catch(() => {});
      return commits >= 4 * TRIES;
    }, "many commits to fail");
    isFull = false;
    await eventually(() => service.applied().length === 5, "the messages to be handled");
    await eventually(() => service.kit.storageFault() === undefined, "something can be stored");
    const failed = lines.filter(({ text }) => text.startsWith("nothing can be stored"));
    expect(failed.length).toBeLessThan(15);
    expect(failed[0]?.fields).toEqual({ error: "database or disk is full", failures: 1 });
    expect(lines.filter(({ text }) => text === "something can be stored again")).toHaveLength(1);
    expect(lines.length).toBe(failed.length + 1);
  });
});
