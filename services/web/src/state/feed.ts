import { effect, signal } from "@preact/signals";
import type { Notification } from "../api/types.ts";
import { notificationsUrl } from "../settings.ts";
import { announce } from "./announcer.ts";
import { backoffMs } from "./backoff.ts";
import { loadOrders, noteNews } from "./orders.ts";
import { poll } from "./poll.ts";
import { refreshProducts } from "./products.ts";
import { expire, session } from "./session.ts";
import { isRecord, readStored, writeStored } from "./storage.ts";

/** How news comes: pushed, or asked for while nobody pushes. */
export const feed = signal<"off" | "connecting" | "live" | "polling">("off");

/** RFC 6455 §7.4.1, as the notification service uses it: the token has run out. */
const POLICY_VIOLATION = 1008;
/** News that comes within this time is shown together. */
const BATCH_MS = 50;
const POLL_MS = 2_000;
const SLOW_POLL_MS = 30_000;
/** Beyond this, news is told in sum. */
const MAX_ANNOUNCED = 2;

/** Keeps a WebSocket open for whoever is signed in, and asks the gateway meanwhile when there is none. */
export function followNews(): void {
  effect(() => {
    const current = session.value;
    if (current === null) return;
    const follower = new Follower(current.token, `store.seq.${current.customerId}.${keyIdOf(current.token)}`);
    return () => follower.stop();
  });
}

/** One customer's news, from signing in to signing out. */
class Follower {
  readonly #token: string;
  /** Under which the number of the last notification is kept: by customer, and by the store that signed the token. */
  readonly #key: string;
  readonly #fallback;
  #seq: number;
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
    this.#seq = typeof stored === "number" && Number.isSafeInteger(stored) && stored > 0 ? stored : 0;
    feed.value = "connecting";
    this.#connect();
    this.#fallback = poll(
      async () => {
        await loadOrders();
      },
      // While news is pushed, only what no news tells of is left to ask for.
      () => (feed.peek() === "live" ? SLOW_POLL_MS : POLL_MS),
    );
  }

  stop(): void {
    this.#stopped = true;
    this.#fallback.stop();
    clearTimeout(this.#batch);
    clearTimeout(this.#retry);
    this.#socket?.close();
    feed.value = "off";
  }

  #connect(): void {
    // Resumes behind the last one that came: nothing is missed, nothing is told twice.
    const socket = new WebSocket(`${notificationsUrl}?after=${this.#seq}`, ["bearer", this.#token]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      feed.value = "live";
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => {
      if (this.#stopped) return;
      if (code === POLICY_VIOLATION) return expire();
      this.#failures += 1;
      feed.value = "polling";
      this.#retry = setTimeout(() => this.#connect(), backoffMs(this.#failures));
    };
  }

  #receive(data: unknown): void {
    const notification = parse(data);
    if (notification === undefined || notification.seq <= this.#seq) return;
    this.#seq = notification.seq;
    this.#queue.push(notification);
    this.#batch ??= setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush(): void {
    this.#batch = undefined;
    const news = this.#queue;
    this.#queue = [];
    writeStored(this.#key, this.#seq);
    if (noteNews(news)) this.#fallback.now();
    refreshProducts();
    if (news.length > MAX_ANNOUNCED) announce(`News of ${news.length} orders.`);
    else announce(news.map(({ message }) => message).join(" "));
  }
}

function parse(data: unknown): Notification | undefined {
  try {
    const value: unknown = JSON.parse(String(data));
    if (!isRecord(value) || typeof value.seq !== "number" || typeof value.orderId !== "string")
      return undefined;
    // The rest is held to its type by the notification service's own tests.
    return value as unknown as Notification;
  } catch {
    return undefined;
  }
}

/**
 * The id of the key that signed a token (RFC 7515 §4.1.4). A store that was started from empty data has another
 * key, and numbers its notifications from 1 again.
 */
function keyIdOf(token: string): string {
  try {
    const header = token.split(".")[0]?.replaceAll("-", "+").replaceAll("_", "/") ?? "";
    const value: unknown = JSON.parse(atob(header));
    return isRecord(value) && typeof value.kid === "string" ? value.kid : "";
  } catch {
    return "";
  }
}
