import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { closed, type Topic } from "@distributed-messaging/messaging";
import { define, type MessageDefinition } from "@distributed-messaging/messaging/contract/define";
import {
  type ContractRecord,
  contractProblems,
  contractRecords,
  ENVELOPE,
} from "@distributed-messaging/messaging/records";
import { type TSchema, Type } from "@sinclair/typebox";
import { allMessages } from "./messages.ts";
import { topics } from "./topics.ts";

const folder = join(import.meta.dir, "schemas");

function recordedContracts(): Map<string, ContractRecord> {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  return new Map(
    files.map((file) => [
      basename(file, ".json"),
      JSON.parse(readFileSync(join(folder, file), "utf8")) as ContractRecord,
    ]),
  );
}

test("every contract of the store is as it was recorded", () => {
  const problems = contractProblems(allMessages, recordedContracts());
  if (problems.length > 0) throw new Error(problems.map((problem) => `\n- ${problem}`).join("\n"));
});

describe("contractProblems", () => {
  const topic: Topic = { name: "parcels", key: "parcelId", partitions: 1, config: {} };
  const parcelId = Type.String();
  const V1 = Type.Object({ parcelId, grams: Type.Integer() }, closed);
  const V2 = Type.Object({ parcelId, grams: Type.Integer(), fragile: Type.Boolean() }, closed);

  const parcelSent = (data: TSchema, on = topic): MessageDefinition =>
    define({
      type: "test.parcel.sent.v1",
      kind: "event",
      source: "parcels",
      topic: on,
      key: "parcelId" as never,
      data,
    });
  const recorded = contractRecords([parcelSent(V1)]);
  const problemsOf = (...definitions: MessageDefinition[]) => contractProblems(definitions, recorded);

  test("finds none where nothing changed", () => {
    expect(problemsOf(parcelSent(V1))).toEqual([]);
  });

  test("asks for a record of what is new", () => {
    const Other = define({
      type: "test.other.v1",
      kind: "event",
      source: "parcels",
      topic,
      key: "parcelId",
      data: V1,
    });
    expect(problemsOf(parcelSent(V1), Other)).toEqual([
      'test.other.v1 has no record: run "bun run record-contracts" and commit',
    ]);
  });

  test.each([
    ["a new field", V2, "/required/2"],
    [
      "a new optional field",
      Type.Object({ ...V1.properties, note: Type.Optional(Type.String()) }, closed),
      "/properties/note",
    ],
    ["a field less", Type.Object({ parcelId }, closed), "/required/1"],
    ["a wider range", Type.Object({ parcelId, grams: Type.Number() }, closed), "/properties/grams/type"],
    [
      "a narrower range",
      Type.Object({ parcelId, grams: Type.Integer({ minimum: 1 }) }, closed),
      "/properties/grams/minimum",
    ],
    ["an open object", Type.Object({ parcelId, grams: Type.Integer() }), "/additionalProperties"],
  ])("refuses %s in an existing version, and says what to do", (_what, data, where) => {
    const [problem = "", ...others] = problemsOf(parcelSent(data));
    expect(others).toEqual([]);
    expect(problem).toContain(`test.parcel.sent.v1 differs from its record shared/contracts/schemas/`);
    expect(problem).toContain(` at ${where}.`);
    expect(problem).toContain("Define test.parcel.sent.v2 with the changed schema");
  });

  test("refuses another topic for an existing version", () => {
    expect(problemsOf(parcelSent(V1, topics.orderEvents))[0]).toContain("at /x-topic");
  });

  test("accepts a new version that keeps the old one, once it is recorded", () => {
    const Sent = define({
      type: "test.parcel.sent.v2",
      kind: "event",
      source: "parcels",
      topic,
      key: "parcelId",
      data: V2,
      upcasts: [{ type: "test.parcel.sent.v1", data: V1, lift: (old) => ({ ...old, fragile: false }) }],
    });
    expect(problemsOf(Sent)).toEqual([
      'test.parcel.sent.v2 has no record: run "bun run record-contracts" and commit',
    ]);
    expect(contractProblems([Sent], new Map([...contractRecords([Sent]), ...recorded]))).toEqual([]);
  });

  test("notices a version that is gone", () => {
    expect(problemsOf()[0]).toContain(
      "test.parcel.sent.v1 is recorded in shared/contracts/schemas/test.parcel.sent.v1.json and defined nowhere",
    );
  });

  test("notices a change of the envelope", () => {
    const records = new Map(recorded).set(ENVELOPE, { ...recorded.get(ENVELOPE), required: ["id"] });
    expect(contractProblems([parcelSent(V1)], records)[0]).toContain("the envelope differs from its record");
  });
});
