/**
 * One client connection: responses are sent in the order of the requests, as the protocol requires
 * (https://kafka.apache.org/protocol.html#protocol_network).
 *
 * Requests are handled concurrently, so several produce requests share one fsync; only the responses are ordered.
 * Memory is bounded by MAX_IN_FLIGHT requests or MAX_IN_FLIGHT_BYTES, and one frame. At that bound, which a client that
 * does not read its responses reaches, the socket is not read.
 */
import type { Socket } from "bun";
import { Frames } from "./frames.ts";

/** Clients usually keep at most five requests in flight. */
const MAX_IN_FLIGHT = 64;
const MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024;

/** The client of a connection, as a request handler sees it. */
export interface Peer {
  readonly host: string;
  /** Aborted when the connection closes or the broker stops; waiting on behalf of the client may end. */
  readonly disconnected: AbortSignal;
  /** Resolves when all earlier requests of the connection are answered. */
  readonly turn: Promise<void>;
}

export interface ConnectionOptions {
  readonly maxFrameBytes: number;
  /** Resolves with the response frame, or undefined for no response. An error closes the connection. */
  readonly handle: (frame: Buffer, peer: Peer) => Promise<Buffer | undefined>;
  /** Called once, when an error closes the connection from this side. */
  readonly onError: (error: unknown, connection: Connection) => void;
}

export class Connection {
  /** The address of the client. */
  readonly host: string;
  readonly #frames: Frames;
  readonly #disconnected = new AbortController();
  /** Settles when the last response so far is sent; each response waits for the one before it. */
  #responses: Promise<void> = Promise.resolve();
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
    // A response is written in one piece; Nagle's algorithm would only delay it.
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
    this.#disconnected.abort();
    this.#resumeWriting?.();
    this.#end.resolve();
  }

  /** Accepts no more requests, answers those in flight and closes. Resolves early when the client closes. */
  async drain(): Promise<void> {
    this.#accepting = false;
    this.#disconnected.abort();
    await Promise.race([this.#responses, this.#end.promise]);
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
    const response = this.options.handle(frame, {
      host,
      disconnected: this.#disconnected.signal,
      turn: this.#responses,
    });
    // Errors are handled when the turn of the response comes; this avoids an unhandled rejection until then.
    response.catch(() => {});
    this.#responses = this.#responses.then(async () => {
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

  /** Resolves when the kernel has accepted all bytes, or the connection is closed. */
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
