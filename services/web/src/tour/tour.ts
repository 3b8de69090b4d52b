import { signal } from "@preact/signals";
import { type Lease, takeLease } from "../api/lease.ts";
import { messageOf } from "../api/request.ts";
import { signInMode } from "../settings.ts";
import { announce } from "../state/announcer.ts";
import { pointedAt } from "../state/pointed-at.ts";
import { expiredCustomer, newTourCustomer, session, signIn } from "../state/session.ts";
import type { Pace } from "./pace.ts";
import { restoreAll, Scenario, untilAllRun } from "./scenario.ts";
import { code, type Source, tests } from "./sources.ts";
import type { Evidence, Journal, ShownStep, Step } from "./step.ts";
import { keepChanges, undoChanges, whileNothingIsUndone } from "./undo.ts";
import { ExpectationFailed, until } from "./until.ts";

/** The last demonstration of a promise. */
export interface Demonstration {
  /** `ended`: by the visitor. `restoring`: it is over, and what it stopped is brought back. */
  readonly state: "idle" | "running" | "restoring" | "held" | "broken" | "ended";
  readonly steps: readonly ShownStep[];
  /** The observed result. */
  readonly verdict?: string;
}

/** A promise of the store, and a scenario that demonstrates it. */
export interface TourPromise {
  readonly number: number;
  readonly title: string;
  readonly text: string;
  /** What the demonstration does, in a few words. */
  readonly button: string;
  /** The test that holds it: the first one that the README names. */
  readonly test: Source;
  /** All that `demonstrate` performs, in this order. */
  readonly steps: readonly Step[];
  /** @returns the observed result @throws Error when the promise is broken or the scenario cannot run */
  readonly demonstrate: (scenario: Scenario) => Promise<string>;
}

/** The visitor has ended the demonstration. */
class Ended extends Error {
  override readonly name = "Ended";
}

const everythingRuns: Step = {
  text: "See that everything runs",
  look: "Every part of the map is running, and nothing waits.",
  parts: [],
  code: code.supervision,
  test: tests.bringBack,
};

const idle: Demonstration = { state: "idle", steps: [] };
const demonstrations = new Map<number, ReturnType<typeof signal<Demonstration>>>();

/** The number of the promise that is being demonstrated. One at a time, because each stops processes. */
export const running = signal<number | undefined>(undefined);
let current: AbortController | undefined;

export function demonstrationOf(number: number) {
  let found = demonstrations.get(number);
  if (found === undefined) {
    found = signal<Demonstration>(idle);
    demonstrations.set(number, found);
  }
  return found;
}

/** Counts what the visitor asked for: a replay that was ended before it began does not begin. */
let wishes = 0;

/** Ends the demonstration, if one runs: what it has stopped or changed is put back. */
export function endDemonstration(): void {
  wishes += 1;
  current?.abort(new Ended("You ended it."));
}

let finished: Promise<void> = Promise.resolve();

/**
 * Runs the scenario of a promise, unless one runs. Afterwards every process runs, whatever the result. Orders stay if it
 * came to its end; otherwise they are cancelled.
 */
export function demonstrate(promise: TourPromise, pace: Pace): void {
  if (running.peek() !== undefined) return;
  running.value = promise.number;
  finished = whileNothingIsUndone(() => run(promise, pace));
}

/** Ends the demonstration, if one runs, and begins one of this promise, unless it is ended before. */
export async function replay(promise: TourPromise, pace: Pace): Promise<void> {
  endDemonstration();
  const wish = wishes;
  await finished;
  if (wish === wishes) demonstrate(promise, pace);
}

async function run(promise: TourPromise, pace: Pace): Promise<void> {
  const ended = new AbortController();
  current = ended;
  const shown = demonstrationOf(promise.number);
  const steps = [everythingRuns, ...promise.steps];
  shown.value = {
    state: "running",
    steps: steps.map((step) => ({ ...step, state: "pending", evidence: [] })),
  };
  const finish = (state: "held" | "broken" | "ended", verdict: string) => {
    shown.value = { state, steps: shown.peek()?.steps ?? [], verdict };
    announce(`${promise.title} ${verdict}`);
  };
  const journal = journalOf(shown, steps, pace, ended.signal);
  let lease: Lease | undefined;
  try {
    lease = await takeLease();
    void lease.ended.then(() => ended.abort(new ExpectationFailed("The supervisor does not answer.")));
    const { id } = lease;
    const { customerId, token } = await journal.perform(everythingRuns, async () => {
      await restoreAll(id, ended.signal);
      return customer(ended.signal);
    });
    const scenario = new Scenario({ customerId, token, lease: id, journal, pace, ended: ended.signal });
    const verdict = await promise.demonstrate(scenario);
    keepChanges();
    finish("held", verdict);
    lease.end();
    await untilAllRun().catch(noteOn(shown));
  } catch (error) {
    const isEnded = error instanceof Ended;
    shown.value = { state: "restoring", steps: shown.peek()?.steps ?? [] };
    lease?.end();
    let orders = "";
    const undo = async () => {
      orders = (await undoChanges())
        ? "what was ordered is cancelled"
        : "what was ordered stays until you sign in again";
      await untilAllRun();
      return "";
    };
    const left = lease === undefined ? "" : await undo().catch(messageOf);
    const verdict = isEnded ? `Everything runs again, and ${orders}.` : messageOf(error);
    if (left === "") finish(isEnded ? "ended" : "broken", verdict);
    else
      finish(
        "broken",
        `${messageOf(error)} Not everything is put back: ${left} It is tried again when this page is loaded.`,
      );
  } finally {
    pointedAt.value = [];
    current = undefined;
    running.value = undefined;
  }
}

function noteOn(shown: ReturnType<typeof signal<Demonstration>>) {
  return (error: unknown) => {
    const before = shown.peek() ?? idle;
    shown.value = { ...before, verdict: `${before.verdict ?? ""} ${messageOf(error)}` };
  };
}

/**
 * The customer of the orders: who is signed in, or was until the session expired; otherwise a new one, who is signed in
 * so that the orders can be opened.
 */
async function customer(ended: AbortSignal): Promise<{ customerId: string; token: string }> {
  if (session.peek() === null && signInMode === "demo") {
    const name = expiredCustomer.peek() ?? newTourCustomer();
    await until("the gateway to let the tour in", async () => signIn(name).then(() => true), ended);
  }
  const signedIn = session.peek();
  if (signedIn === null) throw new ExpectationFailed("Sign in first: the tour places orders.");
  return signedIn;
}

function journalOf(
  shown: ReturnType<typeof signal<Demonstration>>,
  steps: readonly Step[],
  pace: Pace,
  ended: AbortSignal,
): Journal {
  let now = -1;
  const change = (changes: (step: ShownStep) => Partial<ShownStep>) => {
    const before = shown.peek() ?? idle;
    const after = before.steps.map((step, index) => (index === now ? { ...step, ...changes(step) } : step));
    shown.value = { ...before, steps: after };
  };
  return {
    async perform(step, work) {
      if (now >= 0) await pace.beforeStep(ended);
      now = steps.indexOf(step);
      change(() => ({ state: "running" }));
      pointedAt.value = step.parts;
      announce(`Step ${now + 1} of ${steps.length}. ${step.text}.`);
      try {
        const result = await work();
        ended.throwIfAborted();
        change(() => ({ state: "done" }));
        announce(`Step ${now + 1} of ${steps.length} is done. ${step.look}`);
        return result;
      } catch (error) {
        change(() => ({ state: ended.reason instanceof Ended ? "pending" : "failed" }));
        throw error;
      }
    },
    add(evidence) {
      change((step) => ({ evidence: [...step.evidence.filter((one) => !isSame(one, evidence)), evidence] }));
    },
  };
}

function isSame(one: Evidence, other: Evidence): boolean {
  if (one.kind === "order") return other.kind === "order" && one.orderId === other.orderId;
  return other.kind === "log" && one.process === other.process && one.line === other.line;
}
