import { expect, test } from "bun:test";
import { Prng } from "./prng.ts";
import { Incarnation, Scheduler, Trace } from "./scheduler.ts";

test("events happen in the order of their times, and of scheduling if those are equal", () => {
  const scheduler = new Scheduler();
  const prng = new Prng("order");
  const scheduled = Array.from({ length: 500 }, (_, index) => ({ index, atMs: prng.between(0, 40) }));
  const happened: typeof scheduled = [];
  for (const event of scheduled) scheduler.after(event.atMs, () => happened.push(event));
  while (scheduler.step());
  expect(happened).toEqual(
    scheduled.toSorted((some, other) => some.atMs - other.atMs || some.index - other.index),
  );
  expect(scheduler.nowMs).toBe(40);
});

test("promise continuations run within the event that settled the promise", () => {
  const scheduler = new Scheduler();
  const done: string[] = [];
  const finishAfter = async (name: string, promise: Promise<void>) => {
    await promise;
    await promise;
    done.push(name);
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  finishAfter("first", promise);
  scheduler.after(1, () => resolve());
  scheduler.after(2, () => done.push("second"));
  scheduler.step();
  expect(done).toEqual(["first"]);
});

test("an event does not happen if it was cancelled or its owner has ended", () => {
  const scheduler = new Scheduler();
  const owner = new Incarnation("service", () => {});
  const happened: string[] = [];
  const cancel = scheduler.after(1, () => happened.push("cancelled"));
  scheduler.after(2, () => happened.push("of an owner that has ended"), owner);
  scheduler.after(3, () => happened.push("without owner"));
  cancel();
  owner.alive = false;
  while (scheduler.step());
  expect(happened).toEqual(["without owner"]);
});

test("a step with a limit runs no event after it", () => {
  const scheduler = new Scheduler();
  const happened: number[] = [];
  for (const atMs of [1, 2, 3]) scheduler.after(atMs, () => happened.push(atMs));
  while (scheduler.step(2));
  expect(happened).toEqual([1, 2]);
  while (scheduler.step());
  expect(happened).toEqual([1, 2, 3]);
});

test("equal seeds give equal numbers, and forks do not affect one another", () => {
  const draw = (prng: Prng) => Array.from({ length: 100 }, () => prng.between(3, 9));
  const numbers = draw(new Prng("a"));
  expect(draw(new Prng("a"))).toEqual(numbers);
  expect(draw(new Prng("b"))).not.toEqual(numbers);
  expect(Math.min(...numbers)).toBe(3);
  expect(Math.max(...numbers)).toBe(9);
  const parent = new Prng("a");
  draw(parent.fork("child"));
  expect(draw(parent)).toEqual(numbers);
  expect(draw(new Prng("a").fork("child"))).toEqual(draw(new Prng("a").fork("child")));
});

test("a trace keeps its last lines and a digest of all lines", () => {
  const [trace, other] = [new Trace(new Scheduler()), new Trace(new Scheduler())];
  for (const each of [trace, other]) {
    for (let line = 0; line < 1_000; line += 1) each.note("actor", `line ${line}`);
  }
  expect(trace.digest).toBe(other.digest);
  expect(trace.tail(2)).toEqual(["0.000 actor: line 998", "0.000 actor: line 999"]);
  other.note("actor", "one more");
  expect(trace.digest).not.toBe(other.digest);
});
