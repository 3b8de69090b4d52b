import { computed, signal } from "@preact/signals";
import {
  actOn,
  fetchProcesses,
  hasSupervisor,
  type ProcessAction,
  type ProcessReport,
} from "../api/supervisor.ts";
import { type Polling, poll } from "./poll.ts";

const POLL_MS = 1_000;

/** Every process of the store; undefined while nobody knows: there is no supervisor, or it does not answer. */
export const processes = signal<readonly ProcessReport[] | undefined>(undefined);

/** Whether the supervisor was asked at least once, whether or not it answered. */
export const processesAsked = signal(false);

/** Those that do not do their work just now. */
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
        take(await fetchProcesses());
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

/** Does something to a process; resolves when it is done, or under way. @throws Refused, Unreachable */
export async function act(name: string, action: ProcessAction): Promise<void> {
  // What it goes through meanwhile is to be seen too.
  setTimeout(() => polling?.now(), 50);
  try {
    const changed = await actOn(name, action);
    take((processes.peek() ?? []).map((process) => (process.name === name ? changed : process)));
  } finally {
    polling?.now();
  }
}

function take(next: readonly ProcessReport[]): void {
  // The same again must not draw anything again.
  if (JSON.stringify(next) !== JSON.stringify(processes.peek())) processes.value = next;
}

/** What it means for customers that a process does not run. */
export const effects: Readonly<Record<string, string>> = {
  "api-gateway": "This page keeps your orders and sends them when it is back.",
  broker: "Orders are accepted and kept. Nothing travels until it is back.",
  order: "Orders are accepted and stay “accepted” until it is back.",
  inventory: "Orders are accepted and stay “pending” until it is back.",
  notification: "Orders go on. Their news comes by asking the gateway instead.",
};

/** What each process is there for. */
export const duties: Readonly<Record<string, string>> = {
  "api-gateway": "Takes orders, serves this page, answers from its own copy.",
  broker: "Carries every message between the services.",
  order: "Decides what becomes of an order.",
  inventory: "Keeps the stock and sets it aside.",
  notification: "Tells customers, over the WebSocket.",
};

export const stateWords: Readonly<Record<ProcessReport["state"], string>> = {
  ready: "running",
  starting: "starting",
  paused: "paused",
  "backing-off": "crashed, starting again",
  stopping: "stopping",
  stopped: "stopped",
};
