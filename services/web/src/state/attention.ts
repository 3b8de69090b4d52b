import type { FiguresReport, ServiceFigures } from "@distributed-messaging/supervisor/reports";
import { computed, effect, signal } from "@preact/signals";
import { listed, plural } from "../parts/format.ts";
import { figures } from "./figures.ts";
import { down, processes, stateWords } from "./processes.ts";
import { hrefOf } from "./router.ts";
import { type Unread, unreadAfter } from "./unread.ts";

/** A message that waits longer than this, in an outbox or at the broker, is late. In seconds. */
export const LATE_S = 10;

interface Need {
  readonly text: string;
  /** Where it is shown, and acted on. */
  readonly href: string;
}

const unread = signal<ReadonlyMap<string, Unread>>(new Map());

effect(() => {
  const report = figures.value;
  if (report !== undefined) unread.value = unreadAfter(unread.peek(), report);
});

/** What an operator should look at; undefined while that is not known. */
export const needs = computed<readonly Need[] | undefined>(() => {
  const report = figures.value;
  if (report === undefined || processes.value === undefined) return undefined;
  const sumOf = (read: (service: ServiceFigures) => number | null) =>
    report.services.reduce((sum, service) => sum + (read(service) ?? 0), 0);
  const late = namesOfLate(report, unread.value);
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

function namesOfLate({ at, services }: FiguresReport, since: ReadonlyMap<string, Unread>): string[] {
  return services
    .filter(({ name, outboxOldestAgeS }) => {
      const readS = (at - (since.get(name)?.at ?? at)) / 1_000;
      return Math.max(outboxOldestAgeS ?? 0, readS) > LATE_S;
    })
    .map(({ name }) => name);
}
