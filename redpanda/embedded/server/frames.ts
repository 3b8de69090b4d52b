/**
 * Splits a byte stream into frames: a length of four bytes, then the content.
 * Source: https://kafka.apache.org/protocol.html#protocol_common
 */

const LENGTH_BYTES = 4;

/** The length of a frame is negative or above the limit. */
class FrameError extends Error {
  override readonly name = "FrameError";
}

export class Frames {
  // The bytes from #start to #end are unread. Earlier bytes may be in use as frames and are not overwritten.
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  constructor(private readonly maxFrameBytes: number) {}

  /** Keeps a reference to `chunk`: the caller must not change it afterwards. */
  push(chunk: Buffer): void {
    if (this.#start === this.#end) {
      this.#buffer = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    this.#reserve(chunk.length);
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  /** The next complete frame without its length, or undefined. @throws FrameError */
  next(): Buffer | undefined {
    if (this.#end - this.#start < LENGTH_BYTES) return undefined;
    const length = this.#buffer.readInt32BE(this.#start);
    if (length < 0 || length > this.maxFrameBytes) {
      throw new FrameError(`a frame of ${length} bytes, at most ${this.maxFrameBytes} are allowed`);
    }
    const from = this.#start + LENGTH_BYTES;
    if (this.#end < from + length) return undefined;
    this.#start = from + length;
    return this.#buffer.subarray(from, this.#start);
  }

  clear(): void {
    this.#buffer = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
  }

  /**
   * Doubles the buffer, so a large frame in many pieces is copied about twice, and memory grows with the received bytes
   * instead of the announced length.
   */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const kept = this.#end - this.#start;
    const grown = Buffer.allocUnsafe((kept + bytes) * 2);
    this.#buffer.copy(grown, 0, this.#start, this.#end);
    this.#buffer = grown;
    this.#start = 0;
    this.#end = kept;
  }
}
