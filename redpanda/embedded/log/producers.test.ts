import { expect, test } from "bun:test";
import { ErrorCode } from "../errors.ts";
import { batchOf } from "../testing/batches.ts";
import type { RecordBatch } from "./batch.ts";
import { markerBatch } from "./markers.ts";
import { ProducerStates } from "./producers.ts";

const EVERYTHING = Number.POSITIVE_INFINITY;

function batch(sequence: number, { records = 1, epoch = 0, offset = sequence } = {}): RecordBatch {
  const made = batchOf(Array<string>(records).fill("x"), { producerId: 7, epoch, sequence });
  made.assign(offset);
  return made;
}

function remembering(...batches: RecordBatch[]): ProducerStates {
  const states = new ProducerStates();
  for (const each of batches) states.record(each, EVERYTHING);
  return states;
}

test("a resend of one of the last five batches is identified with its offset", () => {
  const batches = [0, 2, 4, 6, 8, 10].map((sequence) =>
    batch(sequence, { records: 2, offset: 100 + sequence }),
  );
  const states = remembering(...batches);
  expect(batches.slice(1).map((each) => states.findDuplicate(each))).toEqual([102, 104, 106, 108, 110]);
});

test("a resend of an older batch is out of order", () => {
  const states = remembering(...[0, 1, 2, 3, 4, 5].map((sequence) => batch(sequence)));
  expect(() => states.findDuplicate(batch(0))).toThrow(code(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER));
});

test("the next sequence is accepted, a gap is refused", () => {
  const states = remembering(batch(0, { records: 3 }));
  expect(states.findDuplicate(batch(3))).toBeUndefined();
  expect(() => states.findDuplicate(batch(4))).toThrow(code(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER));
  expect(() => states.findDuplicate(batch(0, { records: 2 }))).toThrow(
    code(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
  );
});

test("sequences wrap to 0 after 2^31 - 1, also within a batch", () => {
  const last = batch(2 ** 31 - 2, { records: 3, offset: 50 });
  const states = remembering(last);
  expect(states.findDuplicate(last)).toBe(50);
  expect(states.findDuplicate(batch(1))).toBeUndefined();
});

test("a later epoch starts at sequence 0, an earlier epoch is fenced", () => {
  const states = remembering(batch(0, { epoch: 1 }));
  expect(states.findDuplicate(batch(0, { epoch: 2 }))).toBeUndefined();
  expect(() => states.findDuplicate(batch(1, { epoch: 2 }))).toThrow(
    code(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
  );
  expect(() => states.findDuplicate(batch(1, { epoch: 0 }))).toThrow(code(ErrorCode.INVALID_PRODUCER_EPOCH));
});

test("an unknown producer may start at any sequence", () => {
  expect(new ProducerStates().findDuplicate(batch(41))).toBeUndefined();
});

test("a producer of which only a marker is left goes on with its sequence; earlier epochs stay fenced", () => {
  const states = remembering(markerBatch({ producerId: 7, epoch: 1, outcome: "commit" }));
  // As a clean stop stores it.
  const again = new ProducerStates(JSON.parse(JSON.stringify(states.summary)));
  for (const known of [states, again]) {
    expect(known.findDuplicate(batch(17, { epoch: 1 }))).toBeUndefined();
    expect(() => known.findDuplicate(batch(17, { epoch: 0 }))).toThrow(
      code(ErrorCode.INVALID_PRODUCER_EPOCH),
    );
  }
});

test("after the marker of a later epoch, that epoch starts at sequence 0", () => {
  const states = remembering(batch(0), markerBatch({ producerId: 7, epoch: 1, outcome: "abort" }));
  expect(() => states.findDuplicate(batch(1, { epoch: 1 }))).toThrow(
    code(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
  );
  expect(states.findDuplicate(batch(0, { epoch: 1 }))).toBeUndefined();
});

test("an undone batch is not a duplicate; earlier batches are still known", () => {
  const states = new ProducerStates();
  for (let sequence = 0; sequence < 20; sequence++) states.record(batch(sequence), Math.min(sequence, 5));
  states.undoFrom(5);
  expect(states.findDuplicate(batch(4))).toBe(4);
  expect(states.findDuplicate(batch(5))).toBeUndefined();
});

test("a batch after an undone one is refused until the undone one is sent again", () => {
  const states = new ProducerStates();
  for (const sequence of [0, 1]) states.record(batch(sequence), 0);
  states.undoFrom(0);
  expect(() => states.findDuplicate(batch(2))).toThrow(code(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER));
  expect(states.findDuplicate(batch(0))).toBeUndefined();
});

test("a producer without a write for a day expires", () => {
  const states = new ProducerStates();
  states.record(batch(0), EVERYTHING, 1_000);
  states.expire(1_000 + 24 * 60 * 60 * 1000 + 1);
  expect(states.findDuplicate(batch(41))).toBeUndefined();
});

test("a producer with an open transaction does not expire", () => {
  const states = new ProducerStates();
  const first = batchOf(["x"], { producerId: 7, epoch: 3, sequence: 0, transactional: true });
  states.record(first, EVERYTHING, 1_000);
  states.expire(1_000 + 24 * 60 * 60 * 1000 + 1);
  expect(() => states.findDuplicate(batch(41, { epoch: 2 }))).toThrow(code(ErrorCode.INVALID_PRODUCER_EPOCH));
});

function code(expected: ErrorCode) {
  return expect.objectContaining({ code: expected });
}
