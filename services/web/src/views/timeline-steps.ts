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
 * The steps that the gateway tells of, and the messages between other services that only the broker has; each once,
 * in the order of their times.
 */
export function merge({ history }: Order, records: readonly RecordReport[]): TimelineStep[] {
  const messages = new Map<string, Raw>();
  for (const record of records) {
    const message = envelopeOf(record);
    if (message === undefined) continue;
    const copies = (messages.get(message.key)?.copies ?? 0) + 1;
    messages.set(message.key, { ...message, copies });
  }
  const found = [...messages.values()];
  const told = history
    .map(({ at, type, service }, index) => ({
      key: `${index}`,
      type,
      service,
      at: Date.parse(at),
      copies: 1,
    }))
    // Asked for a moment apart: the same step has the same type, and all but the same time.
    .filter((step) => !take(found, step));
  const all = [...messages.values(), ...told].sort((one, other) => one.at - other.at);
  return all.map((step, index) => {
    const before = all[index - 1];
    return { ...step, first: before === undefined, tookMs: before === undefined ? 0 : step.at - before.at };
  });
}

/** Removes the record that a step of the history tells of. @returns whether there was one */
function take(found: Raw[], step: Raw): boolean {
  const index = found.findIndex(({ type }) => type === step.type);
  if (index < 0) return false;
  found.splice(index, 1);
  return true;
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
