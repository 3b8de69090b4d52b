import { computed, effect, signal } from "@preact/signals";
import { backoffMs } from "../api/request.ts";
import { isNotification, type Notification } from "../api/types.ts";
import { isRecord, parseJson } from "../json.ts";
import { notificationsUrl, signInMode } from "../settings.ts";
import { announce } from "./announcer.ts";
import { applyNotifications, loadOrders } from "./orders.ts";
import { poll } from "./poll.ts";
import { isDown } from "./processes.ts";
import { refreshProducts } from "./products.ts";
import { customerId, token, tokenRefused } from "./session.ts";
import { readStored, writeStored } from "./storage.ts";
import { showHop } from "./traffic.ts";

/** `live`: notifications are pushed. `polling`: the WebSocket is down, and the page asks the gateway instead. */
export const connection = signal<"off" | "connecting" | "live" | "polling">("off");

/** The same, but for a connection to a process that is paused: nothing comes over it. */
export const shownConnection = computed(() =>
  connection.value === "live" && isDown("notification") ? "polling" : connection.value,
);

/** The close code (RFC 6455 §7.4.1) with which the notification service rejects an expired token. */
const POLICY_VIOLATION = 1008;
/** Notifications within this time are applied together. */
const BATCH_MS = 50;
const POLL_MS = 2_000;
/** While live: some changes of an order cause no notification. */
const LIVE_POLL_MS = 30_000;
/** A larger batch is announced as a number. */
const MAX_ANNOUNCED = 2;

/** Receives the notifications of whoever is signed in. */
export function followNotifications(): void {
  effect(() => {
    // Not the session: it is another object each time that it is stored, and the stream would begin anew.
    const [ofCustomer, withToken] = [customerId.value, token.value];
    if (ofCustomer === undefined || withToken === undefined) return;
    const source = signInMode === "oidc" ? "oidc" : keyIdOf(withToken);
    const stream = new NotificationStream(withToken, `store.cursor.${ofCustomer}.${source}`);
    return () => stream.stop();
  });
}

/** The notifications of one customer: over a WebSocket, and by polling the orders while it is down. */
class NotificationStream {
  readonly #token: string;
  /** The storage key of the cursor of the last received notification: by customer, and in a demonstration by the store's signing key. */
  readonly #key: string;
  readonly #polling;
  #cursor: string;
  #socket: WebSocket | undefined;
  #failures = 0;
  #queue: Notification[] = [];
  #batch: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(token: string, key: string) {
    this.#token = token;
    this.#key = key;
    const stored = readStored(key);
    this.#cursor = typeof stored === "string" ? stored : "0";
    connection.value = "connecting";
    this.#connect();
    this.#polling = poll(
      () => loadOrders(),
      () => (shownConnection.peek() === "live" ? LIVE_POLL_MS : POLL_MS),
    );
  }

  stop(): void {
    this.#stopped = true;
    this.#polling.stop();
    clearTimeout(this.#batch);
    clearTimeout(this.#retry);
    this.#socket?.close();
    connection.value = "off";
  }

  #connect(): void {
    // Resumes after the last received notification, so none is missed.
    const socket = new WebSocket(`${notificationsUrl}?after=${this.#cursor}`, ["bearer", this.#token]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      connection.value = "live";
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => {
      if (this.#stopped) return;
      connection.value = "polling";
      // A renewed token comes with a stream of its own.
      if (code === POLICY_VIOLATION) return tokenRefused(this.#token);
      this.#failures += 1;
      this.#retry = setTimeout(() => this.#connect(), backoffMs(this.#failures));
    };
  }

  #receive(data: unknown): void {
    const notification = parseJson(String(data));
    if (!isNotification(notification)) return;
    // A service of a version before cursors has numbers.
    this.#cursor = notification.cursor ?? String(notification.seq);
    this.#queue.push(notification);
    showHop({ from: "notification", to: "browser", message: notification.type });
    this.#batch ??= setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush(): void {
    this.#batch = undefined;
    const notifications = this.#queue;
    this.#queue = [];
    writeStored(this.#key, this.#cursor);
    if (applyNotifications(notifications)) this.#polling.now();
    refreshProducts();
    if (notifications.length > MAX_ANNOUNCED) announce(`News of ${notifications.length} orders.`);
    else announce(notifications.map(({ message }) => message).join(" "));
  }
}

/**
 * The id of the key that signed a token (RFC 7515 §4.1.4). A store that was started from empty data has another key, and
 * its topics begin anew.
 */
function keyIdOf(token: string): string {
  try {
    const header = token.split(".")[0]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
    const value = parseJson(atob(header));
    return isRecord(value) && typeof value.kid === "string" ? value.kid : "";
  } catch {
    return "";
  }
}
