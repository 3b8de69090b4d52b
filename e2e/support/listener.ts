import { eventually } from "@distributed-messaging/messaging/testing";
import { Notification, parse } from "./answers.ts";

/** A client that listens for notifications, over one WebSocket. */
export class Listener {
  /** In the order in which they came. */
  readonly received: Notification[] = [];
  /** Resolves to the code that the connection was closed with (RFC 6455 §7.4). */
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;

  /** @param protocols the subprotocols that it offers */
  constructor(url: string, protocols: string[] = []) {
    this.#socket = new WebSocket(url, protocols);
    this.closed = new Promise((resolve) => {
      this.#socket.addEventListener("close", ({ code }) => resolve(code));
    });
    this.#socket.addEventListener("message", ({ data }) => {
      this.received.push(parse(Notification, JSON.parse(String(data))));
    });
  }

  /** Resolves to whether the connection came about. */
  opened(): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#socket.readyState === WebSocket.OPEN) resolve(true);
      this.#socket.addEventListener("open", () => resolve(true));
      void this.closed.then(() => resolve(false));
    });
  }

  /** The number of the last notification that came: what a client resumes after. */
  get lastSeq(): number {
    return this.received.at(-1)?.seq ?? 0;
  }

  /** Waits until so many have come. */
  async until(count: number): Promise<readonly Notification[]> {
    await eventually(() => this.received.length >= count, `${count} notifications`);
    return this.received;
  }

  /** Cuts the connection without a goodbye. */
  async cut(): Promise<void> {
    // Bun's own: it drops the connection where `close` would say goodbye.
    if ("terminate" in this.#socket && typeof this.#socket.terminate === "function") this.#socket.terminate();
    await this.closed;
  }
}
