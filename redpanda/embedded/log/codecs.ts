/**
 * Decompression of record batches. gzip and zstd are part of Bun and Node. Snappy and LZ4 are decoded here, so that the broker
 * needs no package: of those for JavaScript, snappyjs does not end with some damaged input, lz4js is unmaintained, and
 * the others are native code for each platform.
 * Source: https://kafka.apache.org/documentation/#recordbatch
 */
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import * as zlib from "node:zlib";

/** Bun has zstd, and Node from 22.15 on. */
export const hasZstd = "zstdDecompressSync" in zlib;

export const Codec = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;

/** The bound on the records of a batch, decompressed: as much as a request may contain. */
export const MAX_DECOMPRESSED_BYTES = 32 * 1024 * 1024;

/** Records up to this size are handled at once: a detour would cost more. */
export const SMALL_BYTES = 256 * 1024;

/** The number of records between two pauses of work on a large batch. */
export const STEP_RECORDS = 2_000;

/** Decoders written here pause after so many bytes, so that other work can run. */
const STEP_BYTES = 256 * 1024;

/** The data decompress to more than the limit. */
export class TooLarge extends Error {
  override readonly name = "TooLarge";

  constructor(limit: number) {
    super(`the records are larger than ${limit} bytes when decompressed`);
  }
}

/** @throws TooLarge; Error when the codec is unknown or the data are damaged. */
export function decompress(codec: number, data: Buffer, limit = MAX_DECOMPRESSED_BYTES): Buffer {
  const options = { maxOutputLength: limit };
  try {
    if (codec === Codec.gzip) return zlib.gunzipSync(data, options);
    if (codec === Codec.zstd) return zlib.zstdDecompressSync(data, options);
  } catch (error) {
    throw errorOf(error, limit);
  }
  const output = new Output(limit);
  const steps = decoder(codec, data, output);
  if (!steps) return data;
  while (!steps.next().done);
  return output.bytes;
}

/** As `decompress`; undefined when the data, compressed or not, have more than SMALL_BYTES. */
export function decompressSmall(codec: number, data: Buffer): Buffer | undefined {
  if (data.length > SMALL_BYTES) return undefined;
  try {
    return decompress(codec, data, SMALL_BYTES);
  } catch (error) {
    if (error instanceof TooLarge) return undefined;
    throw error;
  }
}

let large: Promise<unknown> = Promise.resolve();

/** Runs work on large batches one after the other, so that the records of only one are in memory. */
export function oneAfterTheOther<Result>(work: () => Promise<Result>): Promise<Result> {
  const done = large.then(work);
  large = done.catch(() => {});
  return done;
}

/** As `decompress`, for large data: not on the event loop, or with pauses for other work. */
export async function decompressLarge(codec: number, data: Buffer): Promise<Buffer> {
  const options = { maxOutputLength: MAX_DECOMPRESSED_BYTES };
  try {
    if (codec === Codec.gzip) return await promisify(zlib.gunzip)(data, options);
    if (codec === Codec.zstd) return await promisify(zlib.zstdDecompress)(data, options);
  } catch (error) {
    throw errorOf(error, MAX_DECOMPRESSED_BYTES);
  }
  const output = new Output(MAX_DECOMPRESSED_BYTES);
  const steps = decoder(codec, data, output);
  if (!steps) return data;
  while (!steps.next().done) await setImmediate();
  return output.bytes;
}

/** The steps of the codecs that are decoded here; undefined when there is nothing to decode. */
function decoder(codec: number, data: Buffer, output: Output): Generator<void> | undefined {
  if (codec === Codec.none) return undefined;
  if (codec === Codec.snappy) return snappy(data, output);
  if (codec === Codec.lz4) return lz4(data, output);
  throw new Error(`the compression codec ${codec} is unknown`);
}

function errorOf(error: unknown, limit: number): unknown {
  const isTooLarge = error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
  return isTooLarge ? new TooLarge(limit) : error;
}

/** The framing of snappy-java, which the Java client and librdkafka use: magic, two versions, blocks with their sizes. */
const XERIAL_MAGIC = Buffer.from("82534e4150505900", "hex");
const XERIAL_HEADER_BYTES = 16;

function* snappy(data: Buffer, output: Output): Generator<void> {
  if (!data.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) {
    yield* snappyBlock(data, output);
    return;
  }
  if (data.length < XERIAL_HEADER_BYTES) throw new Error("the snappy header is incomplete");
  for (let at = XERIAL_HEADER_BYTES; at < data.length; ) {
    const size = data.readUInt32BE(at);
    yield* snappyBlock(take(data, at + 4, size), output);
    at += 4 + size;
  }
}

/** https://github.com/google/snappy/blob/main/format_description.txt */
function* snappyBlock(data: Buffer, output: Output): Generator<void> {
  let at = 0;
  let size = 0;
  for (let shift = 0, byte = 0x80; byte > 0x7f; shift += 7) {
    byte = data.readUInt8(at++);
    size += (byte & 0x7f) * 2 ** shift;
  }
  const end = output.length + size;
  while (at < data.length) {
    if (output.isStepDone) yield;
    const tag = data.readUInt8(at++);
    const kind = tag & 0x03;
    if (kind === 0) {
      let length = (tag >> 2) + 1;
      const lengthBytes = Math.max(0, length - 60);
      if (lengthBytes > 0) length = data.readUIntLE(at, lengthBytes) + 1;
      at += lengthBytes;
      output.append(take(data, at, length));
      at += length;
    } else if (kind === 1) {
      output.repeat(((tag >> 5) << 8) | data.readUInt8(at++), ((tag >> 2) & 0x07) + 4);
    } else {
      const distanceBytes = kind === 2 ? 2 : 4;
      output.repeat(data.readUIntLE(at, distanceBytes), (tag >> 2) + 1);
      at += distanceBytes;
    }
  }
  if (output.length !== end) throw new Error("the snappy block has another size than it says");
}

const LZ4_MAGIC = 0x184d2204;
const Lz4Flag = { blockChecksums: 0x10, contentSize: 0x08, contentChecksum: 0x04 } as const;
/** Version 1, and blocks that do not depend on each other; with its mask, which has the reserved bits too. */
const LZ4_INDEPENDENT_BLOCKS = 0x60;
const LZ4_INDEPENDENT_MASK = 0xe3;
const LZ4_PLAIN_BLOCK = 0x8000_0000;

/**
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md, as far as Apache Kafka and its Java client read it: without
 * dependent blocks and dictionaries. The checksum of the batch makes those in it redundant.
 */
function* lz4(data: Buffer, output: Output): Generator<void> {
  for (let at = 0; at < data.length; ) {
    if (data.readUInt32LE(at) !== LZ4_MAGIC) throw new Error("not an LZ4 frame");
    const flags = data.readUInt8(at + 4);
    if ((flags & LZ4_INDEPENDENT_MASK) !== LZ4_INDEPENDENT_BLOCKS) {
      throw new Error("the LZ4 frame is not of version 1 with independent blocks and no dictionary");
    }
    const limit = largestBlock(data.readUInt8(at + 5));
    at += (flags & Lz4Flag.contentSize) === 0 ? 7 : 15;
    for (;;) {
      const header = data.readUInt32LE(at);
      at += 4;
      if (header === 0) break;
      const size = header % LZ4_PLAIN_BLOCK;
      if (size > limit) throw new Error(`a block of LZ4 is larger than ${limit} bytes`);
      const block = take(data, at, size);
      const end = output.length + limit;
      if (header >= LZ4_PLAIN_BLOCK) output.append(block);
      else yield* lz4Block(block, output);
      if (output.length > end) throw new Error(`a block of LZ4 has more than ${limit} bytes`);
      at += (flags & Lz4Flag.blockChecksums) === 0 ? size : size + 4;
    }
    if ((flags & Lz4Flag.contentChecksum) !== 0) at += 4;
  }
}

/** The byte of the frame that has only the block size: 4 to 7, for 64 KiB to 4 MiB. */
function largestBlock(descriptor: number): number {
  const size = descriptor >> 4;
  if ((descriptor & 0x0f) !== 0 || size < 4 || size > 7) throw new Error("the LZ4 frame has no block size");
  return 2 ** (8 + 2 * size);
}

const LZ4_MIN_MATCH = 4;

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function* lz4Block(block: Buffer, output: Output): Generator<void> {
  let at = 0;
  /** A length of 15 in four bits continues in bytes, up to one that is not 255. */
  const complete = (length: number): number => {
    let sum = length;
    for (let byte = length === 15 ? 255 : 0; byte === 255; sum += byte) byte = block.readUInt8(at++);
    return sum;
  };
  while (at < block.length) {
    if (output.isStepDone) yield;
    const token = block.readUInt8(at++);
    const literals = complete(token >> 4);
    output.append(take(block, at, literals));
    at += literals;
    if (at === block.length) return;
    const distance = block.readUInt16LE(at);
    at += 2;
    output.repeat(distance, LZ4_MIN_MATCH + complete(token & 0x0f));
  }
}

function take(data: Buffer, at: number, length: number): Buffer {
  if (length > data.length - at) throw new Error("the compressed data are incomplete");
  return data.subarray(at, at + length);
}

/** Up to this length a loop is faster than `copyWithin`. */
const SHORT_COPY = 64;

/** Bytes that grow up to the limit, and can repeat what they have. */
class Output {
  length = 0;
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #stepEnd = STEP_BYTES;

  constructor(private readonly limit: number) {}

  /** Whether it is time for a pause. */
  get isStepDone(): boolean {
    if (this.length < this.#stepEnd) return false;
    this.#stepEnd = this.length + STEP_BYTES;
    return true;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  append(bytes: Buffer): void {
    this.#reserve(bytes.length);
    bytes.copy(this.#buffer, this.length);
    this.length += bytes.length;
  }

  /** Appends `count` bytes from `distance` before the end; they may overlap with what is appended. */
  repeat(distance: number, count: number): void {
    if (distance === 0 || distance > this.length)
      throw new Error("a repetition of bytes before the beginning");
    this.#reserve(count);
    const from = this.length - distance;
    if (count <= SHORT_COPY) {
      for (let index = 0; index < count; index++) {
        this.#buffer[this.length + index] = this.#buffer[from + index] ?? 0;
      }
      this.length += count;
      return;
    }
    // What was copied is a part of the pattern, so the copies grow.
    for (let copied = 0; copied < count; ) {
      const size = Math.min(distance + copied, count - copied);
      this.#buffer.copyWithin(this.length + copied, from, from + size);
      copied += size;
    }
    this.length += count;
  }

  #reserve(count: number): void {
    const needed = this.length + count;
    if (needed > this.limit) throw new TooLarge(this.limit);
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.length);
    this.#buffer = larger;
  }
}
