/**
 * The base offsets of the batches of a compacted segment, in a file beside it. The checksum of a batch does not cover its
 * base offset, and in a log with gaps it does not follow from the batch before: without this file a base offset that is
 * changed within a gap is not noticed.
 *
 * The file has the CRC-32C of what follows, the size of the segment, and for each batch its position, its checksum and its
 * base offset. It is written when the segment is in its place, and removed before another one takes the place: with a
 * missing, damaged or outdated file the segment is verified without it.
 */
import { type Logger, messageOf } from "../logger.ts";
import type { Disk } from "../storage/disk.ts";
import { readInt64, writeInt64 } from "../wire/int64.ts";
import type { RecordBatch } from "./batch.ts";
import { crc32c } from "./crc32c.ts";

const CHECKSUM_BYTES = 4;
const NUMBER_BYTES = 8;

/** For the batches of one segment, in order of position. */
export class BaseOffsets {
  /** A position, a checksum and a base offset, the next position and so on. */
  readonly #numbers: number[] = [];

  add(position: number, { checksum, baseOffset }: Pick<RecordBatch, "checksum" | "baseOffset">): void {
    this.#numbers.push(position, checksum, baseOffset);
  }

  /** Whether the batch is the one at this position, with another base offset than it had. */
  refutes(position: number, { checksum, baseOffset }: Pick<RecordBatch, "checksum" | "baseOffset">): boolean {
    let low = 0;
    let high = this.#numbers.length / 3;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[middle * 3] ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    const [knownPosition, knownChecksum, knownBase] = this.#numbers.slice(low * 3, low * 3 + 3);
    return position === knownPosition && checksum === knownChecksum && baseOffset !== knownBase;
  }

  encode(segmentSize: number): Buffer {
    const bytes = Buffer.alloc(CHECKSUM_BYTES + NUMBER_BYTES * (1 + this.#numbers.length));
    for (const [index, number] of [segmentSize, ...this.#numbers].entries()) {
      writeInt64(bytes, number, CHECKSUM_BYTES + index * NUMBER_BYTES);
    }
    bytes.writeUInt32BE(crc32c(bytes.subarray(CHECKSUM_BYTES)), 0);
    return bytes;
  }

  /** Undefined when the bytes are damaged, or those of a segment of another size. */
  static decode(bytes: Buffer, segmentSize: number): BaseOffsets | undefined {
    const isWhole = bytes.length >= CHECKSUM_BYTES + NUMBER_BYTES;
    if (!isWhole || crc32c(bytes.subarray(CHECKSUM_BYTES)) !== bytes.readUInt32BE(0)) return undefined;
    if (readInt64(bytes, CHECKSUM_BYTES) !== segmentSize) return undefined;
    const decoded = new BaseOffsets();
    for (let at = CHECKSUM_BYTES + NUMBER_BYTES; at < bytes.length; at += NUMBER_BYTES) {
      decoded.#numbers.push(readInt64(bytes, at));
    }
    return decoded;
  }
}

/** @param segmentPath of the segment */
export function baseOffsetsPath(segmentPath: string): string {
  return segmentPath.replace(/\.log$/, ".offsets");
}

/** Durable when it resolves. A failure leaves no file, which is safe, and is logged. */
export async function writeBaseOffsets(
  disk: Disk,
  segmentPath: string,
  bytes: Buffer,
  logger: Logger,
): Promise<void> {
  const path = baseOffsetsPath(segmentPath);
  try {
    await disk.writeWhole(path, bytes);
  } catch (error) {
    logger.warn("the base offsets of a segment cannot be stored", { path, error: messageOf(error) });
    await disk.remove(path);
  }
}

/** Undefined when there is no usable file. */
export async function readBaseOffsets(
  disk: Disk,
  segmentPath: string,
  segmentSize: number,
  logger: Logger,
): Promise<BaseOffsets | undefined> {
  const path = baseOffsetsPath(segmentPath);
  const bytes = await disk.readWhole(path);
  const decoded = bytes && BaseOffsets.decode(bytes, segmentSize);
  if (bytes && !decoded) logger.warn("the base offsets of a segment are damaged, and not used", { path });
  return decoded;
}
