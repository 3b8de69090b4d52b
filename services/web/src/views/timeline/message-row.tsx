import { escapeInvisible } from "@distributed-messaging/messaging/visible-text";
import { duration, exactTime } from "../../parts/format.ts";
import { describeMessage } from "../../parts/message-descriptions.ts";
import type { Travel, Wait } from "./messages.ts";

interface MessageRowProps {
  /** From 1. */
  readonly number: number;
  readonly travels: readonly Travel[];
  readonly waits: readonly Wait[];
  readonly now: number;
}

/** One message in words. It opens where its record is known. */
export function MessageRow({ number, travels, waits, now }: MessageRowProps) {
  const travel = travels[number - 1];
  if (travel === undefined) return null;
  const { message } = travel;
  const { name, topic, from, to, text } = describeMessage(message.type, message.service);
  const start = travels[0]?.message.at ?? message.at;
  const head = (
    <>
      <span class="step-number" aria-hidden="true">
        {number}
      </span>
      <strong>{name}</strong>
      {topic !== "" && <code>{topic}</code>}
      {message.records.length > 1 && <span class="badge badge-idle">stored {message.records.length} ×</span>}
      <time dateTime={new Date(message.at).toISOString()}>
        {number === 1 ? exactTime(message.at) : `+ ${duration(Math.max(0, message.at - start))}`}
      </time>
    </>
  );
  return (
    <li class="step" data-type={message.type}>
      {message.records.length === 0 ? (
        <p class="step-head">{head}</p>
      ) : (
        <details id={`message-${message.key}`}>
          <summary class="step-head">{head}</summary>
          <MessageDetails travel={travel} travels={travels} />
        </details>
      )}
      <p class="step-text">{text}</p>
      <p class="step-route">
        <span>
          {from} → {to.length === 0 ? "nobody known here" : to.join(", ")}
        </span>
        {waits.map((wait) => (
          <span key={wait.kind} class={`step-wait plot-key-${wait.kind}`}>
            {describeWait(wait, travel, now)}
          </span>
        ))}
      </p>
    </li>
  );
}

function describeWait({ kind, from, to }: Wait, { receiver }: Travel, now: number): string {
  const time = duration(Math.max(0, (to ?? now) - from));
  const soFar = to === undefined ? " so far" : "";
  switch (kind) {
    case "outbox":
      return `${time} in the outbox${soFar}`;
    case "broker":
      return to === undefined
        ? `${time} at the broker so far: not handled by ${receiver}`
        : `${time} at the broker, then handled by ${receiver}`;
    case "stock":
      return `${time} waiting for stock${soFar}`;
    default:
      return kind satisfies never;
  }
}

interface MessageDetailsProps {
  readonly travel: Travel;
  readonly travels: readonly Travel[];
}

/** The record and the envelope (CloudEvents 1.0) of a message, and its data. */
function MessageDetails({ travel: { message }, travels }: MessageDetailsProps) {
  const { records, envelope = {} } = message;
  const { data, traceparent, causationid, ...attributes } = envelope;
  const [first] = records;
  return (
    <div class="envelope">
      <dl>
        <Fact name="partition and offset" value={records.map(placeOf).join(", ")} />
        <Fact name="key" value={first?.key ?? "none"} />
        <Fact name="stored" value={first === undefined ? "" : exactTime(first.at)} />
        <Fact name="caused by" value={describeCause(message.key, causationid, travels)} />
        {typeof traceparent === "string" && <Fact name="trace" value={traceIdIn(traceparent)} />}
        {Object.entries(attributes).map(([name, value]) => (
          <Fact key={name} name={name} value={typeof value === "string" ? value : JSON.stringify(value)} />
        ))}
      </dl>
      <pre>{escapeInvisible(JSON.stringify(data, null, 2) ?? "no data")}</pre>
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{escapeInvisible(value)}</dd>
    </div>
  );
}

function placeOf({ partition, offset }: { partition: number; offset: number }): string {
  return `${partition} / ${offset}`;
}

function describeCause(id: string, causationid: unknown, travels: readonly Travel[]): string {
  if (causationid === id) return "nothing before it";
  const index = travels.findIndex(({ message }) => message.key === causationid);
  const cause = travels[index]?.message;
  if (cause === undefined) return `${String(causationid)}, no message of this order`;
  return `${index + 1} ${describeMessage(cause.type, cause.service).name}`;
}

/** The trace id of a `traceparent` (W3C Trace Context, section 3.2.2.3). */
function traceIdIn(traceparent: string): string {
  return traceparent.split("-")[1] ?? traceparent;
}
