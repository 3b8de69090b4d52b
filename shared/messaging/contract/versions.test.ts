import { describe, expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { type Decoded, decode } from "./decode.ts";
import type { Topic } from "./define.ts";
import { byType, closed, define, type MessageDefinition } from "./define.ts";

const topic: Topic = { name: "parcels", key: "parcelId", partitions: 1, config: {} };
const base = { kind: "event", source: "parcels", topic, key: "parcelId" } as const;

const V1 = Type.Object({ parcelId: Type.String(), grams: Type.Integer() }, closed);
const V2 = Type.Object({ parcelId: Type.String(), kilograms: Type.Number() }, closed);
const V3 = Type.Object(
  { parcelId: Type.String(), kilograms: Type.Number({ maximum: 1_000 }), fragile: Type.Boolean() },
  closed,
);

/** A parcel whose weight was once in grams, and of which nobody used to say whether it is fragile. */
const ParcelSent = define({
  ...base,
  type: "test.parcel.sent.v3",
  data: V3,
  upcasts: [
    {
      type: "test.parcel.sent.v1",
      data: V1,
      lift: ({ parcelId, grams }) => {
        if (grams < 0) throw new RangeError(`${grams} grams cannot be`);
        // A field too many, which only the check of the next version sees.
        return { parcelId, kilograms: grams / 1000, ...(grams === 0 ? { empty: true } : {}) };
      },
    },
    { type: "test.parcel.sent.v2", data: V2, lift: (old) => ({ ...old, fragile: false }) },
  ],
});

function read(
  type: string,
  data: unknown,
  definitions: readonly MessageDefinition[] = [ParcelSent],
): Decoded {
  const envelope = {
    specversion: "1.0",
    id: "01890a5d-ac96-774b-bcce-b302099a8057",
    source: "parcels",
    type,
    subject: "P1",
    time: "2026-01-01T00:00:00Z",
    datacontenttype: "application/json",
    correlationid: "c",
    causationid: "c",
    extension: "kept",
    data,
  };
  return decode(byType(definitions), {
    topic: topic.name,
    key: envelope.subject,
    value: Buffer.from(JSON.stringify(envelope)),
    headers: {},
  });
}

const dataOf = (decoded: Decoded) => (decoded.status === "decoded" ? decoded.message.data : decoded);

describe("a message of an older version", () => {
  test("is lifted through every version after its own", () => {
    const expected = { parcelId: "P1", kilograms: 1.5, fragile: false };
    expect(dataOf(read("test.parcel.sent.v1", { parcelId: "P1", grams: 1500 }))).toEqual(expected);
    expect(dataOf(read("test.parcel.sent.v2", { parcelId: "P1", kilograms: 1.5 }))).toEqual(expected);
    expect(dataOf(read("test.parcel.sent.v3", expected))).toEqual(expected);
  });

  test("comes out as one of the current type, the rest of its envelope as it was", () => {
    const decoded = read("test.parcel.sent.v1", { parcelId: "P1", grams: 1 });
    expect(decoded).toMatchObject({
      status: "decoded",
      message: { type: "test.parcel.sent.v3", subject: "P1", extension: "kept" },
      definition: ParcelSent,
    });
  });

  test("is held to its own schema, not to the current one", () => {
    expect(read("test.parcel.sent.v1", { parcelId: "P1", kilograms: 1, fragile: true })).toMatchObject({
      status: "rejected",
      reason: "schema",
      detail: expect.stringContaining("/grams"),
    });
  });

  test("whose lifting throws is refused with what it threw", () => {
    expect(read("test.parcel.sent.v1", { parcelId: "P1", grams: -1 })).toEqual({
      status: "rejected",
      reason: "schema",
      detail: "test.parcel.sent.v1 could not be lifted to the next version: -1 grams cannot be",
    });
  });

  test("whose lifting makes something wrong is refused, at the version that finds it", () => {
    expect(read("test.parcel.sent.v1", { parcelId: "P1", grams: 0 })).toEqual({
      status: "rejected",
      reason: "schema",
      detail: "lifted from test.parcel.sent.v1 to test.parcel.sent.v2: /empty: is not a known field",
    });
    expect(read("test.parcel.sent.v2", { parcelId: "P1", kilograms: 1_001 })).toMatchObject({
      reason: "schema",
      detail: expect.stringMatching(
        /^lifted from test\.parcel\.sent\.v2 to test\.parcel\.sent\.v3: .kilograms/,
      ),
    });
  });

  test("cannot be given another key on the way", () => {
    const Renamed = define({
      ...base,
      type: "test.renamed.v2",
      data: V3,
      upcasts: [
        {
          type: "test.renamed.v1",
          data: V1,
          lift: () => ({ parcelId: "P2", kilograms: 1, fragile: false }),
        },
      ],
    });
    expect(read("test.renamed.v1", { parcelId: "P1", grams: 1 }, [Renamed])).toMatchObject({
      reason: "schema",
      detail: "subject P1 is not the key P2 of the data",
    });
  });

  test("of a version that nobody has yet is of unknown type", () => {
    expect(read("test.parcel.sent.v4", {})).toMatchObject({ status: "rejected", reason: "unknown-type" });
  });
});

describe("define", () => {
  test("refuses versions with a gap, out of order or of another name", () => {
    const v2 = { ...base, type: "test.gap.v2", data: V2 } as const;
    const lift = ({ parcelId }: { parcelId: string }) => ({ parcelId, kilograms: 1 });
    for (const type of ["test.gap.v0", "test.gap.v2", "test.gap.v3", "test.other.v1", "test.gap"]) {
      expect(() => define({ ...v2, upcasts: [{ type, data: V1, lift }] })).toThrow(TypeError);
    }
    expect(() => define({ ...v2, upcasts: [{ type: "test.gap.v1", data: V1, lift }] })).not.toThrow();
  });

  test("types each lift by its own version and the next one", () => {
    define({
      ...base,
      type: "test.typed.v2",
      data: V2,
      // @ts-expect-error: kilograms is missing
      upcasts: [{ type: "test.typed.v1", data: V1, lift: ({ parcelId }) => ({ parcelId }) }],
    });
    define({
      ...base,
      type: "test.typed.v2",
      data: V2,
      upcasts: [
        {
          type: "test.typed.v1",
          data: V1,
          // @ts-expect-error: version 1 has no kilograms
          lift: ({ parcelId, kilograms }) => ({ parcelId, kilograms: Number(kilograms) }),
        },
      ],
    });
  });
});

test("no two definitions may claim one name, be it an old one", () => {
  const Other = define({ ...base, type: "test.parcel.sent.v2", data: V2 });
  expect(() => byType([ParcelSent, Other])).toThrow("test.parcel.sent.v2 is defined twice");
  expect([...byType([ParcelSent, ParcelSent]).keys()].sort()).toEqual([
    "test.parcel.sent.v1",
    "test.parcel.sent.v2",
    "test.parcel.sent.v3",
  ]);
});
