import type { ProcessAction, ProcessReport } from "@distributed-messaging/supervisor/reports";
import { computed, signal } from "@preact/signals";
import { actOn, fetchProcesses, hasSupervisor } from "../api/supervisor.ts";
import { type Polling, poll } from "./poll.ts";

const POLL_MS = 1_000;

/** The processes that the supervisor reports; undefined without a supervisor, or when it does not answer. */
export const processes = signal<readonly ProcessReport[] | undefined>(undefined);

/** Whether a first request to the supervisor has ended, with an answer or an error. */
export const processesAsked = signal(false);

/** The processes that are not ready. */
export const down = computed(() => (processes.value ?? []).filter(({ state }) => state !== "ready"));

export function isDown(name: string): boolean {
  return down.value.some((process) => process.name === name);
}

let polling: Polling | undefined;

export function followProcesses(): void {
  if (!hasSupervisor) return;
  polling ??= poll(
    async () => {
      try {
        setProcesses(await fetchProcesses());
      } catch (error) {
        processes.value = undefined;
        throw error;
      } finally {
        processesAsked.value = true;
      }
    },
    () => POLL_MS,
  );
}

/**
 * Acts on a process. Resolves when the action is done or in progress.
 *
 * @param lease undoes the action when it ends
 * @throws Refused, Unreachable
 */
export async function act(name: string, action: ProcessAction, lease?: string): Promise<void> {
  // Shows the intermediate state too.
  setTimeout(() => polling?.now(), 50);
  try {
    const changed = await actOn(name, action, lease);
    setProcesses((processes.peek() ?? []).map((process) => (process.name === name ? changed : process)));
  } finally {
    polling?.now();
  }
}

function setProcesses(next: readonly ProcessReport[]): void {
  // Avoids rendering an unchanged report.
  if (JSON.stringify(next) !== JSON.stringify(processes.peek())) processes.value = next;
}

interface ProcessTexts {
  /** The purpose of the process. */
  readonly purpose: string;
  /** The effect for customers while it is down. */
  readonly effect: string;
}

/** A process without an entry is shown by its name alone. */
const texts: Readonly<Record<string, ProcessTexts>> = {
  "api-gateway": {
    purpose: "Takes orders, serves this page, answers from its own copy.",
    effect: "What you order is kept in this browser and is sent when the gateway is back.",
  },
  broker: {
    purpose: "Carries every message between the services.",
    effect: "Orders are accepted and kept. Nothing travels until it is back.",
  },
  order: {
    purpose: "Decides what becomes of an order.",
    effect: "Orders are accepted and stay “accepted” until it is back.",
  },
  inventory: {
    purpose: "Keeps the stock and reserves it.",
    effect: "Orders are accepted and stay “pending” until it is back.",
  },
  notification: {
    purpose: "Tells customers, over the WebSocket.",
    effect: "Orders go on. Their news comes by asking the gateway instead.",
  },
};

/** The service of a process: of several instances, the later ones have a number. */
export function serviceOf(name: string): string {
  return name.replace(/-[2-9]/, "");
}

/** Whether a process is one of several instances of its service. */
export function isOneOfSeveral(name: string): boolean {
  return processes.value?.some((process) => process.name === `${serviceOf(name)}-2`) ?? false;
}

/** The instances that this page talks to: without them, it goes on by itself. */
const ofThisPage: readonly string[] = ["api-gateway", "notification"];

export function textsOf(name: string): ProcessTexts {
  const { purpose, effect } = texts[serviceOf(name)] ?? { purpose: "", effect: "" };
  const goesOn = isOneOfSeveral(name) && !ofThisPage.includes(name);
  return { purpose, effect: goesOn ? "Another instance goes on." : effect };
}

/** The name of a process at the beginning of a sentence. */
export function titleOf(name: string): string {
  if (name === "broker") return "The broker";
  return isOneOfSeveral(name) ? name : `The ${name} service`;
}

export const stateWords: Readonly<Record<ProcessReport["state"], string>> = {
  ready: "running",
  starting: "starting",
  paused: "paused",
  "backing-off": "restarting",
  stopping: "stopping",
  stopped: "stopped",
};
