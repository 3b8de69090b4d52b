import { afterEach, beforeEach, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { closed, define, type MessageDefinition } from "../contract/define.ts";
import { encode, message } from "../contract/envelope.ts";
import { openDatabase, type ServiceDatabase } from "../database.ts";
import { systemRuntime } from "../runtime.ts";
import { eventually } from "../testing/eventually.ts";
import { Letter, letters, parked, TestService } from "../testing/kit.ts";
import { MemoryBroker } from "../transport/memory.ts";
import { type Handler, on } from "./inbox.ts";

/* Two versions of a service: the older one handles letters, the newer one a second version of them, and postcards. */

const base = { kind: "event", source: "reader", topic: letters, key: "name" } as const;
const Dated = define({
  ...base,
  type: "test.letter.v2",
  data: Type.Object({ name: Type.String(), text: Type.String(), day: Type.Integer() }, closed),
  upcasts: [{ type: Letter.type, data: Letter.data, lift: (old) => ({ ...old, day: 0 }) }],
});
const Postcard = define({
  ...base,
  type: "test.postcard.v1",
  data: Type.Object({ name: Type.String(), text: Type.String() }, closed),
});

const applied: string[] = [];
const older: readonly Handler[] = [on(Letter, ({ data }) => void applied.push(`${data.name}:${data.text}`))];
const newer: readonly Handler[] = [
  on(Dated, ({ data }) => void applied.push(`${data.name}:${data.text}/${data.day}`)),
  on(Postcard, ({ data }) => void applied.push(`${data.name}:${data.text}`)),
];

let database: ServiceDatabase;
let broker: MemoryBroker;
let service: TestService;

beforeEach(() => {
  applied.length = 0;
  database = openDatabase(":memory:");
  broker = new MemoryBroker([letters, parked], systemRuntime);
});
afterEach(async () => {
  await service.stop();
  database.close();
});

/** Starts a version of the service on what the one before it has left. */
function start(handlers: readonly Handler[]): void {
  const definitions = handlers.map(({ definition }) => definition);
  service = new TestService(undefined, { database, definitions, handlers, transport: broker });
  service.kit.start();
}
async function replaceBy(handlers: readonly Handler[]): Promise<void> {
  await service.kit.stop();
  start(handlers);
}

function publish(
  definition: MessageDefinition,
  name: string,
  text: string,
  source = "reader",
): Promise<void> {
  const id = Bun.randomUUIDv7();
  const origin = { id, source, time: new Date().toISOString(), correlationid: id, causationid: id };
  const data = definition === Dated ? { name, text, day: 7 } : { name, text };
  return broker.publish([encode(definition, message(definition, data, origin))]);
}
const admin = () => service.kit.deadLetterAdmin;
const kept = () => admin().list({ limit: 100 });
const reasons = () => kept().map(({ key, reason }) => `${key} ${reason}`);

test("messages of a newer version wait with what follows them, and its start releases them in the order of their key", async () => {
  start(newer);
  await publish(Dated, "a", "first");
  await eventually(() => applied.length === 1);
  await replaceBy(older);
  await publish(Letter, "a", "second");
  await publish(Dated, "a", "third");
  await publish(Letter, "a", "fourth");
  await publish(Postcard, "b", "one");
  await publish(Letter, "b", "two");
  await publish(Letter, "c", "another key");
  await eventually(() => kept().length === 4 && applied.length === 3);
  expect(applied).toEqual(["a:first/7", "a:second", "c:another key"]);
  expect(reasons().toSorted()).toEqual(["a blocked", "a newer-version", "b blocked", "b newer-version"]);
  expect(kept()[0]?.error).toEndWith("is for a newer version of this service, whose start releases it");

  // The older version again, and a replay there, change nothing.
  await replaceBy(older);
  const waiting = kept().find(({ reason }) => reason === "newer-version");
  expect(await admin().replay([waiting?.id ?? 0], "operator")).toMatchObject([{ outcome: "failed" }]);
  expect(reasons().toSorted()).toEqual(["a blocked", "a newer-version", "b blocked", "b newer-version"]);
  expect(applied).toHaveLength(3);

  await replaceBy(newer);
  await publish(Dated, "a", "fifth");
  await eventually(() => kept().length === 0 && applied.length === 8);
  const ofKey = (key: string) => applied.filter((text) => text.startsWith(`${key}:`));
  expect(ofKey("a")).toEqual(["a:first/7", "a:second", "a:third/7", "a:fourth/0", "a:fifth/7"]);
  expect(ofKey("b")).toEqual(["b:one", "b:two/0"]);
});

test("a later version of a type that is handled waits also where no newer version ran", async () => {
  start(older);
  await publish(Dated, "a", "first");
  await publish(Letter, "a", "second");
  await eventually(() => kept().length === 2);
  expect(reasons()).toEqual(["a newer-version", "a blocked"]);
  await replaceBy(newer);
  await eventually(() => applied.length === 2);
  expect(applied).toEqual(["a:first/7", "a:second/0"]);
});

test("what a newer version left in the outbox is sent as it is", async () => {
  const definitions = newer.map(({ definition }) => definition);
  service = new TestService(undefined, { database, definitions, handlers: newer, transport: broker });
  await service.kit.unitOfWork.run((transaction) => {
    transaction.emit(Dated, { name: "a", text: "first", day: 7 });
  });
  await replaceBy(older);
  await eventually(() => kept().length === 1);
  expect(reasons()).toEqual(["a newer-version"]);
  await replaceBy(newer);
  await eventually(() => applied.length === 1 && kept().length === 0);
  expect(applied).toEqual(["a:first/7"]);
});

test("what no version has handled, or what its sender may not send, waits for nobody and blocks nothing", async () => {
  start(older);
  await publish(Postcard, "a", "of nobody");
  await publish(Dated, "b", "forged", "mallory");
  await publish(Letter, "a", "first");
  await publish(Letter, "b", "second");
  await eventually(() => applied.length === 2 && kept().length === 2);
  expect(reasons().toSorted()).toEqual(["a unknown-type", "b unknown-type"]);
});

test("an operator may discard what waits for a newer version: what it blocked follows", async () => {
  start(older);
  await publish(Dated, "a", "first");
  await publish(Letter, "a", "second");
  await eventually(() => kept().length === 2);
  await admin().discard(kept()[0]?.id ?? 0, "there will be no newer version", "operator");
  await eventually(() => applied.length === 1);
  expect(applied).toEqual(["a:second"]);
});

test("more messages than are looked at together are released", async () => {
  start(older);
  const names = Array.from({ length: 250 }, (_, index) => `key ${index}`);
  await Promise.all(names.map((name) => publish(Dated, name, "late")));
  await eventually(() => kept().length === 100 && service.kit.deadLetters.count() === 250);
  await replaceBy(newer);
  await eventually(() => applied.length === 250 && service.kit.deadLetters.count() === 0);
  expect(new Set(applied).size).toBe(250);
});
