import type { Movement } from "@distributed-messaging/supervisor/reports";
import { fetchTraffic, hasSupervisor } from "../api/supervisor.ts";
import { poll } from "./poll.ts";

const POLL_MS = 500;

/** One message on one line of the map. */
export interface Hop {
  readonly from: string;
  readonly to: string;
  readonly message: string;
}

interface TrafficListener {
  /** What moved through the broker. */
  readonly onMovements: (movements: readonly Movement[]) => void;
  /** A request or a notification of this page. */
  readonly onHop: (hop: Hop) => void;
}

const listeners = new Set<TrafficListener>();

/** @returns ends the subscription */
export function listenToTraffic(listener: TrafficListener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function showHop(hop: Hop): void {
  for (const { onHop } of listeners) onHop(hop);
}

export function followTraffic(): void {
  if (!hasSupervisor) return;
  let next: number | undefined;
  poll(
    async () => {
      const report = await fetchTraffic(next);
      next = report.next;
      const movements = report.movements ?? [];
      if (movements.length === 0) return;
      for (const { onMovements } of listeners) onMovements(movements);
    },
    () => POLL_MS,
  );
}
