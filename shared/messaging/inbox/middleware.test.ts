import { afterEach, expect, test } from "bun:test";
import { DomainError } from "../errors.ts";
import { eventually } from "../testing/eventually.ts";
import { Answer, letter, TestService } from "../testing/kit.ts";
import type { Middleware } from "./inbox.ts";

let service: TestService;
afterEach(() => service.stop());

/** Sends one letter through the middleware. @returns what became of it: that it was handled, or its dead letter */
async function outcomeOf(middleware: readonly Middleware[], handle: () => void = () => {}): Promise<unknown> {
  service = new TestService(handle, { middleware });
  service.kit.start();
  await service.publish(letter("a", "1"));
  const { counts } = service.kit.consumer;
  await eventually(() => counts.handled + counts.parked === 1);
  const [dead] = service.kit.deadLetterAdmin.list({ limit: 1 });
  return dead === undefined ? "handled" : `${dead.reason}: ${dead.error}`;
}

test("middleware runs around the handler, the first one outermost, in its transaction", async () => {
  const calls: string[] = [];
  const named =
    (name: string): Middleware =>
    ({ data }, transaction, next) => {
      calls.push(`${name} before ${JSON.stringify(data)}`);
      next();
      calls.push(`${name} after`);
      transaction.emit(Answer, { name, text: "from the middleware" });
    };
  expect(await outcomeOf([named("outer"), named("inner")], () => calls.push("handler"))).toBe("handled");
  const data = '{"name":"a","text":"1"}';
  expect(calls).toEqual([
    `outer before ${data}`,
    `inner before ${data}`,
    "handler",
    "inner after",
    "outer after",
  ]);
  await eventually(() => service.broker.records("answers").length === 2);
});

test("middleware may translate an error, and what it wrote is rolled back with the handler's", async () => {
  const translates: Middleware = (_message, transaction, next) => {
    transaction.emit(Answer, { name: "a", text: "rolled back" });
    try {
      next();
    } catch {
      throw new DomainError("translated");
    }
  };
  const fails = () => {
    throw new Error("the handler fails");
  };
  expect(await outcomeOf([translates], fails)).toBe("domain: translated");
  expect(service.applied()).toEqual([]);
  await eventually(() => service.kit.outbox.depth() === 0);
  expect(service.broker.records("answers")).toEqual([]);
});

const swallows: Middleware = (_message, _transaction, next) => {
  try {
    next();
  } catch {}
};
const twice: Middleware = (_message, _transaction, next) => {
  next();
  next();
};
test.each<[string, Middleware, string]>([
  ["swallows an error", swallows, "domain: refused"],
  ["does not call next", () => {}, "handler-error: a middleware must call next once, it called it 0 times"],
  ["calls next twice", twice, "handler-error: a middleware must call next once, it called it 2 times"],
])("middleware that %s does not make a message handled", async (what, middleware, expected) => {
  const handle = () => {
    if (what === "swallows an error") throw new DomainError("refused");
  };
  expect(await outcomeOf([middleware], handle)).toBe(expected);
  expect(service.applied()).toEqual([]);
});

test("when a middleware calls next twice, the handler runs once, and its dead letter names that mistake", async () => {
  let runs = 0;
  const handle = () => {
    runs += 1;
    if (runs > 1) throw new DomainError("handled before");
  };
  // What fails in a group is run again with a savepoint of its own.
  const once: Middleware = (message, transaction, next) => {
    runs = 0;
    twice(message, transaction, next);
  };
  expect(await outcomeOf([once], handle)).toBe(
    "handler-error: a middleware must call next once, it called it 2 times",
  );
  expect(runs).toBe(1);
});

test("asynchronous middleware is refused by its type and at run time", async () => {
  // @ts-expect-error a middleware that returns a promise
  const asynchronous: Middleware = async (_message, _transaction, next) => next();
  expect(await outcomeOf([asynchronous])).toBe(
    "handler-error: a middleware must be synchronous: it returned a promise",
  );
});

test("a middleware that calls next after its message has failed runs no handler", async () => {
  let late: (() => void) | undefined;
  const delays: Middleware = (_message, _transaction, next) => {
    late = next;
    throw new DomainError("not now");
  };
  expect(await outcomeOf([delays])).toBe("domain: not now");
  expect(() => late?.()).toThrow("a middleware must call next once, synchronously");
  expect(service.applied()).toEqual([]);
});
