import type { Readiness } from "./readiness.ts";

/** What to run and how to see that it is ready. */
export interface ProcessSpec {
  readonly name: string;
  /** Path of the TypeScript file that Bun runs. */
  readonly entry: string;
  /** The whole environment of the process: nothing else is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly ready: Readiness;
}

/** `backing-off`: it has ended, and is started again in a moment. */
export type ProcessState = "starting" | "ready" | "paused" | "backing-off" | "stopping" | "stopped";

/** A line that a process printed, or that its supervisor says about it. */
export interface ProcessLog {
  readonly process: string;
  readonly source: "stdout" | "stderr" | "supervisor";
  readonly line: string;
}

export interface ProcessTimings {
  /** How long the first start may take until it is ready. */
  readonly readyTimeoutMs: number;
  /** From being told to stop until SIGKILL: longer than the deadline that the services set themselves. */
  readonly stopTimeoutMs: number;
  /** The pause before the first restart in a row; each further one is twice as long, up to the maximum. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** After being ready for so long, a crash counts as the first one again. */
  readonly backoffResetMs: number;
}

export const defaultTimings: ProcessTimings = {
  readyTimeoutMs: 30_000,
  stopTimeoutMs: 12_000,
  backoffMs: 200,
  maxBackoffMs: 10_000,
  backoffResetMs: 10_000,
};

/** What is asked of a process does not fit the state that it is in. */
export class WrongState extends Error {
  override readonly name = "WrongState";
}

/** There is no process of this name. */
export class UnknownProcess extends Error {
  override readonly name = "UnknownProcess";
}

/** A process ended, was stopped, or took too long, before it was ready. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";
}
