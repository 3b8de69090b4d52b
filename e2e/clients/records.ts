import { type ClientRecord, type Codec, codecs, decoded, type StoredRecord } from "./client.ts";

/** What a client cannot send: then the records that it writes are without. */
export interface WriterLimits {
  /** Nor null and empty keys and values. */
  readonly headers?: false;
  readonly timestamps?: false;
}

/** So long ago that no client confuses it with the time at which it sends. */
const FIRST_TIMESTAMP = Date.UTC(2020, 0, 1);
const LARGE = "A value that is longer than a block of snappy. ".repeat(1_000);

export const acksLevels = ["all", "1", "0", "idempotent"] as const;
type AcksLevel = (typeof acksLevels)[number];

const base64 = (text: string | null) => (text === null ? null : Buffer.from(text).toString("base64"));

/** The records that every client sends in each codec with each level of acks. */
export function recordsFor(
  codec: Codec,
  acks: AcksLevel,
  { headers, timestamps }: WriterLimits,
): ClientRecord[] {
  const text = `${codec}, acks=${acks}`;
  const plain = [
    ["key", text],
    ["ключ", "значение, 値"],
    ["large", LARGE],
  ] as const;
  const strange = [
    [null, text],
    ["tombstone", null],
    ["", ""],
  ] as const;
  const all = headers === false ? plain : [...plain, ...strange];
  const kinds: [string, string][] = [
    ["trace", "first"],
    ["trace", "second"],
    ["codec", codec],
  ];
  return all.map(([key, value], index) => ({
    key: base64(key),
    value: base64(value),
    headers: headers === false || index % 2 === 1 ? [] : kinds,
    timestamp: timestamps === false ? -1 : FIRST_TIMESTAMP + index,
  }));
}

/** Records for lookups by time, one each 10 ms, in batches as large as the client makes them. */
export function timedRecords(codec: Codec): ClientRecord[] {
  return Array.from({ length: 100 }, (_, index) => ({
    key: null,
    value: base64(`${codec} ${index}`),
    headers: [],
    timestamp: FIRST_TIMESTAMP + 10 * index,
  }));
}

/** Times, and the offset of the first record that is as late; -1: there is none. */
export const timeLookups: readonly (readonly [timestamp: number, offset: number])[] = [
  [FIRST_TIMESTAMP - 1, 0],
  [FIRST_TIMESTAMP, 0],
  [FIRST_TIMESTAMP + 500, 50],
  [FIRST_TIMESTAMP + 501, 51],
  [FIRST_TIMESTAMP + 990, 99],
  [FIRST_TIMESTAMP + 991, -1],
];

export function plainRecords(...values: string[]): ClientRecord[] {
  return values.map((value, index) => ({
    key: base64(`key ${index}`),
    value: base64(value),
    headers: [],
    timestamp: FIRST_TIMESTAMP + index,
  }));
}

/** A record of so many bytes, which no codec makes smaller. */
export function randomRecord(bytes: number): ClientRecord {
  const value = Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("base64");
  return { key: null, value, headers: [], timestamp: FIRST_TIMESTAMP };
}

/**
 * Compares what was read from a topic with a partition for each codec with what its writer has sent.
 *
 * @returns the first difference, or the number of records in each codec
 */
export function difference(read: readonly StoredRecord[], limits: WriterLimits): Record<string, string> {
  return Object.fromEntries(
    codecs.map((codec) => {
      const expected = acksLevels.flatMap((acks) => recordsFor(codec, acks, limits));
      const found = read.filter(({ partition }) => partition === codecs.indexOf(codec));
      if (found.length !== expected.length) return [codec, `${found.length} of ${expected.length} records`];
      const wrong = expected.findIndex(
        (record, offset) => described(record) !== described(found[offset], limits, offset),
      );
      const [one, other] = [expected[wrong], found[wrong]];
      if (one === undefined || other === undefined) return [codec, `${found.length} records`];
      return [codec, `offset ${wrong}: ${described(other, limits, wrong)} in place of ${described(one)}`];
    }),
  );
}

/** @param offset the offset that it must have */
function described(
  record: (ClientRecord & { readonly offset?: number }) | undefined,
  { timestamps }: WriterLimits = {},
  offset?: number,
): string {
  if (record === undefined) return "nothing";
  const { key, value, headers } = record;
  const short = (text: string | null) => (text === null ? null : decoded(text).slice(0, 60));
  const timestamp = timestamps === false ? -1 : record.timestamp;
  const content = { key: short(key), value: short(value), length: value?.length, headers, timestamp };
  return JSON.stringify(record.offset === offset ? content : { ...content, offset: record.offset });
}
