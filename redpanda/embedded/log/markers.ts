/**
 * Transaction markers: control batches of one record, by which the broker ends the transaction of a producer in a
 * partition.
 * Source: https://kafka.apache.org/documentation/#controlbatch; KIP-98.
 */
import { Writer } from "../wire/writer.ts";
import { AT, CONTROL, HEADER_SIZE, LENGTH_PREFIX, RecordBatch, TRANSACTIONAL } from "./batch.ts";
import { crc32c } from "./crc32c.ts";
import { recordsOf } from "./records.ts";

export type Outcome = "commit" | "abort";

export interface Marker {
  readonly producerId: number;
  readonly epoch: number;
  readonly outcome: Outcome;
}

/** The types of control records. Others exist, and are not written by this broker. */
const TYPE = { abort: 0, commit: 1 } as const;
const VERSION = 0;
/** The coordinator is never replaced by another one. */
export const COORDINATOR_EPOCH = 0;
const MAGIC = 2;
const NO_SEQUENCE = -1;

/** The control batch; its base offset is assigned when it is appended. */
export function markerBatch({ producerId, epoch, outcome }: Marker, now = Date.now()): RecordBatch {
  const body = new Writer()
    .int8(0) // attributes, unused
    .varint(0) // the timestamp and the offset, as differences from those of the batch
    .varint(0)
    .varint(4)
    .int16(VERSION)
    .int16(TYPE[outcome])
    .varint(6)
    .int16(VERSION)
    .int32(COORDINATOR_EPOCH)
    .varint(0) // no headers
    .finish();
  const record = new Writer().varint(body.length).raw(body).finish();
  const bytes = new Writer()
    .int64(0)
    .int32(HEADER_SIZE - LENGTH_PREFIX + record.length)
    .int32(0)
    .int8(MAGIC)
    .int32(0)
    .int16(TRANSACTIONAL | CONTROL)
    .int32(0) // one record: the last offset is the base offset
    .int64(now)
    .int64(now)
    .int64(producerId)
    .int16(epoch)
    .int32(NO_SEQUENCE)
    .int32(1)
    .raw(record)
    .finish();
  bytes.writeUInt32BE(crc32c(bytes, AT.attributes), AT.crc);
  return new RecordBatch(bytes);
}

/** What the marker in a control batch says; undefined for control batches without a marker. */
export function outcomeOf(batch: RecordBatch): Outcome | undefined {
  const key = recordsOf(batch)?.[0]?.key;
  const type = key && key.length >= 4 ? key.readInt16BE(2) : undefined;
  if (type === TYPE.commit) return "commit";
  return type === TYPE.abort ? "abort" : undefined;
}
