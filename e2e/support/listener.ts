import { eventually } from "@distributed-messaging/messaging/testing";
import { Notification, parse } from "./answers.ts";

/** One WebSocket of the notification service. */
export class Listener {
  /** In the order of their arrival. */
  readonly received: Notification[] = [];
  /** Resolves to the status code of the closing handshake (RFC 6455 §7.4). */
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;

  /** @param protocols the offered subprotocols */
  constructor(url: string, protocols: string[] = []) {
    this.#socket = new WebSocket(url, protocols);
    this.closed = new Promise((resolve) => {
      this.#socket.addEventListener("close", ({ code }) => resolve(code));
    });
    this.#socket.addEventListener("message", ({ data }) => {
      this.received.push(parse(Notification, JSON.parse(String(data))));
    });
  }

  /** Resolves to whether the connection was opened. */
  opened(): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#socket.readyState === WebSocket.OPEN) resolve(true);
      this.#socket.addEventListener("open", () => resolve(true));
      void this.closed.then(() => resolve(false));
    });
  }

  /** The number of the last notification: a client resumes after it. */
  get lastSeq(): number {
    return this.received.at(-1)?.seq ?? 0;
  }

  /** Waits until a number of notifications have arrived. */
  async until(count: number): Promise<readonly Notification[]> {
    await eventually(() => this.received.length >= count, `${count} notifications`);
    return this.received;
  }

  /** Closes the connection without a closing handshake. */
  async terminate(): Promise<void> {
    // Not a method of the standard WebSocket.
    if ("terminate" in this.#socket && typeof this.#socket.terminate === "function") this.#socket.terminate();
    await this.closed;
  }
}
