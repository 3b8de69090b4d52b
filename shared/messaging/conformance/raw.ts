import net from "node:net";

/* Record batches as any client may produce them, and their way to a broker: bytes, past kafkajs. */

/** A record of a batch (https://kafka.apache.org/documentation/#record). @param index its place in the batch */
export function rawRecord(
  index: number,
  key: Buffer | null,
  value: Buffer | null,
  headers: readonly (readonly [name: Buffer, value: Buffer | null])[] = [],
): Buffer {
  const bytes = (content: Buffer | null) =>
    content === null ? varint(-1) : Buffer.concat([varint(content.length), content]);
  const body = Buffer.concat([
    ...[Buffer.from([0]), varint(0), varint(index), bytes(key), bytes(value), varint(headers.length)],
    ...headers.flatMap(([name, content]) => [bytes(name), bytes(content)]),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

/**
 * A batch with a valid checksum (https://kafka.apache.org/documentation/#recordbatch).
 *
 * @param records compressed with `codec`
 */
export function rawBatch(count: number, records: Buffer, codec = 0): Buffer {
  const head = Buffer.alloc(61);
  head.writeInt32BE(head.length + records.length - 12, 8);
  head.writeInt32BE(-1, 12);
  head.writeInt8(2, 16);
  head.writeInt16BE(codec, 21);
  head.writeInt32BE(count - 1, 23);
  const nowMs = BigInt(Date.now());
  head.writeBigInt64BE(nowMs, 27);
  head.writeBigInt64BE(nowMs, 35);
  head.writeBigInt64BE(-1n, 43);
  head.writeInt16BE(-1, 51);
  head.writeInt32BE(-1, 53);
  head.writeInt32BE(count, 57);
  const batch = Buffer.concat([head, records]);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

const PRODUCE = 0;
const PRODUCE_VERSION = 7;
const RESPONSE_LIMIT_MS = 10_000;

/** Produces a batch with `acks=all`. @throws when the broker, one of `brokers`, refuses it */
export async function store(
  brokers: readonly string[],
  topic: string,
  partition: number,
  batch: Buffer,
): Promise<void> {
  const [host = "", port = ""] = (brokers[0] ?? "").split(":");
  const text = (content: string) => Buffer.concat([int16(content.length), Buffer.from(content)]);
  const body = Buffer.concat([
    ...[int16(PRODUCE), int16(PRODUCE_VERSION), int32(1), text("raw")],
    ...[int16(-1), int16(-1), int32(RESPONSE_LIMIT_MS), int32(1), text(topic), int32(1), int32(partition)],
    ...[int32(batch.length), batch],
  ]);
  const response = await exchange(host, Number(port), Buffer.concat([int32(body.length), body]));
  // Size, correlation id, one topic with its name, one partition with its number: then the error code.
  const code = response.readInt16BE(4 + 4 + 4 + 2 + topic.length + 4 + 4);
  if (code !== 0) throw new Error(`the broker refused the batch: error ${code}`);
}

function exchange(host: string, port: number, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port }, () => socket.write(request));
    let received = Buffer.alloc(0);
    socket.setTimeout(RESPONSE_LIMIT_MS, () => socket.destroy(new Error("no response")));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      socket.destroy();
      resolve(received);
    });
  });
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

/** Zigzag, seven bits a byte, the lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = ((value << 1) ^ (value >> 31)) >>> 0;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  return Buffer.from([...bytes, left]);
}

/** RFC 3720, appendix B.4. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f6_3b78);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
