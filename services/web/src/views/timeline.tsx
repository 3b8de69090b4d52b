import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fetchOrderRecords, hasSupervisor, type RecordReport } from "../api/supervisor.ts";
import { isOpen, type Order } from "../api/types.ts";
import { duration, exactTime } from "../parts/format.ts";
import { wordsOf } from "../parts/messages.ts";
import { merge, type TimelineStep } from "./timeline-steps.ts";
import { waitsFor } from "./waiting.ts";

const lanes = ["api-gateway", "order", "inventory", "notification"] as const;

/** An order's messages from service to service, as far as they are known, and what comes next. */
export function Timeline({ orderId, order }: { orderId: string; order: Order | undefined }) {
  const records = useRecords(orderId, order);
  if (order === undefined) return <p class="hint">It begins when the store has the order.</p>;
  const steps = merge(order, records);
  const slowest = Math.max(1, ...steps.map(({ tookMs }) => tookMs));
  return (
    <>
      <div class="lanes-head" aria-hidden="true">
        {lanes.map((lane) => (
          <span key={lane}>{lane === "api-gateway" ? "gateway" : lane}</span>
        ))}
      </div>
      <ol class="timeline">
        {steps.map((step) => (
          <StepRow key={step.key} step={step} slowest={slowest} />
        ))}
        {isOpen(order.status) && (
          <li class="step step-next">
            <Lanes from="" to={[]} next={nextService(order)} />
            <p class="step-says">{waitsFor(order)}</p>
          </li>
        )}
      </ol>
    </>
  );
}

/** The order's records as the broker has them, asked for again whenever its history has grown. */
function useRecords(orderId: string, order: Order | undefined): readonly RecordReport[] {
  const records = useSignal<readonly RecordReport[]>([]);
  const length = order?.history.length ?? 0;
  useEffect(() => {
    if (!hasSupervisor || length === 0) return;
    const ended = new AbortController();
    fetchOrderRecords(orderId, ended.signal).then(
      (found) => {
        records.value = found;
      },
      // The history alone is shown then: it is all that there is without a supervisor.
      () => {},
    );
    return () => ended.abort();
  }, [orderId, length]);
  return records.value;
}

function nextService({ status }: Order): string {
  return status === "accepted" ? "order" : "inventory";
}

function StepRow({ step, slowest }: { step: TimelineStep; slowest: number }) {
  const { name, topic, from, to, says } = wordsOf(step.type, step.service);
  return (
    <li class="step" data-type={step.type}>
      <Lanes from={from} to={to} />
      <p class="step-head">
        <strong>{name}</strong>
        {topic !== "" && <code>{topic}</code>}
        {step.copies > 1 && <span class="badge badge-idle">delivered {step.copies} ×</span>}
      </p>
      <p class="step-says">{says}</p>
      <p class="step-time">
        <time dateTime={new Date(step.at).toISOString()}>{exactTime(step.at)}</time>
        <span class="step-took">
          {step.first ? "begins" : `+ ${duration(step.tookMs)}`}
          <span
            class="bar"
            style={{ width: `${Math.round((step.tookMs / slowest) * 100)}%` }}
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

/** A dot in the lane of who says it, a line to the lanes of those who hear it. */
function Lanes({ from, to, next = "" }: { from: string; to: readonly string[]; next?: string }) {
  const at = (name: string) => (lanes as readonly string[]).indexOf(name);
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
