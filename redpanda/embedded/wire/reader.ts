/**
 * Reads the primitive types of the Kafka protocol from one request frame.
 * Source: https://kafka.apache.org/protocol.html#protocol_types; compact types and tagged fields: KIP-482.
 *
 * Each method reads both encodings: in a "flexible" version of an API the length of a string, byte array or array is an
 * unsigned varint of length + 1, and every structure ends in tagged fields.
 */

import { readInt64 } from "./int64.ts";

/**
 * The longest string of a version without compact strings. Apache Kafka accepts no longer one in any version either,
 * and a longer one that was stored could not be sent to every client.
 */
export const MAX_STRING_BYTES = 0x7fff;

/** The frame is truncated or contains an invalid length. The connection is closed. */
export class WireError extends Error {
  override readonly name = "WireError";
}

export class Reader {
  #at = 0;

  constructor(
    private readonly buffer: Buffer,
    private readonly flexible = false,
  ) {}

  get remaining(): number {
    return this.buffer.length - this.#at;
  }

  get position(): number {
    return this.#at;
  }

  /** A reader for the remaining bytes; a request body may have another encoding than its header. */
  rest(flexible: boolean): Reader {
    return new Reader(this.buffer.subarray(this.#at), flexible);
  }

  boolean(): boolean {
    return this.int8() !== 0;
  }

  int8(): number {
    return this.buffer.readInt8(this.#take(1));
  }

  int16(): number {
    return this.buffer.readInt16BE(this.#take(2));
  }

  int32(): number {
    return this.buffer.readInt32BE(this.#take(4));
  }

  /** Exact up to 2^53, see `int64.ts`. */
  int64(): number {
    return readInt64(this.buffer, this.#take(8));
  }

  unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.buffer.readUInt8(this.#take(1));
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new WireError("a varint is longer than five bytes");
  }

  /** A zigzag varint, as in records. */
  varint(): number {
    const raw = this.unsignedVarint();
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  }

  /** A zigzag varlong, as in timestamp deltas. Exact up to 2^53. */
  varlong(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.buffer.readUInt8(this.#take(1));
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new WireError("a varlong is longer than ten bytes");
  }

  /** A topic id, as 32 hexadecimal digits. */
  uuid(): string {
    const at = this.#take(16);
    return this.buffer.toString("hex", at, at + 16);
  }

  string(): string {
    const value = this.nullableString();
    if (value === null) throw new WireError("null in a string that is not nullable");
    return value;
  }

  nullableString(): string | null {
    const length = this.flexible ? this.unsignedVarint() - 1 : this.int16();
    if (length < 0) return null;
    const at = this.#take(length);
    const value = this.buffer.toString("utf8", at, at + length);
    // Invalid UTF-8 grows when it is decoded: each byte becomes U+FFFD, which has three.
    if (length * 3 > MAX_STRING_BYTES && Buffer.byteLength(value) > MAX_STRING_BYTES) {
      throw new WireError(`a string is longer than ${MAX_STRING_BYTES} bytes`);
    }
    return value;
  }

  /** A view into the frame, not a copy. */
  bytes(): Buffer {
    return this.nullableBytes() ?? Buffer.alloc(0);
  }

  nullableBytes(): Buffer | null {
    const length = this.flexible ? this.unsignedVarint() - 1 : this.int32();
    return length < 0 ? null : this.raw(length);
  }

  raw(length: number): Buffer {
    const at = this.#take(length);
    return this.buffer.subarray(at, at + length);
  }

  skip(length: number): void {
    this.#take(length);
  }

  array<T>(read: (reader: this) => T): T[] {
    return this.nullableArray(read) ?? [];
  }

  nullableArray<T>(read: (reader: this) => T): T[] | null {
    const length = this.flexible ? this.unsignedVarint() - 1 : this.int32();
    if (length < 0) return null;
    // Every element takes at least one byte, so a larger count is invalid.
    if (length > this.remaining) throw new WireError(`an array of ${length} in ${this.remaining} bytes`);
    const items: T[] = [];
    for (let i = 0; i < length; i++) items.push(read(this));
    return items;
  }

  /** An array of structures, each with tagged fields at the end in flexible versions. */
  structs<T>(read: (reader: this) => T): T[] {
    return this.nullableStructs(read) ?? [];
  }

  nullableStructs<T>(read: (reader: this) => T): T[] | null {
    return this.nullableArray(() => {
      const item = read(this);
      this.skipTags();
      return item;
    });
  }

  /** Tagged fields are optional (KIP-482); this broker uses none. */
  skipTags(): void {
    if (!this.flexible) return;
    for (let count = this.unsignedVarint(); count > 0; count--) {
      this.unsignedVarint();
      this.#take(this.unsignedVarint());
    }
  }

  #take(length: number): number {
    const at = this.#at;
    if (length < 0 || length > this.buffer.length - at) {
      throw new WireError(`${length} bytes expected at ${at}, the frame has ${this.buffer.length}`);
    }
    this.#at = at + length;
    return at;
  }
}
