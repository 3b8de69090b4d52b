/**
 * Writes the primitive types of the Kafka protocol into one growing buffer.
 * Source: https://kafka.apache.org/protocol.html#protocol_types; compact types and tagged fields: KIP-482.
 *
 * The counterpart of `Reader`: each method writes the encoding of the version, flexible or not.
 */
import { writeInt64 } from "./int64.ts";

export class Writer {
  #buffer: Buffer;
  #length = 0;

  /** @param capacity the initial size in bytes; a good estimate avoids copies. */
  constructor(
    private readonly flexible = false,
    capacity = 256,
  ) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  /** The written bytes, as a view. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  /** Grows the buffer for at least `bytes` more. */
  reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0);
  }

  int8(value: number): this {
    const at = this.#extend(1);
    this.#buffer.writeInt8(value, at);
    return this;
  }

  int16(value: number): this {
    const at = this.#extend(2);
    this.#buffer.writeInt16BE(value, at);
    return this;
  }

  int32(value: number): this {
    const at = this.#extend(4);
    this.#buffer.writeInt32BE(value, at);
    return this;
  }

  int64(value: number): this {
    const at = this.#extend(8);
    writeInt64(this.#buffer, value, at);
    return this;
  }

  unsignedVarint(value: number): this {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.#byte((rest % 128) + 128);
    return this.#byte(rest);
  }

  /** A zigzag varint or varlong, as in records. */
  varint(value: number): this {
    return this.unsignedVarint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  /** A topic id of 32 hexadecimal digits. */
  uuid(value: string): this {
    const at = this.#extend(16);
    this.#buffer.write(value, at, 16, "hex");
    return this;
  }

  string(value: string): this {
    const length = Buffer.byteLength(value);
    if (this.flexible) this.unsignedVarint(length + 1);
    else this.int16(length);
    const at = this.#extend(length);
    this.#buffer.write(value, at, length, "utf8");
    return this;
  }

  nullableString(value: string | null): this {
    if (value !== null) return this.string(value);
    return this.flexible ? this.unsignedVarint(0) : this.int16(-1);
  }

  bytes(value: Uint8Array): this {
    if (this.flexible) this.unsignedVarint(value.length + 1);
    else this.int32(value.length);
    return this.raw(value);
  }

  raw(value: Uint8Array): this {
    const at = this.#extend(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  array<T>(items: readonly T[], write: (item: T) => void): this {
    if (this.flexible) this.unsignedVarint(items.length + 1);
    else this.int32(items.length);
    for (const item of items) write(item);
    return this;
  }

  /** An array of structures, each with tagged fields at the end in flexible versions. */
  structs<T>(items: readonly T[], write: (item: T) => void): this {
    return this.array(items, (item) => {
      write(item);
      this.noTags();
    });
  }

  /** Ends a structure without tagged fields. */
  noTags(): this {
    return this.flexible ? this.#byte(0) : this;
  }

  #byte(value: number): this {
    const at = this.#extend(1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  #extend(bytes: number): number {
    this.reserve(bytes);
    const at = this.#length;
    this.#length = at + bytes;
    return at;
  }
}
