import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import type { Order, OrderStatus } from "../../api/types.ts";
import { isRecord, parseJson } from "../../json.ts";
import { describeMessage } from "../../parts/message-descriptions.ts";

/** One message of an order. */
interface TimelineMessage {
  /** Unique within the order. */
  readonly key: string;
  readonly type: string;
  readonly service: string;
  /** Milliseconds since the epoch by the clock of the sender. */
  readonly at: number;
  /** Its records in the order in which they were stored: several if it was sent again, none if the broker's are unknown. */
  readonly records: readonly RecordReport[];
  /** The CloudEvent; undefined without a record. */
  readonly envelope: Envelope | undefined;
}

type Envelope = Readonly<Record<string, unknown>>;

/**
 * The messages of the order's history, each once and in its order, which is causal. Messages that only the broker has are
 * inserted by their time, after their cause.
 */
export function timelineOf(
  { history }: Pick<Order, "history">,
  records: readonly RecordReport[],
): TimelineMessage[] {
  const messages = new Map<string, TimelineMessage>();
  for (const record of records) {
    const message = messageIn(record);
    if (message === undefined) continue;
    const earlier = messages.get(message.key)?.records ?? [];
    messages.set(message.key, { ...message, records: [...earlier, record] });
  }
  const unmatched = [...messages.values()];
  const all: TimelineMessage[] = history.map(({ at, type, service }, index) => {
    const entry = { key: `${index}`, type, service, at: Date.parse(at), records: [], envelope: undefined };
    return take(unmatched, entry) ?? entry;
  });
  for (const message of unmatched) {
    const later = all.findIndex(({ at }) => at > message.at);
    const cause = all.findIndex(({ key }) => key === message.envelope?.causationid);
    // After its cause, whatever the clocks say.
    all.splice(Math.max(later < 0 ? all.length : later, cause + 1), 0, message);
  }
  return all;
}

/** Removes and returns the record of a history entry; undefined when there is none. */
function take(unmatched: TimelineMessage[], entry: TimelineMessage): TimelineMessage | undefined {
  const index = unmatched.findIndex(({ type }) => type === entry.type);
  return index < 0 ? undefined : unmatched.splice(index, 1)[0];
}

function messageIn(record: RecordReport): TimelineMessage | undefined {
  const envelope = parseJson(record.value ?? "");
  if (!isRecord(envelope)) return undefined;
  const { id, type, source, time } = envelope;
  if (typeof id !== "string" || typeof type !== "string") return undefined;
  if (typeof source !== "string" || typeof time !== "string") return undefined;
  const [service = source] = source.split("/");
  const at = Date.parse(time);
  if (Number.isNaN(at)) return undefined;
  return { key: id, type, service, at, records: [], envelope };
}

/** A message with the times of its way, in milliseconds since the epoch. */
export interface Travel {
  readonly message: TimelineMessage;
  /** When it was sent to the broker; undefined while it is in the outbox. */
  readonly storedAt: number | undefined;
  /** The service that continues the order with it. */
  readonly receiver: string | undefined;
  /** When the receiver emitted what followed from it; undefined if nothing did. */
  readonly handledAt: number | undefined;
  /** Whether it waits now: in the outbox, or at the broker for its receiver. */
  readonly isWaiting: boolean;
}

/** What the gateway sends itself. Of all other messages its history proves that the broker had them. */
const commands: readonly string[] = ["store.order.place.v1", "store.order.cancel.v1"];

/** The messages that an order in this status still needs to be handled. */
const needed: Readonly<Partial<Record<OrderStatus, readonly string[]>>> = {
  accepted: commands,
  pending: [
    "store.order.placed.v1",
    "store.stock.reserved.v1",
    "store.stock.short.v1",
    "store.stock.rejected.v1",
    "store.order.cancel.v1",
  ],
  backordered: ["store.stock.reserved.v1", "store.order.cancel.v1"],
};

/**
 * @param recordsKnown whether a waiting command without a record is in the outbox; otherwise it is taken for sent when it was
 * emitted
 */
export function travelsOf(
  { status }: Pick<Order, "status">,
  messages: readonly TimelineMessage[],
  recordsKnown: boolean,
): Travel[] {
  return messages.map((message, index): Travel => {
    const receiver = describeMessage(message.type, message.service).to[0];
    const effect = effectOf(message, messages, index, receiver);
    const [record] = message.records;
    // Clocks may differ: nothing is shown as stored before it was emitted, or as handled before it was stored.
    const sentAt = record === undefined ? undefined : Math.max(message.at, record.at);
    const isNeeded = needed[status]?.includes(message.type) ?? false;
    const isLatest = messages.findLastIndex(({ type }) => type === message.type) === index;
    const isWaiting = effect === undefined && isNeeded && isLatest;
    const isUnsent = isWaiting && record === undefined && recordsKnown && commands.includes(message.type);
    const storedAt = isUnsent ? undefined : (sentAt ?? message.at);
    const handledAt = effect === undefined ? undefined : Math.max(effect.at, storedAt ?? effect.at);
    return { message, storedAt, receiver, handledAt, isWaiting };
  });
}

/** The message that the receiver emitted because of this one: by its cause, or without records by its place. */
function effectOf(
  { envelope }: TimelineMessage,
  messages: readonly TimelineMessage[],
  index: number,
  receiver: string | undefined,
): TimelineMessage | undefined {
  return messages
    .slice(index + 1)
    .find((later) =>
      envelope === undefined || later.envelope === undefined
        ? later.service === receiver
        : later.envelope.causationid === envelope.id && later.service === receiver,
    );
}

/** A time during which an order waited in one place. */
export interface Wait {
  readonly key: string;
  readonly kind: "outbox" | "broker" | "stock";
  /** The service in whose outbox or stock it waits, or the broker. */
  readonly lane: string;
  readonly from: number;
  /** Undefined: it waits now. */
  readonly to: number | undefined;
}

export const BROKER_LANE = "broker";

/** The waits of an order: of its messages in the outboxes and at the broker, and of the order for stock. */
export function waitsOf({ status }: Pick<Order, "status">, travels: readonly Travel[]): Wait[] {
  const waits: Wait[] = [];
  for (const [index, { message, storedAt, handledAt, isWaiting }] of travels.entries()) {
    const { key, at, type, service } = message;
    if (storedAt === undefined) {
      waits.push({ key, kind: "outbox", lane: service, from: at, to: undefined });
      continue;
    }
    if (storedAt > at) waits.push({ key, kind: "outbox", lane: service, from: at, to: storedAt });
    if (handledAt !== undefined || isWaiting) {
      waits.push({ key, kind: "broker", lane: BROKER_LANE, from: storedAt, to: handledAt });
    }
    if (type !== "store.stock.short.v1") continue;
    const later = travels.slice(index + 1).map((travel) => travel.message);
    const end = later.find((one) => one.service === service || one.type === "store.order.cancelled.v1");
    if (end !== undefined || status === "backordered" || status === "pending") {
      waits.push({ key, kind: "stock", lane: service, from: at, to: end?.at });
    }
  }
  return waits;
}
