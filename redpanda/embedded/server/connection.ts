/**
 * One client connection: takes requests as they come and sends the answers in the order of the requests, as the
 * protocol demands (https://kafka.apache.org/protocol.html#protocol_network).
 *
 * Requests are handled side by side, so that several produce requests share one fsync; only the answers stand in line.
 * Memory: MAX_IN_FLIGHT requests or MAX_IN_FLIGHT_BYTES, and one frame. Past that, and while the client does not read
 * its answers, nothing more is read from the socket.
 */
import type { Socket } from "bun";
import type { Peer } from "../dispatch.ts";
import { Frames } from "./frames.ts";

/** Clients keep to a handful; this is for those that do not. */
const MAX_IN_FLIGHT = 64;
const MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024;

export interface ConnectionOptions {
  readonly maxFrameBytes: number;
  /** Resolves with the response frame, or undefined for none; what it throws closes the connection. */
  readonly handle: (frame: Buffer, peer: Peer) => Promise<Buffer | undefined>;
  /** Told once, when it is this side that closes. */
  readonly onError: (error: unknown, connection: Connection) => void;
}

export class Connection {
  /** Where the client is. */
  readonly host: string;
  readonly #frames: Frames;
  /** Aborted when the client is gone, or when it shall be told at once what there is, because the broker stops. */
  readonly #gone = new AbortController();
  /** Each answer waits for the one before it. */
  #answers: Promise<void> = Promise.resolve();
  #inFlight = 0;
  #inFlightBytes = 0;
  #paused = false;
  #accepting = true;
  #closed = false;
  #resumeWriting: (() => void) | undefined;
  readonly #end = Promise.withResolvers<void>();

  constructor(
    private readonly socket: Socket<Connection>,
    private readonly options: ConnectionOptions,
  ) {
    this.host = socket.remoteAddress;
    this.#frames = new Frames(options.maxFrameBytes);
    // An answer is written in one piece; waiting to fill a packet would only delay it.
    socket.setNoDelay(true);
  }

  onData(chunk: Buffer): void {
    if (!this.#accepting) return;
    this.#frames.push(chunk);
    this.#takeFrames();
  }

  onWritable(): void {
    this.#resumeWriting?.();
  }

  onClose(): void {
    this.#closed = true;
    this.#accepting = false;
    this.#frames.clear();
    this.#gone.abort();
    this.#resumeWriting?.();
    this.#end.resolve();
  }

  /** Takes no more requests, answers those in flight, closes; resolves also when it is closed before that. */
  async drain(): Promise<void> {
    this.#accepting = false;
    this.#gone.abort();
    await Promise.race([this.#answers, this.#end.promise]);
    if (!this.#closed) this.socket.end();
  }

  /** Closes at once. */
  terminate(): void {
    if (!this.#closed) this.socket.terminate();
  }

  #takeFrames(): void {
    try {
      while (this.#accepting && !this.#isFull()) {
        const frame = this.#frames.next();
        if (!frame) break;
        this.#accept(frame);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#pauseOrResume();
  }

  #accept(frame: Buffer): void {
    this.#inFlight += 1;
    this.#inFlightBytes += frame.length;
    const { host } = this;
    const response = this.options.handle(frame, { host, gone: this.#gone.signal, turn: this.#answers });
    // It is looked at when its turn comes; until then a failure is not an unhandled one.
    response.catch(() => {});
    this.#answers = this.#answers.then(async () => {
      try {
        const bytes = await response;
        if (bytes) await this.#write(bytes);
      } catch (error) {
        this.#fail(error);
      }
      this.#inFlight -= 1;
      this.#inFlightBytes -= frame.length;
      if (this.#paused) this.#takeFrames();
    });
  }

  /** Resolves when the kernel has taken all bytes, or when there is nobody left to take them. */
  async #write(bytes: Buffer): Promise<void> {
    for (let sent = 0; !this.#closed; ) {
      sent += Math.max(0, this.socket.write(bytes.subarray(sent)));
      if (sent >= bytes.length) return;
      await new Promise<void>((resolve) => {
        this.#resumeWriting = resolve;
      });
    }
  }

  #isFull(): boolean {
    return this.#inFlight >= MAX_IN_FLIGHT || this.#inFlightBytes >= MAX_IN_FLIGHT_BYTES;
  }

  #pauseOrResume(): void {
    if (this.#closed || this.#paused === this.#isFull()) return;
    this.#paused = !this.#paused;
    if (this.#paused) this.socket.pause();
    else this.socket.resume();
  }

  #fail(error: unknown): void {
    if (this.#closed || !this.#accepting) return;
    this.#accepting = false;
    this.options.onError(error, this);
    this.terminate();
  }
}
