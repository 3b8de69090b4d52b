import { afterEach, expect, test } from "bun:test";
import type { Message } from "../contract/envelope.ts";
import { on } from "../inbox/inbox.ts";
import { eventually } from "../testing/eventually.ts";
import { Answer, Letter, letter, TestService } from "../testing/kit.ts";
import type { TimerHandler } from "../timers/timers.ts";
import { derivedId } from "./message-id.ts";

const services: TestService[] = [];
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop();
});

/** A process whose handler answers each letter twice, and once more from a timer. */
function answering(name = "reader"): TestService {
  const timer: TimerHandler = {
    name: "remind",
    fire({ key }, transaction) {
      transaction.emit({ ...Answer, source: name }, { name: key, text: "timer" });
    },
  };
  const handler = on(Letter, ({ data }, transaction) => {
    transaction.emit({ ...Answer, source: name }, { name: data.name, text: "first" });
    transaction.setTimer({ name: "remind", key: data.name, dueAt: transaction.now });
    transaction.emit({ ...Answer, source: name }, { name: data.name, text: "second" });
  });
  const service = new TestService(undefined, { service: name, handlers: [handler], timers: [timer] });
  services.push(service);
  return service;
}

/** What a process answers to some letters, by key and text. */
async function answersOf(service: TestService, letters: readonly Message[]) {
  service.kit.start();
  await service.publish(...letters);
  const records = () => service.broker.records("answers");
  await eventually(() => records().length === 3 * letters.length);
  const messages = records().map(
    ({ value }) => JSON.parse(String(value)) as Message<string, { text: string }>,
  );
  return new Map(messages.map((message) => [`${message.subject} ${message.data.text}`, message]));
}

test("what is handled by a process that lost its newest writes has the same ids again", async () => {
  const letters = [letter("a", "1"), letter("b", "2")];
  const before = await answersOf(answering(), letters);
  // Its file is empty: that of the other process was never written.
  const after = await answersOf(answering(), letters.toReversed());
  expect(before.size).toBe(6);
  for (const [what, { id }] of before) expect([what, after.get(what)?.id]).toEqual([what, id]);
  expect(new Set([...before.values()].map(({ id }) => id)).size).toBe(6);
});

test("another service that handles the same message emits other ids", async () => {
  const one = letter("a", "1");
  const ids = [...(await answersOf(answering(), [one])).values()].map(({ id }) => id);
  const others = [...(await answersOf(answering("other"), [one])).values()].map(({ id }) => id);
  expect(new Set([...ids, ...others]).size).toBe(6);
});

test("what a timer emits is attributed to the timer", async () => {
  const answers = await answersOf(answering(), [letter("a", "1")]);
  const cause = answers.get("a timer")?.causationid;
  expect(cause).toMatch(/^[0-9a-f-]{36}$/);
  expect(answers.get("a timer")?.id).toBe(derivedId(String(cause), "reader", 0));
  expect(answers.get("a first")?.correlationid).toBe(String(answers.get("a timer")?.correlationid));
});

test("causes with one seed in one transaction share its positions; without a seed each id is a new UUIDv7", async () => {
  const service = answering();
  const emitted = await service.kit.unitOfWork.run((transaction) => {
    const cause = { correlationId: "c", causationId: "c" };
    const seeded = [1, 2].map(() => transaction.causedBy({ ...cause, idSeed: "s" }));
    const transactions = [...seeded, transaction.causedBy(cause), transaction];
    return transactions.map((each) => each.emit(Answer, { name: "a", text: "t" }));
  });
  expect(emitted.slice(0, 2)).toEqual([derivedId("s", "reader", 0), derivedId("s", "reader", 1)]);
  for (const id of emitted.slice(2)) expect(id[14]).toBe("7");
  expect(new Set(emitted).size).toBe(4);
});

test("an id is a UUIDv8 that begins with the time of its seed", () => {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const seed = "01890a5d-ac96-774b-bcce-b302099a8057";
  const child = derivedId(seed, "reader", 0);
  const grandchild = derivedId(child, "reader", 0);
  for (const id of [child, grandchild]) {
    expect(id).toMatch(uuid);
    expect(id.slice(0, 13)).toBe(seed.slice(0, 13));
  }
  const outputs = Array.from({ length: 5_000 }, (_, position) => derivedId(seed, "reader", position));
  expect(outputs.slice(0, 4_096).toSorted()).toEqual(outputs.slice(0, 4_096));
  expect(new Set(outputs).size).toBe(5_000);
  const ids = Array.from({ length: 1_000 }, (_, n) => derivedId(`no UUID ${n >> 1}`, "reader", n & 1));
  for (const id of ids) expect(id).toMatch(uuid);
  expect(new Set(ids).size).toBe(1_000);
  // The next version of the kit may handle a message of which this one has sent an output.
  expect(derivedId(seed, "reader", 3)).toBe("01890a5d-ac96-8003-8a34-9d68b3eb07b5");
  expect(derivedId("no UUID", "reader", 0)).toBe("22afde29-98e2-8000-82ca-5cdb954ab111");
});
