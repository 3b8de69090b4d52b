import type { RecordReport } from "../api/supervisor.ts";
import type { Order } from "../api/types.ts";
import { isRecord } from "../state/storage.ts";

/** One message on an order's way. */
export interface TimelineStep {
  readonly key: string;
  readonly type: string;
  readonly service: string;
  /** Milliseconds since the epoch, by the clock of who sent it. */
  readonly at: number;
  /** Since the step before; 0 for the first. */
  readonly tookMs: number;
  readonly first: boolean;
  /** How many records of the same message there are. */
  readonly copies: number;
}

type Raw = Omit<TimelineStep, "tookMs" | "first">;

/**
 * The steps that the gateway tells of, each once and in its order, which is that of cause and effect; between them,
 * by the time, the messages that only the broker has.
 */
export function merge({ history }: Order, records: readonly RecordReport[]): TimelineStep[] {
  const messages = new Map<string, Raw>();
  for (const record of records) {
    const message = envelopeOf(record);
    if (message === undefined) continue;
    const copies = (messages.get(message.key)?.copies ?? 0) + 1;
    messages.set(message.key, { ...message, copies });
  }
  const unseen = [...messages.values()];
  const all: Raw[] = history.map(({ at, type, service }, index) => {
    const step = { key: `${index}`, type, service, at: Date.parse(at), copies: 1 };
    return take(unseen, step) ?? step;
  });
  for (const message of unseen) {
    const later = all.findIndex(({ at }) => at > message.at);
    all.splice(later < 0 ? all.length : later, 0, message);
  }
  return all.map((step, index) => {
    const before = all[index - 1];
    // Clocks may disagree: nothing takes less than no time.
    const tookMs = before === undefined ? 0 : Math.max(0, step.at - before.at);
    return { ...step, first: before === undefined, tookMs };
  });
}

/** Takes the record that a step of the history tells of out of the list; undefined when there is none. */
function take(unseen: Raw[], step: Raw): Raw | undefined {
  const index = unseen.findIndex(({ type }) => type === step.type);
  return index < 0 ? undefined : unseen.splice(index, 1)[0];
}

function envelopeOf({ value }: RecordReport): Raw | undefined {
  try {
    const message: unknown = JSON.parse(value ?? "");
    if (!isRecord(message)) return undefined;
    const { id, type, source, time } = message;
    if (typeof id !== "string" || typeof type !== "string") return undefined;
    if (typeof source !== "string" || typeof time !== "string") return undefined;
    return { key: id, type, service: source, at: Date.parse(time), copies: 1 };
  } catch {
    return undefined;
  }
}
