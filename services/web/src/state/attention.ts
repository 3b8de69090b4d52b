import type { FiguresReport, ServiceFigures } from "@distributed-messaging/supervisor/reports";
import { computed, effect, signal } from "@preact/signals";
import { listed, plural } from "../parts/format.ts";
import { figures } from "./figures.ts";
import { down, processes, stateWords } from "./processes.ts";
import { hrefOf } from "./router.ts";

/** A message that waits longer than this, in an outbox or at the broker, is late. In seconds. */
export const LATE_S = 10;

interface Need {
  readonly text: string;
  /** Where it is shown, and acted on. */
  readonly href: string;
}

/** When each service was first seen with unread messages, in milliseconds since the epoch; read to the end, it is gone. */
const unreadSince = signal<ReadonlyMap<string, number>>(new Map());

effect(() => {
  const report = figures.value;
  if (report?.lag === undefined || report.lag === null) return;
  const before = unreadSince.peek();
  const unread = Object.entries(report.lag).filter(([, count]) => count > 0);
  unreadSince.value = new Map(unread.map(([name]) => [name, before.get(name) ?? report.at]));
});

/** What an operator should look at; undefined while that is not known. */
export const needs = computed<readonly Need[] | undefined>(() => {
  const report = figures.value;
  if (report === undefined || processes.value === undefined) return undefined;
  const sumOf = (read: (service: ServiceFigures) => number | null) =>
    report.services.reduce((sum, service) => sum + (read(service) ?? 0), 0);
  const late = namesOfLate(report, unreadSince.value);
  const [first, ...others] = down.value;
  const counted: readonly (readonly [number, string, string])[] = [
    [sumOf(({ deadLetters }) => deadLetters), "dead letter", hrefOf.deadLetters],
    [sumOf(({ outboxParked }) => outboxParked), "parked message", hrefOf.admin],
    [sumOf(({ partitionsStopped }) => partitionsStopped), "stopped partition", hrefOf.admin],
  ];
  return [
    ...(first === undefined
      ? []
      : [
          {
            text:
              others.length === 0
                ? `${first.name} is ${stateWords[first.state]}`
                : `${plural(down.value.length, "process", "processes")} down`,
            href: hrefOf.admin,
          },
        ]),
    ...counted.flatMap(([value, what, href]) => (value === 0 ? [] : [{ text: plural(value, what), href }])),
    ...(late.length === 0 ? [] : [{ text: `late: ${listed(late)}`, href: hrefOf.admin }]),
  ];
});

function namesOfLate({ at, services }: FiguresReport, unread: ReadonlyMap<string, number>): string[] {
  return services
    .filter(({ name, outboxOldestAgeS }) => {
      const readS = (at - (unread.get(name) ?? at)) / 1_000;
      return Math.max(outboxOldestAgeS ?? 0, readS) > LATE_S;
    })
    .map(({ name }) => name);
}
