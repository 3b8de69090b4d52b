import type { InstanceFigures, ProcessReport } from "@distributed-messaging/supervisor/reports";
import { signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { hasSupervisor } from "../api/supervisor.ts";
import { count, plural } from "../parts/format.ts";
import { describeMessage, lastMessage } from "../parts/message-descriptions.ts";
import { ProcessButtons } from "../parts/process-buttons.tsx";
import { waitingForSignIn } from "../state/checkout.ts";
import { figures, instanceOf } from "../state/figures.ts";
import { type connection, shownConnection } from "../state/notifications.ts";
import { orders } from "../state/orders.ts";
import { pointedAt } from "../state/pointed-at.ts";
import {
  down,
  processes,
  processesAsked,
  serviceOf,
  stateWords,
  textsOf,
  titleOf,
} from "../state/processes.ts";
import { gatewayAnswers, UNREACHABLE } from "../state/products.ts";
import type { Route } from "../state/router.ts";
import { listenToTraffic } from "../state/traffic.ts";
import { GatewayStatus } from "./map/gateway-status.tsx";
import { BROKER, BROWSER, edgeOf, halfOf, type MapPlan, type Point, planMap } from "./map/geometry.ts";
import { MovementLayer, noMotion } from "./map/movement.ts";

/** Before the supervisor has answered. */
const expected = ["api-gateway", "order", "inventory", "notification"];
/** The services that the browser talks to. */
const toBrowser = ["api-gateway", "notification"];
/** The messages of a pile that are drawn. */
const MAX_PILE = 8;
const PILE_STEP = 9;

/** Of what is drawn in SVG between the browser and a service. */
const httpLine = (name: string) => `${BROWSER}-${name}`;

/** Whether the visitor wants the large map; undefined: large on the first view only. */
const wanted = signal<boolean | undefined>(undefined);

/** The parts of the store, live: their states, and the messages between them. */
export function StoreMap({ view }: { view: Route["view"] }) {
  if (!hasSupervisor) return <GatewayStatus />;
  const isLarge = wanted.value ?? view === "shop";
  return (
    <section class={`map ${isLarge ? "map-large" : "map-compact"}`} aria-label="The store's processes">
      {isLarge && (
        <p class="map-claim">
          A store of four services that talk only through a message broker. Stop any of them: no accepted
          order is lost, and every order counts once.
        </p>
      )}
      <Stage isLarge={isLarge} />
      <div class="map-foot">
        {/* Empty until the first answer, because a text would move when the parts appear. */}
        <p class="process-status-text">{processesAsked.value && sentence()}</p>
        <button
          type="button"
          class="small"
          aria-expanded={isLarge}
          title={isLarge ? undefined : "With buttons to stop, kill, pause and start each part"}
          onClick={() => {
            wanted.value = !isLarge;
          }}
        >
          {isLarge ? "Small map" : "Large map"}
        </button>
      </div>
      {isLarge && <LastMessage />}
    </section>
  );
}

function sentence(): string {
  if (processes.value === undefined) {
    return gatewayAnswers.value ? "The supervisor does not answer." : UNREACHABLE;
  }
  const [first, ...others] = down.value;
  if (first === undefined) return "Everything runs.";
  if (others.length === 0)
    return `${titleOf(first.name)} is ${stateWords[first.state]}. ${textsOf(first.name).effect}`;
  const names = down.value.map(({ name }) => name);
  const effect = names.includes("api-gateway")
    ? textsOf("api-gateway").effect
    : "Orders are accepted, and go on when these are back.";
  return `Not running: ${names.join(", ")}. ${effect}`;
}

function Stage({ isLarge }: { isLarge: boolean }) {
  const list = processes.value;
  const stage = useRef<HTMLDivElement>(null);
  const layer = useRef<SVGGElement>(null);
  // Until it is measured: close enough for the height to be right.
  const width = useSignal(document.documentElement.clientWidth - 40);
  const reported = list?.map(({ name }) => name).filter((name) => name !== BROKER) ?? [];
  const services = reported.length === 0 ? expected : reported;
  const plan = planMap(services, width.value, isLarge);
  const latest = useRef(plan);
  latest.current = plan;
  useLayoutEffect(() => {
    const element = stage.current;
    if (element === null) return;
    const measure = () => {
      width.value = element.clientWidth;
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [isLarge]);
  // Before the paint: the answer to an order may come before the map is painted again.
  useLayoutEffect(() => {
    if (layer.current === null) return;
    const lineOf = (from: string, to: string) => {
      const name = from === BROKER ? to : to === BROKER ? from : httpLine(from === BROWSER ? to : from);
      return stage.current?.querySelector(`[data-line="${name}"]`) ?? undefined;
    };
    const movement = new MovementLayer(layer.current, () => latest.current, lineOf);
    const stopListening = listenToTraffic(movement);
    return () => {
      stopListening();
      movement.stop();
    };
  }, []);
  const stateOf = (name: string) => list?.find((process) => process.name === name)?.state;
  return (
    <div class="map-stage" ref={stage} style={{ height: `${plan.height}px` }}>
      <svg aria-hidden="true" focusable="false">
        {services.map((name) => (
          <Line key={name} name={name} plan={plan} isCut={isCut(stateOf(name)) || isCut(stateOf(BROKER))} />
        ))}
        {(plan.centers.has(BROWSER) ? toBrowser : []).map((name) => (
          <line
            key={name}
            class={`map-line map-line-http ${isCut(stateOf(name)) ? "map-line-cut" : ""}`}
            data-line={httpLine(name)}
            {...ends(plan.centers.get(BROWSER), plan.centers.get(name))}
          />
        ))}
        <g ref={layer} />
      </svg>
      <ul>
        {plan.centers.has(BROWSER) && <BrowserPart plan={plan} isLarge={isLarge} />}
        {[...toBrowser, BROKER, ...services]
          .filter((name, index, all) => all.indexOf(name) === index && plan.centers.has(name))
          .map((name) => (
            <Part
              key={name}
              name={name}
              process={list?.find((process) => process.name === name)}
              plan={plan}
              isLarge={isLarge}
            />
          ))}
      </ul>
    </div>
  );
}

/** Whether nothing travels to and from a process in this state. */
function isCut(state: ProcessReport["state"] | undefined): boolean {
  return state !== undefined && state !== "ready";
}

function ends(from: Point = { x: 0, y: 0 }, to: Point = from) {
  return { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
}

/** The line between a service and the broker, and at its end the records that the service has not read. */
function Line({ name, plan, isCut: cut }: { name: string; plan: MapPlan; isCut: boolean }) {
  const from = plan.centers.get(BROKER);
  const to = plan.centers.get(name);
  if (from === undefined || to === undefined) return null;
  const edge = edgeOf(from, to, halfOf(BROKER, plan));
  const end = edgeOf(to, from, halfOf(name, plan));
  const room = Math.floor((Math.hypot(end.x - edge.x, end.y - edge.y) - PILE_STEP) / PILE_STEP);
  // Where there is room for one only, the number says it.
  const unread =
    room < 2
      ? 0
      : Math.min(
          MAX_PILE,
          room,
          instanceOf(name)?.leads === false ? 0 : (figures.value?.lag?.[serviceOf(name)] ?? 0),
        );
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const step = { x: ((to.x - from.x) / length) * PILE_STEP, y: ((to.y - from.y) / length) * PILE_STEP };
  return (
    <g>
      <line class={`map-line ${cut ? "map-line-cut" : ""}`} data-line={name} {...ends(from, to)} />
      {Array.from({ length: unread }, (_, index) => (
        <rect
          key={`${index}`}
          class="map-unread"
          x={edge.x + step.x * (index + 1.2) - 3}
          y={edge.y + step.y * (index + 1.2) - 5}
          width="6"
          height="10"
        />
      ))}
    </g>
  );
}

function boxOf(name: string, plan: MapPlan) {
  const { x, y } = plan.centers.get(name) ?? { x: 0, y: 0 };
  const half = halfOf(name, plan);
  return {
    transform: `translate(${x - half.x}px, ${y - half.y}px)`,
    width: `${2 * half.x}px`,
    height: `${2 * half.y}px`,
  };
}

interface PartProps {
  readonly name: string;
  /** Undefined before the first answer, and for a broker that the supervisor did not start. */
  readonly process: ProcessReport | undefined;
  readonly plan: MapPlan;
  readonly isLarge: boolean;
}

function Part({ name, process, plan, isLarge }: PartProps) {
  const state = process?.state;
  return (
    <li
      class={`map-part ${state === undefined ? "" : `state-${state}`} ${pointedAt.value.includes(name) ? "map-pointed" : ""}`}
      style={boxOf(name, plan)}
      data-process={name}
      data-state={state}
    >
      <p class="map-name">
        <span class="light" aria-hidden="true" />
        <strong>{name}</strong>
        <span class={isLarge ? "map-state" : "visually-hidden"}>
          {" "}
          {state === undefined ? "" : stateWords[state]}
        </span>
      </p>
      <Counts name={name} isLarge={isLarge} />
      {isLarge && process !== undefined && <ProcessButtons process={process} />}
    </li>
  );
}

const WAIT = "messages that wait in its outbox or at the broker";

/** Unsent messages in the outbox of a service, and those that it has not read. */
function Counts({ name, isLarge }: { name: string; isLarge: boolean }) {
  const report = figures.value;
  const lag = report?.lag;
  if (name === BROKER) {
    const unread =
      lag === null || lag === undefined ? undefined : Object.values(lag).reduce((sum, one) => sum + one, 0);
    return (
      <p class={isLarge ? "map-counts" : "visually-hidden"}>
        {unread === undefined ? "no answer" : `unread ${count(unread)}`}
      </p>
    );
  }
  const instance = instanceOf(name);
  if (instance !== undefined && instance.leads !== true) {
    return <p class={isLarge ? "map-counts" : "visually-hidden"}>{followerText(instance)}</p>;
  }
  const service = serviceOf(name);
  if (instance === undefined && service !== name) {
    // Where all work, the first one shows the figures of all together.
    return <p class={isLarge ? "map-counts" : "visually-hidden"}>counted at {service}</p>;
  }
  const outbox = report?.services.find((one) => one.name === service)?.outboxDepth;
  const unread = lag?.[service];
  const alarming = (outbox ?? 0) > 0 || (unread ?? 0) > 0;
  if (!isLarge) {
    return (
      <p class={alarming ? "map-badge" : "visually-hidden"} title={WAIT}>
        {count((outbox ?? 0) + (unread ?? 0))}
        <span class="visually-hidden"> {WAIT}</span>
      </p>
    );
  }
  return (
    <p class={`map-counts ${alarming ? "alarming" : ""}`}>
      {instance !== undefined && "leads · "}outbox {typeof outbox === "number" ? count(outbox) : "–"} · unread{" "}
      {unread === undefined ? "–" : count(unread)}
    </p>
  );
}

/** Of an instance that does not lead. */
function followerText({ leads, behind }: InstanceFigures): string {
  if (leads === null) return "no answer";
  return behind === 0 || behind === null ? "follows" : `follows, ${count(behind)} behind`;
}

const connectionWords: Readonly<Record<typeof connection.value, string>> = {
  off: "not signed in",
  connecting: "news: connecting",
  live: "news: live",
  polling: "news: by asking",
};

function BrowserPart({ plan, isLarge }: { plan: MapPlan; isLarge: boolean }) {
  const kept = orders.value.filter(({ status }) => status === "sending").length + waitingForSignIn.value;
  return (
    <li class="map-part map-browser" style={boxOf(BROWSER, plan)} data-part="browser">
      <p class="map-name">
        <strong>your browser</strong>
      </p>
      <p class={isLarge ? "map-counts" : "visually-hidden"}>
        {kept > 0 ? `${plural(kept, "order")} kept here` : connectionWords[shownConnection.value]}
      </p>
    </li>
  );
}

/** The last message that went through the broker, in words. */
function LastMessage() {
  const text = useSignal(
    noMotion.matches
      ? "A line has another colour while a message travels on it."
      : "Messages appear on the lines as they travel, slowed down so that they can be followed.",
  );
  useEffect(
    () =>
      listenToTraffic({
        onHop: () => {},
        onMovements: (movements) => {
          const last = lastMessage(movements);
          if (last === undefined) return;
          const { type, sender } = last;
          const { name, to } = describeMessage(type, sender);
          const receivers = to.length === 0 ? "" : ` for ${to.join(", ")}`;
          const stored = movements.reduce((sum, movement) => sum + movement.stored, 0);
          const more = stored > 1 ? ` and ${plural(stored - 1, "message")} more` : "";
          text.value = `Last: ${name} from ${sender}${receivers}${more}.`;
        },
      }),
    [],
  );
  return <p class="map-last hint">{text}</p>;
}
