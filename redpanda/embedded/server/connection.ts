/**
 * One client connection: responses are sent in the order of the requests, as the protocol requires
 * (https://kafka.apache.org/protocol.html#protocol_network).
 *
 * Requests are handled concurrently, so several produce requests share one fsync; only the responses are ordered.
 * The memory of a connection is bounded by MAX_IN_FLIGHT requests or MAX_IN_FLIGHT_BYTES, and one frame. At that bound,
 * which a client that does not read its responses reaches, the socket is not read. Beyond OWN_BYTES, the memory is a part
 * of what all connections share (`Limits`); the socket is not read while a frame waits for it.
 */
import { Frames } from "./frames.ts";
import { type MemoryBudget, Reservation } from "./memory-budget.ts";
import type { ClientSocket } from "./tcp.ts";

/** Clients usually keep at most five requests in flight. */
const MAX_IN_FLIGHT = 64;
const MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024;

/**
 * The bytes of requests that each connection may hold in any case, so that heartbeats pass while others wait; and of a
 * response, so that who reads the newest records is not held up by those who read many.
 */
const OWN_BYTES = 16 * 1024;

/** The client of a connection, as a request handler sees it. */
export interface Peer {
  readonly host: string;
  /** Aborted when the connection closes or the broker stops; waiting on behalf of the client may end. */
  readonly disconnected: AbortSignal;
  /** Resolves when all earlier requests of the connection are answered. */
  readonly turn: Promise<void>;
  /**
   * Resolves when there is memory for a response of this size. Call it at most once for a request.
   * @returns false when the connection is closed: nobody reads the response
   */
  readonly reserve: (bytes: number) => Promise<boolean>;
}

/** What the connections of a broker share. Times are in milliseconds. */
export interface Limits {
  readonly maxFrameBytes: number;
  /** For frames, from their announcement until they are handled. */
  readonly received: MemoryBudget;
  /** For what the sockets that are not read had delivered before. A connection that exceeds it ends. */
  readonly unread: MemoryBudget;
  /** For responses, until the kernel has accepted them. */
  readonly responses: MemoryBudget;
  /** A connection ends when nothing was sent or received for this time, unless a request is being handled. */
  readonly maxIdleMs: number;
  /** A connection ends when a frame is not complete within this time. What the broker itself waits does not count. */
  readonly frameTimeoutMs: number;
  /** While others wait for shared memory, a connection that holds some ends when it sent or received nothing for this time. */
  readonly stallTimeoutMs: number;
}

export interface ConnectionOptions extends Limits {
  /** Resolves with the response frame, or undefined for no response. An error closes the connection. */
  readonly handle: (frame: Buffer, peer: Peer) => Promise<Buffer | undefined>;
  /** Called once, when an error closes the connection from this side. */
  readonly onError: (error: unknown, connection: Connection) => void;
}

/** The client takes too long. */
class ClientTooSlow extends Error {
  override readonly name = "ClientTooSlow";
}

/** The connections whose sockets are not read hold too much. */
class OutOfMemory extends Error {
  override readonly name = "OutOfMemory";
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
  #ownBytes = 0;
  /** The memory of the frame that is being received. */
  #incoming: Reservation | "own" | undefined;
  /** The shared memory of what was received before the socket was paused. */
  #unreadBytes = 0;
  /** End the waiting of responses for shared memory. */
  readonly #waiting = new Set<() => void>();
  #paused = false;
  #accepting = true;
  #closed = false;
  #resumeWriting: (() => void) | undefined;
  /** When bytes were last received or accepted by the kernel. */
  #activeAt = Date.now();
  /** When the broker began to wait for the rest of a frame. */
  #frameSince = Date.now();
  #markEnd: () => void = () => {};
  readonly #end = new Promise<void>((resolve) => {
    this.#markEnd = resolve;
  });

  constructor(
    private readonly socket: ClientSocket<Connection>,
    private readonly options: ConnectionOptions,
  ) {
    this.host = socket.remoteAddress;
    this.#frames = new Frames(options.maxFrameBytes);
    // A response is written in one piece; Nagle's algorithm would only delay it.
    socket.setNoDelay(true);
    // Finds out about a client that vanished without closing, also while a request of it waits.
    socket.setKeepAlive(true, 60_000);
  }

  onData(chunk: Buffer): void {
    if (!this.#accepting) return;
    this.#activeAt = Date.now();
    if (!this.#frames.hasPart) this.#frameSince = this.#activeAt;
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
    if (this.#incoming instanceof Reservation) this.#incoming.release();
    this.#incoming = undefined;
    this.#countUnread(0);
    // Memory that was granted is in use until its request is handled.
    for (const giveUp of this.#waiting) giveUp();
    this.#resumeWriting?.();
    this.#markEnd();
  }

  /** Ends the connection when it is idle or too slow. Call it regularly. */
  checkTimes(now = Date.now()): void {
    if (this.#closed || !this.#accepting) return;
    const { maxIdleMs, frameTimeoutMs, stallTimeoutMs, received, responses } = this.options;
    const isReceiving = this.#frames.hasPart && !this.#paused;
    if (isReceiving && now - this.#frameSince > frameTimeoutMs) {
      this.#fail(new ClientTooSlow(`a frame was not complete after ${frameTimeoutMs} ms`));
    } else if (now - this.#activeAt > stallTimeoutMs && this.#holdsUp(isReceiving)) {
      const waiting = received.waiting + responses.waiting;
      this.#fail(new ClientTooSlow(`no progress for ${stallTimeoutMs} ms while ${waiting} wait for memory`));
    } else if (now - this.#activeAt > maxIdleMs && !this.#isBrokersTurn) {
      this.terminate();
    }
  }

  /** Accepts no more requests, answers those in flight and closes. Resolves early when the client closes. */
  async drain(): Promise<void> {
    this.#accepting = false;
    this.#disconnected.abort();
    await Promise.race([this.#responses, this.#end]);
    if (!this.#closed) this.socket.end();
  }

  /** Closes at once. */
  terminate(): void {
    if (!this.#closed) this.socket.terminate();
  }

  /** Whether the client waits for the broker: for a response, or for memory for its frame. */
  get #isBrokersTurn(): boolean {
    return this.#resumeWriting === undefined && (this.#inFlight > 0 || this.#paused);
  }

  /** Whether others wait for memory that this connection holds, and its client is who must act. */
  #holdsUp(isReceiving: boolean): boolean {
    const { received, responses } = this.options;
    if (received.waiting > 0 && isReceiving && this.#incoming instanceof Reservation) return true;
    return responses.waiting > 0 && this.#resumeWriting !== undefined;
  }

  #takeFrames(): void {
    try {
      while (this.#accepting && !this.#isFull()) {
        const frame = this.#frames.next((length) => this.#admit(length));
        if (!frame) break;
        this.#frameSince = Date.now();
        const memory = this.#incoming;
        this.#incoming = undefined;
        this.#accept(frame, memory instanceof Reservation ? memory : undefined);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#frames.compact();
    this.#pauseOrResume();
  }

  /** Whether there is memory for a frame of this length. If not, `#takeFrames` runs again when there is. */
  #admit(length: number): boolean {
    if (this.#incoming === "own") return true;
    if (this.#incoming) return this.#incoming.isGranted;
    if (this.#ownBytes + length <= OWN_BYTES) {
      this.#ownBytes += length;
      this.#incoming = "own";
      return true;
    }
    this.#incoming = this.options.received.reserve(length, () => this.#takeFrames());
    return this.#incoming.isGranted;
  }

  /** @param memory the shared memory of the frame; undefined for the connection's own */
  #accept(frame: Buffer, memory: Reservation | undefined): void {
    const { length } = frame;
    const { handle, responses } = this.options;
    this.#inFlight += 1;
    this.#inFlightBytes += length;
    const { host } = this;
    /** The bytes that count for the response. */
    let held = 0;
    const response = handle(frame, {
      host,
      disconnected: this.#disconnected.signal,
      turn: this.#responses,
      reserve: async (bytes) => {
        const isReserved = await this.#reserve(bytes);
        if (isReserved) held = bytes;
        return isReserved;
      },
    });
    const release = () => {
      if (memory) memory.release();
      else this.#ownBytes -= length;
    };
    // The memory is given back before the turn of the response, so that no frame waits for the reader of another.
    // Errors are handled when that turn comes; this avoids an unhandled rejection until then.
    response.then(release, release);
    this.#responses = this.#responses.then(async () => {
      try {
        const bytes = await response;
        // What was reserved is an estimate; what is too much of it may be granted to others at once.
        responses.subtract(held - (bytes?.length ?? 0));
        held = bytes?.length ?? 0;
        if (bytes) await this.#write(bytes);
      } catch (error) {
        this.#fail(error);
      }
      responses.subtract(held);
      this.#inFlight -= 1;
      this.#inFlightBytes -= length;
      if (this.#paused) this.#takeFrames();
    });
  }

  /** Counts memory for a response when it is available. @returns false when the connection is closed */
  async #reserve(bytes: number): Promise<boolean> {
    if (this.#closed) return false;
    const { responses } = this.options;
    if (bytes <= OWN_BYTES) {
      responses.add(bytes);
      return true;
    }
    let proceed = () => {};
    const waiting = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    const reservation = responses.reserve(bytes, proceed);
    if (reservation.isGranted) return true;
    this.#waiting.add(proceed);
    await waiting;
    this.#waiting.delete(proceed);
    if (!this.#closed) return true;
    reservation.release();
    return false;
  }

  /** Resolves when the kernel has accepted all bytes, or the connection is closed. */
  async #write(bytes: Buffer): Promise<void> {
    for (let sent = 0; !this.#closed; ) {
      const accepted = Math.max(0, this.socket.write(bytes.subarray(sent)));
      if (accepted > 0) this.#activeAt = Date.now();
      sent += accepted;
      if (sent >= bytes.length) return;
      await new Promise<void>((resolve) => {
        this.#resumeWriting = resolve;
      });
      this.#resumeWriting = undefined;
    }
  }

  #isFull(): boolean {
    return this.#inFlight >= MAX_IN_FLIGHT || this.#inFlightBytes >= MAX_IN_FLIGHT_BYTES;
  }

  #pauseOrResume(): void {
    if (this.#closed) return;
    const isWaiting = this.#incoming instanceof Reservation && !this.#incoming.isGranted;
    const mustPause = this.#isFull() || isWaiting;
    this.#countUnread(mustPause ? this.#frames.unreadBytes : 0);
    if (mustPause && this.options.unread.isExceeded) {
      this.#fail(new OutOfMemory("the connections that wait hold too much memory"));
    }
    if (this.#paused === mustPause) return;
    this.#paused = mustPause;
    if (mustPause) {
      this.socket.pause();
    } else {
      this.#frameSince = Date.now();
      this.#activeAt = this.#frameSince;
      this.socket.resume();
    }
  }

  #countUnread(bytes: number): void {
    this.options.unread.add(bytes - this.#unreadBytes);
    this.#unreadBytes = bytes;
  }

  #fail(error: unknown): void {
    if (this.#closed || !this.#accepting) return;
    this.#accepting = false;
    this.options.onError(error, this);
    this.terminate();
  }
}
