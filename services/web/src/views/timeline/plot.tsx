import { useRef } from "preact/hooks";
import { isOpen, type Order } from "../../api/types.ts";
import { describeMessage, services } from "../../parts/message-descriptions.ts";
import { noMotion } from "../map/movement.ts";
import { axisOf } from "./axis.ts";
import { BROKER_LANE, type Travel, type Wait } from "./messages.ts";

/** How long the replay takes, whatever the time of the order. */
const REPLAY_MS = 5_000;
/** The shortest axis: that of an order without a wait. */
const LEAST_MS = 10;
/** The width of a mark, as a share of the axis on a phone. */
const MARK_SHARE = 0.05;

interface PlotProps {
  readonly order: Order;
  readonly travels: readonly Travel[];
  readonly waits: readonly Wait[];
  readonly now: number;
}

/**
 * The order on a time axis: a lane for the broker and for each service, a bar for each wait, an arrow for each message from
 * its sender to the broker and on to its receivers. The list of the messages says the same in words.
 */
export function Plot({ order, travels, waits, now }: PlotProps) {
  const plot = useRef<HTMLDivElement>(null);
  const lanes = lanesOf(travels);
  const start = Math.min(...travels.map(({ message }) => message.at));
  const latest = Math.max(
    ...travels.flatMap(({ message, storedAt, handledAt }) => [message.at, storedAt ?? 0, handledAt ?? 0]),
    isOpen(order.status) ? now : 0,
  );
  const axis = axisOf(Math.max(LEAST_MS, latest - start));
  const left = (at: number) => `${Math.min(100, Math.max(0, ((at - start) / axis.end) * 100))}%`;
  const arrows = travels.flatMap(arrowsOf);
  if (travels.length === 0) return null;
  return (
    <figure class="plot" aria-label="The order on a time axis; the list says the same in words">
      <div class="plot-area" aria-hidden="true" style={{ "--lanes": lanes.length }}>
        {lanes.map((lane, index) => (
          <p
            key={lane}
            class={`plot-lane ${lane === BROKER_LANE ? "plot-broker" : ""}`}
            style={{ "--lane": index }}
          >
            <span>{lane}</span>
          </p>
        ))}
        <div class="plot-times" ref={plot}>
          {axis.ticks.map(({ at, label }) => (
            <span key={label} class="plot-tick" style={{ left: left(start + at) }}>
              <span>{label}</span>
            </span>
          ))}
          {/* A wait for stock begins with one in the outbox, which is drawn over it. */}
          {waits.toSorted(stockFirst).map(({ key, kind, lane, from, to }) => (
            <span
              key={`${kind} ${key}`}
              class={`plot-wait plot-wait-${kind} ${to === undefined ? "plot-wait-open" : ""}`}
              style={{
                "--lane": lanes.indexOf(lane),
                left: left(from),
                width: `calc(${left(to ?? now)} - ${left(from)})`,
              }}
            />
          ))}
          {arrows.map(({ key, kind, at, from, to }) => (
            <Arrow key={key} kind={kind} left={left(at)} from={lanes.indexOf(from)} to={lanes.indexOf(to)} />
          ))}
          {travels.map(({ message }, index) => (
            <button
              key={message.key}
              type="button"
              tabIndex={-1}
              class="plot-mark"
              style={{
                "--lane": lanes.indexOf(senderOf(message)),
                "--beside": marksBefore(travels, index, axis.end * MARK_SHARE),
                left: left(message.at),
              }}
              onClick={() => openMessage(message.key)}
            >
              {index + 1}
            </button>
          ))}
        </div>
      </div>
      <figcaption>
        <ul class="plot-legend" aria-hidden="true">
          <li class="plot-key-sent">sent</li>
          {arrows.some(({ kind }) => kind === "handled") && <li class="plot-key-handled">handled</li>}
          {arrows.some(({ kind }) => kind === "also") && <li class="plot-key-also">also sent to</li>}
          <li class="plot-key-outbox">in the outbox</li>
          <li class="plot-key-broker">at the broker</li>
          {waits.some(({ kind }) => kind === "stock") && <li class="plot-key-stock">waits for stock</li>}
        </ul>
        {!noMotion.matches && (
          <button type="button" class="small" onClick={() => replay(plot.current)}>
            Replay slowly
          </button>
        )}
      </figcaption>
    </figure>
  );
}

/** The services in the order in which an order reaches them, with the broker in the middle; then other senders. */
function lanesOf(travels: readonly Travel[]): string[] {
  const middle = Math.ceil(services.length / 2);
  return [
    ...new Set([
      ...services.slice(0, middle),
      BROKER_LANE,
      ...services.slice(middle),
      ...travels.map(({ message }) => senderOf(message)),
    ]),
  ];
}

function stockFirst(one: Wait, other: Wait): number {
  return Number(other.kind === "stock") - Number(one.kind === "stock");
}

/** The marks of the same lane that a mark would cover. @param near so many milliseconds before it */
function marksBefore(travels: readonly Travel[], index: number, near: number): number {
  const message = travels[index]?.message;
  if (message === undefined) return 0;
  return travels
    .slice(0, index)
    .filter(({ message: other }) => senderOf(other) === senderOf(message) && message.at - other.at < near)
    .length;
}

function senderOf({ type, service }: Travel["message"]): string {
  return describeMessage(type, service).from;
}

interface ArrowPlan {
  readonly key: string;
  readonly kind: "sent" | "handled" | "also";
  readonly at: number;
  readonly from: string;
  readonly to: string;
}

/** To the broker, on to the receiver when it handled the message, and to the others, of which that time is not known. */
function arrowsOf({ message, storedAt, receiver, handledAt, isWaiting }: Travel): ArrowPlan[] {
  if (storedAt === undefined) return [];
  const { key } = message;
  const arrows: ArrowPlan[] = [
    { key: `sent ${key}`, kind: "sent", at: storedAt, from: senderOf(message), to: BROKER_LANE },
  ];
  for (const to of describeMessage(message.type, message.service).to) {
    if (to === receiver && handledAt !== undefined) {
      arrows.push({ key: `to ${to} ${key}`, kind: "handled", at: handledAt, from: BROKER_LANE, to });
    } else if (to !== receiver || !isWaiting) {
      // Below the others.
      arrows.unshift({ key: `to ${to} ${key}`, kind: "also", at: storedAt, from: BROKER_LANE, to });
    }
  }
  return arrows;
}

interface ArrowProps {
  readonly kind: ArrowPlan["kind"];
  readonly left: string;
  readonly from: number;
  readonly to: number;
}

function Arrow({ kind, left, from, to }: ArrowProps) {
  if (from === to || from < 0 || to < 0) return null;
  return (
    <span
      class={`plot-arrow plot-arrow-${kind} ${from < to ? "plot-down" : "plot-up"}`}
      style={{ left, "--lane": Math.min(from, to), "--span": Math.abs(to - from) }}
    />
  );
}

/** Opens a message in the list. */
function openMessage(key: string): void {
  const details = document.getElementById(`message-${key}`);
  if (details instanceof HTMLDetailsElement) details.open = true;
  details?.scrollIntoView({ block: "nearest" });
  details?.querySelector("summary")?.focus();
}

/** Uncovers the picture from left to right. */
function replay(plot: HTMLElement | null): void {
  for (const running of plot?.getAnimations() ?? []) running.cancel();
  plot?.animate(
    [{ clipPath: "inset(-1rem 100% -2rem -1rem)" }, { clipPath: "inset(-1rem -1rem -2rem -1rem)" }],
    {
      duration: REPLAY_MS,
    },
  );
}
