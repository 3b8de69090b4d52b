import type { Movement } from "@distributed-messaging/supervisor/reports";
import { describeMessage } from "../../parts/message-descriptions.ts";
import type { Hop } from "../../state/traffic.ts";
import { BROKER, BROWSER, edgeOf, halfOf, type MapPlan } from "./geometry.ts";

/** How long a message is on its way on the map: real ones take milliseconds. */
const HOP_MS = 900;
/** More are not drawn at the same time, and not more than this of one topic. */
const MAX_DOTS = 60;
const MAX_OF_TOPIC = 8;
/** Dots have names while there are few of them. */
const MAX_NAMED = 8;
/** Names are written only on a map with large parts. */
const NAMED_FROM = 40;
/** No message starts later than this after it was reported. */
const MAX_DELAY_MS = 8_000;
/** A notification comes before the next report of what went through the broker. */
const REPORT_MS = 700;
const SVG = "http://www.w3.org/2000/svg";

export const noMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Draws messages as they move. Messages of one key move one after the other, in the order in which the broker stored
 * them. A message goes on from the broker to a group when the group has committed that it handled one of the topic: of
 * a service that is down, it stays at the broker.
 */
export class MovementLayer {
  readonly #layer: SVGGElement;
  readonly #plan: () => MapPlan;
  readonly #lineOf: (from: string, to: string) => Element | undefined;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** By topic and group: handled messages that were not drawn yet. */
  readonly #handled = new Map<string, number>();
  /** By topic: drawn messages on their way to the broker. */
  readonly #arriving = new Map<string, number>();
  /** By key: when its last message has left the broker. */
  readonly #busyUntil = new Map<string, number>();
  #dots = 0;

  /** @param lineOf the line between two parts */
  constructor(
    layer: SVGGElement,
    plan: () => MapPlan,
    lineOf: (from: string, to: string) => Element | undefined,
  ) {
    this.#layer = layer;
    this.#plan = plan;
    this.#lineOf = lineOf;
  }

  readonly onMovements = (movements: readonly Movement[]): void => {
    const now = performance.now();
    for (const [key, until] of this.#busyUntil) if (until < now) this.#busyUntil.delete(key);
    for (const { topic, read } of movements) {
      for (const [group, count] of Object.entries(read)) {
        const waiting = pair(topic, group);
        this.#handled.set(waiting, Math.min(MAX_OF_TOPIC, (this.#handled.get(waiting) ?? 0) + count));
      }
    }
    const sent = movements.flatMap(({ topic, sample }) =>
      sample.slice(-MAX_OF_TOPIC).map((message) => ({ ...message, topic })),
    );
    for (const { topic, key, type, sender } of sent.sort((one, other) => one.at - other.at)) {
      if (sender === null) continue;
      const message = describeMessage(type ?? "", sender).name;
      this.#send({ from: sender, to: BROKER, message }, topic, key ?? topic);
    }
    for (const { topic, read } of movements) {
      for (const group of Object.keys(read))
        if ((this.#arriving.get(topic) ?? 0) === 0) this.#deliverAll(topic, group);
    }
  };

  readonly onHop = (hop: Hop): void => {
    if (hop.to !== BROWSER) {
      this.#draw(hop);
      return;
    }
    const lastMs = Math.max(0, ...this.#busyUntil.values()) - performance.now();
    this.#later(Math.min(MAX_DELAY_MS, Math.max(REPORT_MS, lastMs)), () => this.#draw(hop));
  };

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#layer.replaceChildren();
  }

  #send(hop: Hop, topic: string, key: string): void {
    const now = performance.now();
    const start = Math.max(now, this.#busyUntil.get(key) ?? 0);
    if (start - now > MAX_DELAY_MS) return;
    this.#busyUntil.set(key, start + 2 * HOP_MS);
    this.#arriving.set(topic, (this.#arriving.get(topic) ?? 0) + 1);
    this.#later(start - now, () => this.#draw(hop));
    this.#later(start - now + HOP_MS, () => {
      this.#arriving.set(topic, (this.#arriving.get(topic) ?? 1) - 1);
      for (const waiting of this.#handled.keys()) {
        const [of, group = ""] = waiting.split(" ");
        if (of !== topic) continue;
        if (this.#takeHandled(topic, group)) this.#draw({ from: BROKER, to: group, message: hop.message });
      }
    });
  }

  /** What a group has handled of messages that arrived before. */
  #deliverAll(topic: string, group: string): void {
    let delayMs = 0;
    while (this.#takeHandled(topic, group)) {
      this.#later(delayMs, () => this.#draw({ from: BROKER, to: group, message: topic }));
      delayMs += HOP_MS / MAX_OF_TOPIC;
    }
  }

  #takeHandled(topic: string, group: string): boolean {
    const waiting = pair(topic, group);
    const left = this.#handled.get(waiting) ?? 0;
    if (left > 0) this.#handled.set(waiting, left - 1);
    return left > 0;
  }

  #later(delayMs: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, delayMs);
    this.#timers.add(timer);
  }

  #draw({ from, to, message }: Hop): void {
    const plan = this.#plan();
    const { centers, half } = plan;
    const start = centers.get(from);
    const end = centers.get(to);
    if (start === undefined || end === undefined || document.hidden) return;
    if (noMotion.matches) {
      this.#mark(from, to);
      return;
    }
    if (this.#dots >= MAX_DOTS) return;
    const dot = document.createElementNS(SVG, "g");
    dot.setAttribute("class", "map-dot");
    dot.dataset.from = from;
    dot.dataset.to = to;
    dot.dataset.message = message;
    const circle = document.createElementNS(SVG, "circle");
    circle.setAttribute("r", half.y < NAMED_FROM ? "4" : "6");
    dot.append(circle);
    if (this.#dots < MAX_NAMED && half.y >= NAMED_FROM) {
      const name = document.createElementNS(SVG, "text");
      name.textContent = message;
      name.setAttribute("y", "-12");
      dot.append(name);
    }
    this.#layer.append(dot);
    this.#dots += 1;
    const at = ({ x, y }: { x: number; y: number }) => ({ transform: `translate(${x}px, ${y}px)` });
    const animation = dot.animate(
      [at(edgeOf(start, end, halfOf(from, plan))), at(edgeOf(end, start, halfOf(to, plan)))],
      {
        duration: HOP_MS,
        easing: "ease-in-out",
        fill: "both",
      },
    );
    const remove = () => {
      this.#dots -= 1;
      dot.remove();
    };
    animation.finished.then(remove, remove);
  }

  /** Without motion the line has another colour for a while. */
  #mark(from: string, to: string): void {
    const line = this.#lineOf(from, to);
    if (line === undefined) return;
    line.classList.add("map-line-used");
    this.#later(HOP_MS, () => line.classList.remove("map-line-used"));
  }
}

function pair(topic: string, group: string): string {
  return `${topic} ${group}`;
}
