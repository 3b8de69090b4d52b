import type { Notification } from "./store.ts";

/** The part of a WebSocket that is needed here. */
export interface Socket {
  /** As Bun has it: the bytes sent, 0 when the connection is gone, -1 when the rest waits in its buffer. */
  send(text: string): number;
  /** As Bun has it: what is sent within the callback leaves in one write. */
  cork(callback: () => void): void;
  close(code: number, reason: string): void;
}

/** Rows read at a time, so that a long backlog of one customer does not fill the memory. */
const PAGE = 100;

/** With a longer delay, setTimeout calls back at once: it counts milliseconds in 32 bits. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** RFC 6455 §7.4.1, for a token that is no longer valid. */
const POLICY_VIOLATION = 1008;

interface Reader {
  readonly customerId: string;
  readonly isValid: () => boolean;
  /** The cursor of the last notification that was sent, or what the client came with. */
  after: string;
  /** Whether its buffer holds data that the client has not received yet. */
  full: boolean;
  cancelExpiry: () => void;
}

/**
 * Pushes each customer's notifications to their open sockets. Missed and new notifications have the same path: a
 * socket reads on from its cursor, so none is left out and none is sent twice.
 */
export class Push {
  readonly #after: (customerId: string, after: string, limit: number) => Notification[];
  readonly #readers = new Map<Socket, Reader>();
  readonly #sockets = new Map<string, Set<Socket>>();
  /** Customers whose sockets have not been sent their newest notifications. */
  readonly #notified = new Set<string>();
  #isCatchingUp = false;

  /** @param after reads a customer's notifications after a number or a cursor, oldest first */
  constructor(after: (customerId: string, after: string, limit: number) => Notification[]) {
    this.#after = after;
  }

  /**
   * @param after the number or the cursor of the last notification that the client has
   * @param validMs the time until its token expires
   * @param isValid whether its token is still valid: its key may be withdrawn before it expires
   */
  open(
    socket: Socket,
    customerId: string,
    after: string,
    validMs: number,
    isValid: () => boolean = () => true,
  ): void {
    const cancelExpiry = callAfter(validMs, () => socket.close(POLICY_VIOLATION, "the token has expired"));
    const reader = { customerId, isValid, after, full: false, cancelExpiry };
    this.#readers.set(socket, reader);
    const sockets = this.#sockets.get(customerId) ?? new Set();
    this.#sockets.set(customerId, sockets.add(socket));
    this.#send(socket, reader);
  }

  /** The client has received what was in the socket's buffer. */
  drained(socket: Socket): void {
    const reader = this.#readers.get(socket);
    if (reader === undefined) return;
    reader.full = false;
    this.#send(socket, reader);
  }

  /** Sends what the socket has not received yet, until its buffer is full. Closes it instead when its token is not valid. */
  #send(socket: Socket, reader: Reader): void {
    if (!reader.isValid()) {
      socket.close(POLICY_VIOLATION, "the token is no longer valid");
      return;
    }
    let page: Notification[];
    do {
      page = this.#after(reader.customerId, reader.after, PAGE);
    } while (sendPage(socket, reader, page) && page.length === PAGE);
  }

  /**
   * A customer has a new notification. Those of one commit are read together, once its callbacks have been called.
   *
   * @returns for the first of them, the end of that; it rejects when those of a customer cannot be read
   */
  notify(customerId: string): Promise<void> | undefined {
    if (!this.#sockets.has(customerId)) return undefined;
    this.#notified.add(customerId);
    if (this.#isCatchingUp) return undefined;
    this.#isCatchingUp = true;
    return this.#catchUp();
  }

  async #catchUp(): Promise<void> {
    await Promise.resolve();
    this.#isCatchingUp = false;
    const failures: unknown[] = [];
    for (const customerId of this.#notified) {
      this.#notified.delete(customerId);
      for (const socket of this.#sockets.get(customerId) ?? []) {
        const reader = this.#readers.get(socket);
        try {
          if (reader !== undefined && !reader.full) this.#send(socket, reader);
        } catch (error) {
          // The others are not to wait for it.
          failures.push(error);
        }
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  close(socket: Socket): void {
    const reader = this.#readers.get(socket);
    if (reader === undefined) return;
    this.#readers.delete(socket);
    reader.cancelExpiry();
    const sockets = this.#sockets.get(reader.customerId);
    sockets?.delete(socket);
    if (sockets?.size === 0) this.#sockets.delete(reader.customerId);
  }

  /** How many sockets are open. */
  get size(): number {
    return this.#readers.size;
  }
}

/**
 * Sends several in one write: a write costs more than all else that is done for a notification. That the buffer is full
 * may show only with the next page.
 *
 * @returns whether more can be sent
 */
function sendPage(socket: Socket, reader: Reader, page: readonly Notification[]): boolean {
  let isOpen = false;
  const send = () => {
    for (const notification of page) {
      const sent = socket.send(JSON.stringify(notification));
      isOpen = sent !== 0;
      if (!isOpen) return;
      reader.after = notification.cursor;
      reader.full = sent === -1;
      if (reader.full) return;
    }
  };
  if (page.length > 1) socket.cork(send);
  else send();
  return isOpen && !reader.full;
}

/** Calls back once, after any time, unless the returned function is called before. */
function callAfter(delayMs: number, callback: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (leftMs: number) => {
    const next = leftMs > MAX_DELAY_MS ? () => wait(leftMs - MAX_DELAY_MS) : callback;
    timer = setTimeout(next, Math.min(leftMs, MAX_DELAY_MS));
  };
  wait(delayMs);
  return () => clearTimeout(timer);
}
