import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import type { Order } from "../api/types.ts";
import { isRecord, parseJson } from "../json.ts";

/** One message of an order. */
export interface TimelineMessage {
  readonly key: string;
  readonly type: string;
  readonly service: string;
  /** Milliseconds since the epoch by the clock of the sender. */
  readonly at: number;
  /** Since the previous message; 0 for the first. */
  readonly tookMs: number;
  readonly first: boolean;
  /** The number of records of the message. */
  readonly copies: number;
}

type Untimed = Omit<TimelineMessage, "tookMs" | "first">;

/**
 * The messages of the order's history, each once and in its order, which is causal. Messages that only the broker has are
 * inserted by their time.
 */
export function timelineOf({ history }: Order, records: readonly RecordReport[]): TimelineMessage[] {
  const messages = new Map<string, Untimed>();
  for (const record of records) {
    const message = messageIn(record);
    if (message === undefined) continue;
    const copies = (messages.get(message.key)?.copies ?? 0) + 1;
    messages.set(message.key, { ...message, copies });
  }
  const unmatched = [...messages.values()];
  const all: Untimed[] = history.map(({ at, type, service }, index) => {
    const entry = { key: `${index}`, type, service, at: Date.parse(at), copies: 1 };
    return take(unmatched, entry) ?? entry;
  });
  for (const message of unmatched) {
    const later = all.findIndex(({ at }) => at > message.at);
    all.splice(later < 0 ? all.length : later, 0, message);
  }
  return all.map((message, index) => {
    const before = all[index - 1];
    // The clocks of the senders may differ, so the difference can be negative.
    const tookMs = before === undefined ? 0 : Math.max(0, message.at - before.at);
    return { ...message, first: before === undefined, tookMs };
  });
}

/** Removes and returns the record of a history entry; undefined when there is none. */
function take(unmatched: Untimed[], entry: Untimed): Untimed | undefined {
  const index = unmatched.findIndex(({ type }) => type === entry.type);
  return index < 0 ? undefined : unmatched.splice(index, 1)[0];
}

function messageIn({ value }: RecordReport): Untimed | undefined {
  const message = parseJson(value ?? "");
  if (!isRecord(message)) return undefined;
  const { id, type, source, time } = message;
  if (typeof id !== "string" || typeof type !== "string") return undefined;
  if (typeof source !== "string" || typeof time !== "string") return undefined;
  return { key: id, type, service: source, at: Date.parse(time), copies: 1 };
}
