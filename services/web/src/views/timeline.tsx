import type { RecordReport } from "@distributed-messaging/supervisor/reports";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchOrderRecords, hasSupervisor } from "../api/supervisor.ts";
import { isOpen, type Order } from "../api/types.ts";
import { duration, exactTime } from "../parts/format.ts";
import { describeMessage, services } from "../parts/message-descriptions.ts";
import { describeStatus } from "../parts/order-status.tsx";
import { type TimelineMessage, timelineOf } from "./timeline-messages.ts";

/** The messages of an order from service to service, and its next step. */
export function Timeline({ order }: { order: Order | undefined }) {
  const records = useRecords(order);
  if (order === undefined) return <p class="hint">It begins when the store has the order.</p>;
  const messages = timelineOf(order, records);
  const slowest = Math.max(1, ...messages.map(({ tookMs }) => tookMs));
  const senders = messages.map(({ type, service }) => describeMessage(type, service).from);
  const lanes = [...new Set([...services, ...senders])];
  return (
    <>
      <div class="lanes-head" aria-hidden="true">
        {lanes.map((lane) => (
          <span key={lane}>{lane === "api-gateway" ? "gateway" : lane}</span>
        ))}
      </div>
      <ol class="timeline">
        {messages.map((message) => (
          <MessageRow key={message.key} message={message} lanes={lanes} slowest={slowest} />
        ))}
        {isOpen(order.status) && (
          <li class="step step-next">
            <Lanes lanes={lanes} from="" to={[]} next={nextService(order)} />
            <p class="step-text">{describeStatus(order)}</p>
          </li>
        )}
      </ol>
    </>
  );
}

/** The order's records from the broker, loaded again whenever its history has grown. */
function useRecords(order: Order | undefined): readonly RecordReport[] {
  const records = useSignal<readonly RecordReport[]>([]);
  const length = order?.history.length ?? 0;
  useEffect(() => {
    if (!hasSupervisor || order === undefined || length === 0) return;
    const unmounted = new AbortController();
    fetchOrderRecords(order, unmounted.signal).then(
      (found) => {
        records.value = found;
      },
      // The timeline then shows the history only, as without a supervisor.
      () => {},
    );
    return () => unmounted.abort();
  }, [order?.orderId, length]);
  return records.value;
}

function nextService({ status }: Order): string {
  return status === "accepted" ? "order" : "inventory";
}

interface MessageRowProps {
  readonly message: TimelineMessage;
  readonly lanes: readonly string[];
  readonly slowest: number;
}

function MessageRow({ message, lanes, slowest }: MessageRowProps) {
  const { name, topic, from, to, text } = describeMessage(message.type, message.service);
  return (
    <li class="step" data-type={message.type}>
      <Lanes lanes={lanes} from={from} to={to} />
      <p class="step-head">
        <strong>{name}</strong>
        {topic !== "" && <code>{topic}</code>}
        {message.copies > 1 && <span class="badge badge-idle">delivered {message.copies} ×</span>}
      </p>
      <p class="step-text">{text}</p>
      <p class="step-time">
        <time dateTime={new Date(message.at).toISOString()}>{exactTime(message.at)}</time>
        <span class="step-took">
          {message.first ? "begins" : `+ ${duration(message.tookMs)}`}
          <span
            class="bar"
            style={{ width: `${Math.round((message.tookMs / slowest) * 100)}%` }}
            aria-hidden="true"
          />
        </span>
        <span class="step-route visually-hidden">
          from {from}
          {to.length > 0 && ` to ${to.join(", ")}`}
        </span>
      </p>
    </li>
  );
}

interface LanesProps {
  readonly lanes: readonly string[];
  readonly from: string;
  readonly to: readonly string[];
  readonly next?: string;
}

/** A dot in the lane of the sender, and a line to the lanes of the receivers. */
function Lanes({ lanes, from, to, next = "" }: LanesProps) {
  const at = (name: string) => lanes.indexOf(name);
  const touched = [from, ...to].map(at).filter((index) => index >= 0);
  const [first, last] = [Math.min(...touched), Math.max(...touched)];
  return (
    <span class="lanes" aria-hidden="true">
      {lanes.map((lane, index) => {
        const role = lane === from ? "from" : to.includes(lane) ? "to" : lane === next ? "next" : "";
        const passed = index >= first && index < last;
        return <span key={lane} class={`lane ${role && `lane-${role}`} ${passed ? "lane-line" : ""}`} />;
      })}
    </span>
  );
}
