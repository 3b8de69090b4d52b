import { afterEach, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { define } from "../contract/define.ts";
import { encode, type Message, message } from "../contract/envelope.ts";
import { DomainError } from "../errors.ts";
import { eventually } from "../testing/eventually.ts";
import { letters, TestService } from "../testing/kit.ts";
import { on } from "./inbox.ts";

let service: TestService;
afterEach(() => service.stop());

const Old = Type.Object({ name: Type.String(), text: Type.String() });
const OldLetter = define({
  type: "test.note.v1",
  kind: "event",
  source: "reader",
  topic: letters,
  key: "name",
  data: Old,
});
const Note = define({
  type: "test.note.v2",
  kind: "event",
  source: "reader",
  topic: letters,
  key: "name",
  data: Type.Object({ name: Type.String(), words: Type.Array(Type.String()) }),
  upcasts: [
    {
      type: "test.note.v1",
      data: Old,
      lift: ({ name, text }) => {
        if (text === "") throw new Error("no words at all");
        return { name, words: text.split(" ") };
      },
    },
  ],
});

const seen: string[] = [];
let refuses = false;

function start(): void {
  seen.length = 0;
  service = new TestService(undefined, {
    definitions: [Note],
    handlers: [
      on(Note, ({ type, data: { words } }) => {
        if (refuses) throw new DomainError("not now");
        seen.push(`${type} ${words.join("+")}`);
      }),
    ],
  });
  service.kit.start();
}

function old(text: string): Message {
  const id = Bun.randomUUIDv7();
  const origin = { id, source: "reader", time: new Date().toISOString(), correlationid: id, causationid: id };
  return message(OldLetter, { name: "a", text }, origin);
}
const publish = (envelope: Message) => service.broker.publish([encode(OldLetter, envelope)]);
const letterIds = () => service.kit.deadLetterAdmin.list({ limit: 10 }).map(({ id }) => id);

test("a handler gets a message of an older version as one of the current version", async () => {
  start();
  await publish(old("one two"));
  await eventually(() => seen.length === 1);
  expect(seen).toEqual(["test.note.v2 one+two"]);
});

test("a dead letter of an older version is lifted when it is replayed", async () => {
  refuses = true;
  start();
  await publish(old("one two"));
  await eventually(() => letterIds().length === 1);
  refuses = false;
  const admin = service.kit.deadLetterAdmin;
  expect(admin.show(letterIds()[0] ?? 0).decoded).toMatchObject({ message: { type: "test.note.v2" } });
  expect(await admin.replay(letterIds(), "operator")).toMatchObject([{ outcome: "handled" }]);
  expect(seen).toEqual(["test.note.v2 one+two"]);
});

test("one that cannot be lifted is parked, and an edit to the current version lets it through", async () => {
  start();
  const broken = old("");
  await publish(broken);
  await eventually(() => letterIds().length === 1);
  const admin = service.kit.deadLetterAdmin;
  const [id = 0] = letterIds();
  expect(admin.show(id)).toMatchObject({
    reason: "schema",
    error: expect.stringContaining("no words at all"),
  });
  const edited = { ...broken, type: Note.type, data: { name: "a", words: ["edited"] } };
  await admin.edit(id, Buffer.from(JSON.stringify(edited)), "operator");
  await admin.replay([id], "operator");
  expect(seen).toEqual(["test.note.v2 edited"]);
});
