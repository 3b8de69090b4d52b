import { expect, test } from "bun:test";
import { ContractViolation } from "../contract/envelope.ts";
import { DeadLettersFull, DomainError, StorageError } from "../errors.ts";
import { letter } from "../testing/kit.ts";
import { type Attempt, type Decision, decide, MAX_CRASHES } from "./decision.ts";

const policy = { backoff: { firstMs: 100, mostMs: 1_000 }, attempts: 3 };
const message = letter("a", "1");
const failed = (error: unknown): Attempt => ({ status: "failed", error });
const parked = (reason: string, error: string, attempts: number) => ({
  action: "park",
  failure: { reason, error, attempts },
});

test.each<[string, Attempt, number, object]>([
  ["handled", { status: "handled", message }, 1, { action: "ack" }],
  ["a duplicate", { status: "duplicate", message }, 1, { action: "ack" }],
  ["without a handler", { status: "skipped", message }, 1, { action: "ack" }],
  ["invalid", { status: "rejected", reason: "schema", detail: "/text" }, 1, parked("schema", "/text", 1)],
  ["blocked", { status: "blocked" }, 0, parked("blocked", "an earlier message of its key is parked", 0)],
  ["failed for ever", failed(new DomainError("no")), 2, parked("domain", "no", 2)],
  [
    "failed once",
    failed(new Error("away")),
    1,
    { action: "retry", delayMs: 75, failure: { reason: "failed", error: "away", attempts: 1 } },
  ],
  [
    "answered against a contract",
    failed(new ContractViolation("/text")),
    1,
    parked("handler-error", "/text", 1),
  ],
  ["failed twice", failed(new Error("away")), 2, { action: "retry", delayMs: 150 }],
  ["failed for the last time", failed(new Error("away")), 3, parked("retries-exhausted", "away", 3)],
  ["failed with what is no Error", failed("text"), 3, parked("retries-exhausted", "text", 3)],
  ["rolled back by the disk", failed(new StorageError("full")), 9, { action: "wait", delayMs: 1_000 }],
  ["one dead letter too many", failed(new DeadLettersFull("full")), 9, { action: "wait", delayMs: 1_000 }],
  [
    "found after a crash",
    { status: "crashed", crashes: MAX_CRASHES - 1 },
    2,
    { action: "retry", delayMs: 0 },
  ],
  [
    "found after the last crash",
    { status: "crashed", crashes: MAX_CRASHES },
    7,
    parked("crash", "the process ended 3 times while it was handled", 7),
  ],
])("a message that is %s", (_what, attempt, tries, expected) => {
  const decision: Decision = decide(attempt, tries, policy, () => 0.5);
  expect(decision).toMatchObject(expected);
});

test("a policy decides by the error; what it cannot decide has the limits of the policy", () => {
  const classify = (error: unknown) => {
    if (error instanceof RangeError) return "park";
    if (error instanceof SyntaxError) return { backoff: { firstMs: 10, mostMs: 10 }, attempts: 2 };
    if (error instanceof EvalError) throw new Error("a fault of the policy");
    return undefined;
  };
  const outcome = (error: unknown, tries: number) =>
    decide(failed(error), tries, { ...policy, classify }, () => 1);
  expect(outcome(new RangeError("never"), 1)).toMatchObject(parked("handler-error", "never", 1));
  expect(outcome(new SyntaxError("soon"), 1)).toMatchObject({ action: "retry", delayMs: 10 });
  expect(outcome(new SyntaxError("soon"), 2)).toMatchObject(parked("retries-exhausted", "soon", 2));
  for (const error of [new Error("away"), new EvalError("away")]) {
    expect(outcome(error, 2)).toMatchObject({ action: "retry", delayMs: 200 });
    expect(outcome(error, 3)).toMatchObject(parked("retries-exhausted", "away", 3));
  }
  expect(outcome(new DomainError("no"), 1)).toMatchObject(parked("domain", "no", 1));
});

test("a failure has the stack of its error", () => {
  const error = new DomainError("no");
  expect(decide(failed(error), 1, policy, () => 0)).toMatchObject({ failure: { stack: error.stack } });
});
