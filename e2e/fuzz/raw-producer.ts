import net from "node:net";
import { gzipSync, zstdCompressSync } from "node:zlib";

/*
 * A producer that shares no code with the kit, the embedded broker or kafkajs: record batches
 * (https://kafka.apache.org/documentation/#recordbatch) and requests are put together from the specifications.
 */

export interface RawRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: Buffer, value: Buffer | null])[];
}

export const codecs = ["none", "gzip", "snappy", "lz4", "zstd", "xerial"] as const;
/** `xerial` is snappy in the framing of snappy-java. */
export type CodecName = (typeof codecs)[number];

/** The codec in the attributes of a batch. */
export function codecNumber(codec: CodecName): number {
  return codec === "xerial" ? 2 : codecs.indexOf(codec);
}

/** The records of a batch, before compression. @param deltas the offsets, from the first of the batch on */
export function recordBytes(records: readonly RawRecord[], deltas?: readonly number[]): Buffer {
  return Buffer.concat(records.map((record, index) => oneRecord(record, deltas?.[index] ?? index)));
}

function oneRecord({ key, value, headers }: RawRecord, index: number): Buffer {
  const attributes = Buffer.from([0]);
  const timestampDelta = varint(index * 3);
  const parts = [attributes, timestampDelta, varint(index), sized(key), sized(value), varint(headers.length)];
  for (const [name, content] of headers) parts.push(sized(name), sized(content));
  return sized(Buffer.concat(parts));
}

function sized(bytes: Buffer | null): Buffer {
  return bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes]);
}

/** Zigzag and LEB128. @param value of up to 64 bits */
export function varint(value: number | bigint): Buffer {
  const signed = BigInt(value);
  let left = BigInt.asUintN(64, (signed << 1n) ^ (signed >> 63n));
  const bytes: number[] = [];
  while (left >= 0x80n) {
    bytes.push(Number(left & 0x7fn) + 0x80);
    left >>= 7n;
  }
  bytes.push(Number(left));
  return Buffer.from(bytes);
}

export function compress(codec: CodecName, bytes: Buffer): Buffer {
  if (codec === "gzip") return gzipSync(bytes);
  if (codec === "zstd") return zstdCompressSync(bytes);
  if (codec === "snappy") return snappyBlock(bytes);
  if (codec === "xerial") return xerialFrame(bytes);
  return codec === "lz4" ? lz4Frame(bytes) : bytes;
}

/** Bytes to copy as they are, then a repetition of earlier ones. `length` 0: none. */
interface Sequence {
  readonly literals: Buffer;
  readonly distance: number;
  readonly length: number;
}

/** Greedy LZ77, with a window of 64 KB. */
function sequences(bytes: Buffer): Sequence[] {
  const found: Sequence[] = [];
  const seenAt = new Map<number, number>();
  let from = 0;
  for (let at = 0; at + 16 < bytes.length; ) {
    const word = bytes.readUInt32LE(at);
    const earlier = seenAt.get(word);
    seenAt.set(word, at);
    if (earlier === undefined || at - earlier > 0xffff) {
      at += 1;
      continue;
    }
    let length = 4;
    // The last five bytes of an LZ4 block have to be literals.
    while (at + length < bytes.length - 5 && bytes[at + length] === bytes[earlier + length]) length += 1;
    found.push({ literals: bytes.subarray(from, at), distance: at - earlier, length });
    at += length;
    from = at;
  }
  return [...found, { literals: bytes.subarray(from), distance: 0, length: 0 }];
}

/** https://github.com/google/snappy/blob/main/format_description.txt */
function snappyBlock(bytes: Buffer): Buffer {
  const size: number[] = [];
  let left = bytes.length;
  for (; left > 0x7f; left >>>= 7) size.push((left & 0x7f) | 0x80);
  const parts: Buffer[] = [Buffer.from([...size, left])];
  for (const { literals, distance, length } of sequences(bytes)) {
    for (let at = 0; at < literals.length; at += 0x10000) {
      const run = literals.subarray(at, at + 0x10000);
      const last = run.length - 1;
      if (last < 60) parts.push(Buffer.from([last << 2]));
      else if (last < 0x100) parts.push(Buffer.from([60 << 2, last]));
      else parts.push(Buffer.from([61 << 2, last & 0xff, last >> 8]));
      parts.push(run);
    }
    for (let rest = length; rest > 0; rest -= 64) {
      const count = Math.min(rest, 64);
      const isShort = count >= 4 && count <= 11 && distance < 0x800;
      if (isShort)
        parts.push(Buffer.from([((distance >> 8) << 5) | ((count - 4) << 2) | 1, distance & 0xff]));
      else parts.push(Buffer.from([((count - 1) << 2) | 2, distance & 0xff, distance >> 8]));
    }
  }
  return Buffer.concat(parts);
}

/** https://github.com/xerial/snappy-java: magic, version and least version, then blocks of up to 32 KB with their sizes. */
function xerialFrame(bytes: Buffer): Buffer {
  const parts: Buffer[] = [
    Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
  ];
  for (let at = 0; at < bytes.length; at += 0x8000) {
    const block = snappyBlock(bytes.subarray(at, at + 0x8000));
    parts.push(int32(block.length), block);
  }
  return Buffer.concat(parts);
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md. Independent blocks of up to 64 KB. */
function lz4Frame(bytes: Buffer): Buffer {
  const descriptor = Buffer.from([0x60, 0x40]);
  const check = Buffer.from([(Bun.hash.xxHash32(descriptor, 0) >>> 8) & 0xff]);
  const parts: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18]), descriptor, check];
  for (let at = 0; at < bytes.length; at += 0x10000) {
    const plain = bytes.subarray(at, at + 0x10000);
    const block = lz4Block(plain);
    const isSmaller = block.length < plain.length;
    const size = Buffer.alloc(4);
    size.writeUInt32LE(isSmaller ? block.length : plain.length + 0x8000_0000);
    parts.push(size, isSmaller ? block : plain);
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function lz4Block(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  const rest = (length: number): Buffer => {
    if (length < 15) return Buffer.alloc(0);
    const more = length - 15;
    return Buffer.concat([Buffer.alloc(Math.floor(more / 255), 0xff), Buffer.from([more % 255])]);
  };
  for (const { literals, distance, length } of sequences(bytes)) {
    const match = length === 0 ? 0 : length - 4;
    const token = (Math.min(literals.length, 15) << 4) | Math.min(match, 15);
    parts.push(Buffer.from([token]), rest(literals.length), literals);
    if (length > 0) parts.push(Buffer.from([distance & 0xff, distance >> 8]), rest(match));
  }
  return Buffer.concat(parts);
}

/** A batch with a valid checksum. @param count the number of records that it claims to have */
export function recordBatch(codec: number, count: number, payload: Buffer): Buffer {
  const now = int64(BigInt(Date.now()));
  const checked = Buffer.concat([
    ...[int16(codec), int32(count - 1), now, now],
    // No producer id, epoch and sequence.
    ...[int64(-1n), int16(-1), int32(-1), int32(count), payload],
  ]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32c(checked));
  const epochAndMagic = Buffer.from([0xff, 0xff, 0xff, 0xff, 2]);
  return Buffer.concat([int64(0n), int32(9 + checked.length), epochAndMagic, checksum, checked]);
}

/** The batch after `change`, with a valid checksum. */
export function resealed(batch: Buffer, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(batch);
  change(bytes);
  bytes.writeUInt32BE(crc32c(bytes.subarray(CHECKED_FROM)), CHECKSUM_AT);
  return bytes;
}

const CHECKSUM_AT = 17;
const CHECKED_FROM = 21;
const CASTAGNOLI = 0x82f6_3b78;
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = (rest & 1) === 1 ? (rest >>> 1) ^ CASTAGNOLI : rest >>> 1;
  return rest;
});

function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}

const PRODUCE = { api: 0, version: 7 };
const FETCH = { api: 1, version: 4 };
const LIST_OFFSETS = { api: 2, version: 1 };
const API_VERSIONS = { api: 18, version: 0 };
/** More than the tests store in a partition. */
const FETCH_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

interface Produced {
  readonly stored: ReadonlyMap<number, number>;
  readonly refused: ReadonlyMap<number, number>;
}

interface BatchHeader {
  /** As in `codecNumber`. */
  readonly codec: number;
  /** Negative: none. */
  readonly producerId: bigint;
}

/** One connection, one request at a time. */
export class RawProducer {
  readonly #socket: net.Socket;
  #received = Buffer.alloc(0);
  #waiting: PromiseWithResolvers<Buffer> | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("close", () => this.#waiting?.reject(new Error("the broker closed the connection")));
    socket.on("error", (error) => this.#waiting?.reject(error));
  }

  static async connect(port: number): Promise<RawProducer> {
    const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once("connect", () => resolve());
    socket.once("error", reject);
    await promise;
    return new RawProducer(socket);
  }

  /** Stores batches with `acks=all`. @returns the base offset of each partition's one, or the error code of its refusal */
  async produce(topic: string, batches: ReadonlyMap<number, Buffer>): Promise<Produced> {
    const partitions = [...batches].flatMap(([partition, batch]) => [
      int32(partition),
      int32(batch.length),
      batch,
    ]);
    const body = [int16(-1), int16(-1), int32(TIMEOUT_MS), int32(1), text(topic), int32(batches.size)];
    const response = await this.#exchange(PRODUCE, [...body, ...partitions]);
    const [stored, refused] = [new Map<number, number>(), new Map<number, number>()];
    // Of each partition: number, error, base offset, time of append, first offset of the log.
    for (let index = 0; index < batches.size; index++) {
      const at = firstPartitionAt(topic) + index * (4 + 2 + 8 + 8 + 8);
      const partition = response.readInt32BE(at);
      const error = response.readInt16BE(at + 4);
      if (error === 0) stored.set(partition, Number(response.readBigInt64BE(at + 6)));
      else refused.set(partition, error);
    }
    return { stored, refused };
  }

  /** @returns the offset of the next record of each partition */
  async ends(topic: string, count: number): Promise<number[]> {
    const partitions = Array.from({ length: count }, (_, partition) => [int32(partition), int64(-1n)]);
    const body = [int32(-1), int32(1), text(topic), int32(count), ...partitions.flat()];
    const response = await this.#exchange(LIST_OFFSETS, body);
    const ends = Array.from<number>({ length: count });
    // Of each partition: number, error, timestamp, offset.
    for (let index = 0; index < count; index++) {
      const at = firstPartitionAt(topic) + index * (4 + 2 + 8 + 8);
      ends[response.readInt32BE(at)] = Number(response.readBigInt64BE(at + 14));
    }
    return ends;
  }

  /** @returns the headers of all batches of a partition */
  async batches(topic: string, partition: number): Promise<BatchHeader[]> {
    const limits = [int32(0), int32(1), int32(FETCH_BYTES), Buffer.from([0])];
    const from = [int32(partition), int64(0n), int32(FETCH_BYTES)];
    const body = [int32(-1), ...limits, int32(1), text(topic), int32(1), ...from];
    const response = await this.#exchange(FETCH, body);
    // The throttle time comes first. Of the partition: number, error, watermark, stable offset, no aborted transactions.
    const sizeAt = 4 + firstPartitionAt(topic) + 4 + 2 + 8 + 8 + 4;
    const records = response.subarray(sizeAt + 4, sizeAt + 4 + response.readInt32BE(sizeAt));
    const headers: BatchHeader[] = [];
    for (let at = 0; at < records.length; at += 12 + records.readInt32BE(at + 8)) {
      const codec = records.readInt16BE(at + 21) & 7;
      headers.push({ codec, producerId: records.readBigInt64BE(at + 43) });
    }
    return headers;
  }

  /** @returns the keys of the APIs that the broker has */
  async apis(): Promise<Set<number>> {
    const response = await this.#exchange(API_VERSIONS, []);
    // After the correlation id and the error, of each API: key, lowest and highest version.
    const count = response.readInt32BE(6);
    return new Set(Array.from({ length: count }, (_, index) => response.readInt16BE(10 + 6 * index)));
  }

  close(): void {
    this.#socket.destroy();
  }

  async #exchange(request: { api: number; version: number }, body: readonly Buffer[]): Promise<Buffer> {
    this.#waiting = Promise.withResolvers();
    const message = Buffer.concat([
      int16(request.api),
      int16(request.version),
      int32(1),
      text("fuzz"),
      ...body,
    ]);
    this.#socket.write(Buffer.concat([int32(message.length), message]));
    return this.#waiting.promise;
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length < 4) return;
    const end = 4 + this.#received.readInt32BE(0);
    if (this.#received.length < end) return;
    const response = this.#received.subarray(4, end);
    this.#received = this.#received.subarray(end);
    this.#waiting?.resolve(response);
  }
}

/** After the correlation id, one topic with its name, and the number of partitions. */
function firstPartitionAt(topic: string): number {
  return 4 + 4 + 2 + topic.length + 4;
}

function text(content: string): Buffer {
  return Buffer.concat([int16(content.length), Buffer.from(content)]);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}
