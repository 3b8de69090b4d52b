import { describe, expect, test } from "bun:test";
import { type TSchema, Type } from "@sinclair/typebox";
import { closed, define, type MessageDefinition, type Topic } from "./define.ts";
import { contractProblems, contractRecords, ENVELOPE } from "./records.ts";

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
  const location = { folder: "schemas", command: "bun run record" };
  const problemsOf = (...definitions: MessageDefinition[]) =>
    contractProblems(definitions, recorded, location);

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
      'test.other.v1 has no record: run "bun run record" and commit',
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
    expect(problem).toContain(`test.parcel.sent.v1 differs from its record schemas/`);
    expect(problem).toContain(` at ${where}.`);
    expect(problem).toContain("Define test.parcel.sent.v2 with the changed schema");
  });

  test("refuses another topic for an existing version", () => {
    expect(problemsOf(parcelSent(V1, { ...topic, name: "letters" }))[0]).toContain("at /x-topic");
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
    expect(problemsOf(Sent)).toEqual(['test.parcel.sent.v2 has no record: run "bun run record" and commit']);
    expect(contractProblems([Sent], new Map([...contractRecords([Sent]), ...recorded]), location)).toEqual(
      [],
    );
  });

  test("notices a version that is gone", () => {
    expect(problemsOf()[0]).toContain(
      "test.parcel.sent.v1 is recorded in schemas/test.parcel.sent.v1.json and not defined",
    );
  });

  test("notices a change of the envelope", () => {
    const records = new Map(recorded).set(ENVELOPE, { ...recorded.get(ENVELOPE), required: ["id"] });
    expect(contractProblems([parcelSent(V1)], records, location)[0]).toContain(
      "the envelope differs from its record",
    );
  });
});
