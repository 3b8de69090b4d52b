import type { FiguresReport } from "@distributed-messaging/supervisor/reports";
import { computed, effect, signal } from "@preact/signals";
import { listed, plural } from "../parts/format.ts";
import { deadLetters, figures } from "./figures.ts";
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
  const late = namesOfLate(report, unread.value);
  return [
    ...down.value.map(({ name, state }) => ({ text: `${name} is ${stateWords[state]}`, href: hrefOf.admin })),
    ...(deadLetters.value === 0
      ? []
      : [{ text: plural(deadLetters.value, "dead letter"), href: hrefOf.deadLetters }]),
    ...report.services.flatMap(({ name, problems }) =>
      problems.map((text) => ({ text: `${name}: ${text}`, href: hrefOf.admin })),
    ),
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
