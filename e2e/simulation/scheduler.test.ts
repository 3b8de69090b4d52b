import { expect, test } from "bun:test";
import { Prng } from "./prng.ts";
import { Scheduler } from "./scheduler.ts";
import { Trace } from "./trace.ts";

test("events happen in the order of their times, and of their planning when those are the same", () => {
  const scheduler = new Scheduler();
  const prng = new Prng("order");
  const planned = Array.from({ length: 500 }, (_, index) => ({ index, atMs: prng.between(0, 40) }));
  const happened: typeof planned = [];
  for (const event of planned) scheduler.after(event.atMs, () => happened.push(event));
  while (scheduler.step());
  expect(happened).toEqual(
    planned.toSorted((some, other) => some.atMs - other.atMs || some.index - other.index),
  );
  expect(scheduler.nowMs).toBe(40);
});

test("what an event sets free goes on within it, promises and all", () => {
  const scheduler = new Scheduler();
  const heard: string[] = [];
  const waitFor = async (word: string, promise: Promise<void>) => {
    await promise;
    await promise;
    heard.push(word);
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  waitFor("first", promise);
  scheduler.after(1, () => resolve());
  scheduler.after(2, () => heard.push("second"));
  scheduler.step();
  expect(heard).toEqual(["first"]);
});

test("an event that was called off, or whose owner is dead, does not happen", () => {
  const scheduler = new Scheduler();
  const owner = { alive: true };
  const happened: string[] = [];
  const callOff = scheduler.after(1, () => happened.push("called off"));
  scheduler.after(2, () => happened.push("of the dead"), owner);
  scheduler.after(3, () => happened.push("of nobody"));
  callOff();
  owner.alive = false;
  while (scheduler.step());
  expect(happened).toEqual(["of nobody"]);
});

test("chance is the same for the same seed, and forks do not disturb one another", () => {
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

test("a trace keeps its last lines and a digest of all of them", () => {
  const traces = [new Trace(() => 1), new Trace(() => 1)] as const;
  for (const trace of traces)
    for (let line = 0; line < 1_000; line += 1) trace.note("somebody", `line ${line}`);
  expect(traces[0].digest).toBe(traces[1].digest);
  expect(traces[0].tail(2)).toEqual(["1.000 somebody: line 998", "1.000 somebody: line 999"]);
  traces[1].note("somebody", "one more");
  expect(traces[0].digest).not.toBe(traces[1].digest);
});
