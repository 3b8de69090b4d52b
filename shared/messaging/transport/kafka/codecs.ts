import { gunzipSync, zstdDecompressSync } from "node:zlib";

/*
 * The compression codecs of record batches (https://kafka.apache.org/documentation/#recordbatch). gzip and zstd are
 * part of Bun. Snappy and LZ4 are decoded here, in forty lines each: of their packages, snappyjs does not end with some
 * damaged input, lz4js is unmaintained, and the others are native code for each platform.
 */

/** A batch that decompresses to more is not decoded: a few kilobytes could exhaust the memory otherwise. */
export const MAX_DECOMPRESSED_BYTES = 128 * 1024 * 1024;

/**
 * The records of a batch, decompressed.
 *
 * @param codec as in the attributes of the batch: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
 * @throws when the codec is unknown or the data are damaged
 */
export function decompress(codec: number, data: Buffer): Buffer {
  const limit = { maxOutputLength: MAX_DECOMPRESSED_BYTES };
  switch (codec) {
    case 0:
      return data;
    case 1:
      return gunzipSync(data, { ...limit, chunkSize: gzipChunkOf(data) });
    case 2:
      return snappy(data);
    case 3:
      return lz4(data);
    case 4:
      return zstdDecompressSync(data, limit);
    default:
      throw new Error(`the compression codec ${codec} is unknown`);
  }
}

/** How much is decompressed at a time: all of it, by what gzip data end with (RFC 1952, ISIZE), unless that is much. */
function gzipChunkOf(data: Buffer): number {
  const size = data.length < 4 ? 0 : data.readUInt32LE(data.length - 4);
  return Math.max(1_024, Math.min(size, MAX_GZIP_CHUNK));
}

const MAX_GZIP_CHUNK = 1_024 * 1_024;

/** The framing of snappy-java, which the Java client and librdkafka use; other clients send plain snappy. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER_BYTES = 16;

function snappy(data: Buffer): Buffer {
  if (!data.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC))
    return unsnap(data, MAX_DECOMPRESSED_BYTES);
  const blocks: Buffer[] = [];
  let left = MAX_DECOMPRESSED_BYTES;
  for (let at = XERIAL_HEADER_BYTES; at < data.length; ) {
    const end = at + 4 + data.readUInt32BE(at);
    if (end > data.length) throw new Error("a snappy block is incomplete");
    const block = unsnap(data.subarray(at + 4, end), left);
    left -= block.length;
    blocks.push(block);
    at = end;
  }
  return Buffer.concat(blocks);
}

/** https://github.com/google/snappy/blob/main/format_description.txt */
function unsnap(data: Buffer, limit: number): Buffer {
  const output = new Output(limit);
  let at = 0;
  let claimed = 0;
  for (let shift = 0, byte = 0x80; byte > 0x7f; shift += 7) {
    byte = data.readUInt8(at++);
    claimed += (byte & 0x7f) * 2 ** shift;
  }
  while (at < data.length) {
    const tag = data.readUInt8(at++);
    const kind = tag & 0x03;
    let length = (tag >> 2) + 1;
    if (kind === 0) {
      if (length > 60) {
        const bytes = length - 60;
        length = data.readUIntLE(at, bytes) + 1;
        at += bytes;
      }
      if (at + length > data.length) throw new Error("a snappy literal is incomplete");
      output.append(data.subarray(at, at + length));
      at += length;
    } else if (kind === 1) {
      output.repeat(((tag >> 5) << 8) | data.readUInt8(at++), ((tag >> 2) & 0x07) + 4);
    } else {
      const bytes = kind === 2 ? 2 : 4;
      output.repeat(data.readUIntLE(at, bytes), length);
      at += bytes;
    }
  }
  const bytes = output.bytes();
  if (bytes.length !== claimed) throw new Error("the snappy data are incomplete");
  return bytes;
}

const LZ4_MAGIC = 0x184d2204;
const LZ4_MIN_MATCH = 4;

/** LZ4 frames, one after the other: https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Checksums are ignored. */
function lz4(data: Buffer): Buffer {
  const output = new Output(MAX_DECOMPRESSED_BYTES);
  let at = 0;
  while (at < data.length) {
    if (data.readUInt32LE(at) !== LZ4_MAGIC) throw new Error("not an LZ4 frame");
    const flags = data.readUInt8(at + 4);
    const hasContentSize = (flags & 0x08) !== 0;
    const hasDictionary = (flags & 0x01) !== 0;
    if (hasDictionary) throw new Error("the LZ4 frame needs a dictionary");
    at += 7 + (hasContentSize ? 8 : 0);
    for (;;) {
      const size = data.readUInt32LE(at);
      at += 4;
      if (size === 0) break;
      const bytes = size & 0x7fff_ffff;
      const block = data.subarray(at, at + bytes);
      if (block.length < bytes) throw new Error("an LZ4 block is incomplete");
      if (size > 0x7fff_ffff) output.append(block);
      else lz4Block(block, output);
      at += bytes + ((flags & 0x10) !== 0 ? 4 : 0);
    }
    if ((flags & 0x04) !== 0) at += 4;
  }
  return output.bytes();
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function lz4Block(block: Buffer, output: Output): void {
  let at = 0;
  /** The rest of a length whose first four bits are all set. */
  const extended = (length: number): number => {
    if (length < 15) return length;
    for (let sum = length; ; ) {
      const next = block.readUInt8(at++);
      sum += next;
      if (next < 255) return sum;
    }
  };
  while (at < block.length) {
    const token = block.readUInt8(at++);
    const literals = extended(token >> 4);
    if (at + literals > block.length) throw new Error("an LZ4 sequence is incomplete");
    output.append(block.subarray(at, at + literals));
    at += literals;
    if (at === block.length) return;
    const offset = block.readUInt16LE(at);
    at += 2;
    output.repeat(offset, LZ4_MIN_MATCH + extended(token & 0x0f));
  }
}

/** Bytes that grow up to a limit, and can repeat what they have. */
class Output {
  readonly #limit: number;
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  append(bytes: Buffer): void {
    this.#reserve(bytes.length);
    bytes.copy(this.#buffer, this.#length);
    this.#length += bytes.length;
  }

  /** Appends `count` bytes beginning `offset` before the end; they may overlap with what is appended. */
  repeat(offset: number, count: number): void {
    if (offset === 0 || offset > this.#length) throw new Error("a match is before the beginning");
    this.#reserve(count);
    const from = this.#length - offset;
    for (let index = 0; index < count; index++) {
      this.#buffer[this.#length + index] = this.#buffer[from + index] ?? 0;
    }
    this.#length += count;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed > this.#limit) throw new Error(`it decompresses to more than ${MAX_DECOMPRESSED_BYTES} bytes`);
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
