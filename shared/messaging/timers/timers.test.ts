import { afterEach, expect, test } from "bun:test";
import { eventually, failureOf } from "../testing/eventually.ts";
import { TestService } from "../testing/kit.ts";
import type { TimerHandler } from "./timers.ts";

let service: TestService;
afterEach(() => service.stop());

function withTimers(fire: (key: string, data: unknown) => void = () => {}): TestService {
  const handler: TimerHandler = {
    name: "remind",
    fire({ key, data }) {
      service.database.sql.run("INSERT INTO effects (name, text) VALUES (?, ?)", [key, JSON.stringify(data)]);
      fire(key, data);
    },
  };
  service = new TestService(undefined, { timers: [handler] });
  return service;
}
const set = (key: string, inMs: number, data: unknown = null) =>
  service.kit.unitOfWork.run((transaction) =>
    transaction.setTimer({ name: "remind", key, dueAt: transaction.now + inMs, data }),
  );

test("a timer fires once, with its data", async () => {
  withTimers().kit.start();
  await set("a", 5, { what: "tea" });
  await eventually(() => service.applied().length === 1);
  expect(service.applied()).toEqual(['a:{"what":"tea"}']);
  expect(service.kit.timers.counts()).toEqual({ pending: 0, failed: 0 });
});

test("a timer that was cancelled does not fire; one that was set again fires as set last", async () => {
  withTimers();
  await set("cancelled", 10);
  await set("moved", 10, "early");
  await service.kit.unitOfWork.run((transaction) => transaction.cancelTimer("remind", "cancelled"));
  await set("moved", 20, "late");
  await set("last", 40);
  // Not before: on a busy machine they would be due by now.
  service.kit.start();
  await eventually(() => service.applied().length === 2);
  expect(service.applied()).toEqual(['moved:"late"', "last:null"]);
});

test("a timer of a transaction that was rolled back does not exist", async () => {
  withTimers().kit.start();
  const failing = service.kit.unitOfWork.run((transaction) => {
    transaction.setTimer({ name: "remind", key: "a", dueAt: 0 });
    throw new Error("no");
  });
  expect(await failureOf(failing)).toMatch("no");
  await set("b", 0);
  await eventually(() => service.applied().length === 1);
  expect(service.applied()).toEqual(["b:null"]);
});

test("a timer that could never fire is refused: one without a handler, or without a time", async () => {
  withTimers();
  const unknown = service.kit.unitOfWork.run((transaction) =>
    transaction.setTimer({ name: "remnid", key: "a", dueAt: 0 }),
  );
  expect(await failureOf(unknown)).toBe("UsageError: there is no handler for timers named remnid");
  for (const dueAt of [Number.NaN, Number.POSITIVE_INFINITY, 0.5]) {
    const set = service.kit.unitOfWork.run((transaction) =>
      transaction.setTimer({ name: "remind", key: "a", dueAt }),
    );
    expect(await failureOf(set)).toBe(`UsageError: timer remind a: dueAt is ${dueAt}`);
  }
  expect(service.kit.timers.counts()).toEqual({ pending: 0, failed: 0 });
});

test("a timer waits, untried, for a version that has its handler; the others fire", async () => {
  withTimers();
  await set("a", 0);
  service.database.sql.run("UPDATE timers SET name = 'of a newer version'");
  await set("b", 1);
  service.kit.start();
  await eventually(() => service.applied().length === 1);
  expect(service.kit.timers.counts()).toEqual({ pending: 1, failed: 0 });
  expect(service.database.sql.query("SELECT key, attempts FROM timers").values()).toEqual([["a", 0]]);
  service.database.sql.run("UPDATE timers SET name = 'remind'");
  await service.restart();
  await eventually(() => service.applied().length === 2);
});

test("a timer that came due while no process ran fires at the next start", async () => {
  withTimers();
  await set("a", 1);
  await Bun.sleep(5);
  await service.crash();
  await eventually(() => service.applied().length === 1);
});

test("a timer that fails is rolled back and fires again; the others of its slice fire once", async () => {
  let failures = 1;
  withTimers((key) => {
    if (key === "b" && failures-- > 0) throw new Error("in passing");
  });
  await Promise.all(["a", "b", "c"].map((key) => set(key, 0)));
  service.kit.start();
  await eventually(() => service.applied().length === 3);
  expect(service.applied().sort()).toEqual(["a:null", "b:null", "c:null"]);
});

test("a timer that failed ten times is left alone until it is set again", async () => {
  let fails = true;
  withTimers(() => {
    if (fails) throw new Error("for now");
  });
  await set("a", 0);
  service.database.sql.run("UPDATE timers SET attempts = 9");
  service.kit.start();
  await eventually(() => service.kit.timers.counts().failed === 1);
  await set("a", 3_600_000);
  expect(service.database.sql.query("SELECT attempts, error FROM timers").values()).toEqual([[0, null]]);
  fails = false;
  await set("a", 0);
  await eventually(() => service.applied().length === 1);
});

test("the timer of an asynchronous handler is refused by its type, rolled back and left alone at once", async () => {
  const asynchronous = {
    name: "remind",
    fire: async () => {
      service.database.sql.run("INSERT INTO effects (name, text) VALUES ('a', 'x')");
    },
  };
  // @ts-expect-error a handler that returns a promise
  service = new TestService(undefined, { timers: [asynchronous] });
  service.kit.start();
  await set("a", 0);
  await eventually(() => service.kit.timers.counts().failed === 1);
  expect(service.applied()).toEqual([]);
});

test("thousands of due timers do not keep other work waiting", async () => {
  withTimers();
  await service.kit.unitOfWork.run((transaction) => {
    for (let i = 0; i < 3_000; i++) transaction.setTimer({ name: "remind", key: String(i), dueAt: 0 });
  });
  service.kit.start();
  await Bun.sleep(0);
  const firedBefore = await service.kit.unitOfWork.run(() => service.applied().length);
  expect(firedBefore).toBeLessThan(3_000);
  await eventually(() => service.applied().length === 3_000);
});
