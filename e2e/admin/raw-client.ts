import net from "node:net";

/*
 * Requests and responses of the Kafka protocol, put together from the specification
 * (https://kafka.apache.org/protocol.html) without code of a client or of the embedded broker.
 */

/**
 * Sends one request on a connection of its own.
 * @param flexible whether the version has tagged fields, which are left out
 * @returns the body of the response
 */
export async function ask(
  port: number,
  api: number,
  version: number,
  body: Buffer,
  { flexible = false } = {},
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  let received = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) resolve(received);
  });
  socket.on("error", reject);
  socket.on("close", () => reject(new Error(`the broker closed the connection after API ${api} ${version}`)));
  const tags = Buffer.alloc(flexible ? 1 : 0);
  const header = Buffer.concat([int16(api), int16(version), int32(1), text("raw"), tags]);
  socket.write(Buffer.concat([int32(header.length + body.length), header, body]));
  try {
    const lengthAndCorrelationId = 8;
    return new Response((await promise).subarray(lengthAndCorrelationId + tags.length));
  } finally {
    socket.destroy();
  }
}

/** Reads a response from its beginning on. */
export class Response {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  int8(): number {
    this.#at += 1;
    return this.bytes.readInt8(this.#at - 1);
  }

  int16(): number {
    this.#at += 2;
    return this.bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.bytes.readInt32BE(this.#at - 4);
  }

  int64(): number {
    this.#at += 8;
    return Number(this.bytes.readBigInt64BE(this.#at - 8));
  }

  text(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    this.#at += length;
    return this.bytes.toString("utf8", this.#at - length, this.#at);
  }

  /** In flexible versions; shorter than 127 bytes. */
  compactText(): string | null {
    const length = this.int8() - 1;
    if (length < 0) return null;
    this.#at += length;
    return this.bytes.toString("utf8", this.#at - length, this.#at);
  }

  /** In flexible versions; of less than 127. */
  compactList<Item>(read: () => Item): Item[] {
    return Array.from({ length: this.int8() - 1 }, read);
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  list<Item>(read: () => Item): Item[] {
    return Array.from({ length: this.int32() }, read);
  }
}

export function int8(value: number): Buffer {
  return Buffer.from([value]);
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export function int64(value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeBigInt64BE(BigInt(value));
  return content;
}

export function bytes(content: Buffer): Buffer {
  return Buffer.concat([int32(content.length), content]);
}

export function text(content: string | null): Buffer {
  if (content === null) return int16(-1);
  const bytes = Buffer.from(content);
  return Buffer.concat([int16(bytes.length), bytes]);
}

export function list<Item>(items: readonly Item[], write: (item: Item) => readonly Buffer[]): Buffer {
  return Buffer.concat([int32(items.length), ...items.flatMap(write)]);
}
