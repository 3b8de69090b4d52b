import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchOrderRecords, hasSupervisor } from "../api/supervisor.ts";
import { isOpen, type Order } from "../api/types.ts";
import { isDown } from "../state/processes.ts";
import { MessageRow } from "./timeline/message-row.tsx";
import { BROKER_LANE, timelineOf, travelsOf, waitsOf } from "./timeline/messages.ts";
import { Plot } from "./timeline/plot.tsx";

/** How often records are looked for that are still missing, and how long an order's last ones may take. */
const RECORDS_MS = 1_000;
/** How often the times of what waits are drawn anew. */
const TICK_MS = 250;

/** How an order travelled: on a time axis, and message by message. */
export function Timeline({ order }: { order: Order | undefined }) {
  const records = useRecords(order);
  const now = useNow(order !== undefined && isOpen(order.status));
  if (order === undefined) return <p class="hint">Its way begins when the store has the order.</p>;
  const messages = timelineOf(order, records ?? []);
  // While the broker is down, what it was not seen to have is in an outbox.
  const travels = travelsOf(order, messages, records !== undefined || isDown(BROKER_LANE));
  const waits = waitsOf(order, travels);
  return (
    <>
      <Plot order={order} travels={travels} waits={waits} now={now} />
      <ol class="timeline">
        {travels.map((travel, index) => (
          <MessageRow
            key={travel.message.key}
            number={index + 1}
            travels={travels}
            waits={waits.filter(({ key }) => key === travel.message.key)}
            now={now}
          />
        ))}
      </ol>
    </>
  );
}

/**
 * The order's records from the broker; undefined until it has answered. They are loaded when the history has grown, again
 * while that brings new ones, and while a message of an open order has none.
 */
function useRecords(order: Order | undefined): readonly RecordReport[] | undefined {
  const loaded = useSignal<
    { readonly orderId: string; readonly records: readonly RecordReport[] } | undefined
  >(undefined);
  const length = order?.history.length ?? 0;
  const isAwaited = order !== undefined && isOpen(order.status);
  useEffect(() => {
    if (!hasSupervisor || order === undefined || length === 0) return;
    const unmounted = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      const before = loaded.peek()?.records.length;
      let isComplete = false;
      try {
        const found = await fetchOrderRecords(order, unmounted.signal);
        if (unmounted.signal.aborted) return;
        loaded.value = { orderId: order.orderId, records: found };
        const isKnown = timelineOf(order, found).every((message) => message.records.length > 0);
        isComplete = found.length === before && (isKnown || !isAwaited);
      } catch {
        // The timeline then shows the history only, as without a supervisor.
      }
      if (!unmounted.signal.aborted && !isComplete) timer = setTimeout(load, RECORDS_MS);
    };
    void load();
    return () => {
      unmounted.abort();
      clearTimeout(timer);
    };
  }, [order?.orderId, length, isAwaited]);
  return loaded.value?.orderId === order?.orderId ? loaded.value?.records : undefined;
}

/** The time, in milliseconds since the epoch; while `isRunning` it goes on. */
function useNow(isRunning: boolean): number {
  const now = useSignal(Date.now());
  useEffect(() => {
    if (!isRunning) return;
    const timer = setInterval(() => {
      if (!document.hidden) now.value = Date.now();
    }, TICK_MS);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now.value;
}
