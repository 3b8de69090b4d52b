/**
 * Splits a byte stream into frames: a length of four bytes, then the content.
 * Source: https://kafka.apache.org/protocol.html#protocol_common
 */

const LENGTH_BYTES = 4;
const NOTHING: Buffer = Buffer.alloc(0);

/** The length of a frame is negative or above the limit. */
class FrameError extends Error {
  override readonly name = "FrameError";
}

export class Frames {
  /** Received, and not part of a frame yet. */
  #unread: Buffer = NOTHING;
  /** The length of the buffer that `#unread` is a part of. */
  #chunkBytes = 0;
  /** The frame that is being received, in a buffer of its length, and how much of it there is. */
  #frame: Buffer | undefined;
  #filled = 0;

  constructor(private readonly maxFrameBytes: number) {}

  /** Whether a frame has begun and is not complete. */
  get hasPart(): boolean {
    return this.#frame !== undefined || this.#unread.length > 0;
  }

  /** The received bytes that are not part of a frame yet. */
  get unreadBytes(): number {
    return this.#unread.length;
  }

  /** Call it when `next` has returned no frame: what is unread does not keep the chunk that it came in. */
  compact(): void {
    this.#unread = this.#detached(this.#unread);
    this.#chunkBytes = this.#unread.length;
  }

  /** Keeps a reference to `chunk`: the caller must not change it afterwards. */
  push(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    this.#chunkBytes = this.#unread.length;
    this.#fill();
  }

  /**
   * The next complete frame without its length, or undefined.
   * @param admit whether memory for a frame of this length is available. When not, its bytes stay unread.
   * @throws FrameError
   */
  next(admit: (length: number) => boolean = () => true): Buffer | undefined {
    if (!this.#frame) {
      if (this.#unread.length < LENGTH_BYTES) return undefined;
      const length = this.#unread.readInt32BE(0);
      if (length < 0 || length > this.maxFrameBytes) {
        throw new FrameError(`a frame of ${length} bytes, at most ${this.maxFrameBytes} are allowed`);
      }
      if (!admit(length)) return undefined;
      const end = LENGTH_BYTES + length;
      if (this.#unread.length >= end) {
        const frame = this.#unread.subarray(LENGTH_BYTES, end);
        this.#unread = end === this.#unread.length ? NOTHING : this.#unread.subarray(end);
        return this.#detached(frame);
      }
      // The memory is in use only as far as bytes were received.
      this.#frame = Buffer.allocUnsafeSlow(length);
      this.#filled = 0;
      this.#unread = this.#unread.subarray(LENGTH_BYTES);
      this.#fill();
    }
    if (this.#filled < this.#frame.length) return undefined;
    const frame = this.#frame;
    this.#frame = undefined;
    return frame;
  }

  clear(): void {
    this.#unread = NOTHING;
    this.#frame = undefined;
  }

  #fill(): void {
    if (!this.#frame) return;
    const copied = this.#unread.copy(this.#frame, this.#filled);
    this.#filled += copied;
    this.#unread = this.#unread.subarray(copied);
  }

  /** The bytes, copied when they would keep a buffer of more than twice their size in memory. */
  #detached(bytes: Buffer): Buffer {
    if (bytes.length === 0) return NOTHING;
    return bytes.length * 2 < this.#chunkBytes ? Buffer.from(bytes) : bytes;
  }
}
