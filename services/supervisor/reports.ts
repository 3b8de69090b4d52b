import type { ProcessState } from "./process-spec.ts";

/*
 * What the supervisor answers over HTTP: types only, so that the page can share them. Times are milliseconds
 * since the epoch unless a name says otherwise.
 */

/** `GET /processes`, one entry a process, in the order in which they are started. */
export interface ProcessReport {
  readonly name: string;
  readonly state: ProcessState;
  /** `null` while there is none. */
  readonly pid: number | null;
  /** How often it was started again after it had ended by itself. */
  readonly restarts: number;
}

export const processActions = ["stop", "start", "kill", "pause", "resume"] as const;
export type ProcessAction = (typeof processActions)[number];

/** `GET /figures`: what each service says of itself, and how far the consumers are behind. */
export interface FiguresReport {
  readonly at: number;
  readonly services: readonly ServiceFigures[];
  /** Records not yet read, by consumer group; `null` while the broker does not answer. */
  readonly lag: Readonly<Record<string, number>> | null;
}

/** `null` throughout while the service does not answer: not the same as nothing waiting. */
export interface ServiceFigures {
  readonly name: string;
  /** Messages that wait to be sent. */
  readonly outboxDepth: number | null;
  readonly outboxOldestAgeS: number | null;
  readonly deadLetters: number | null;
  readonly handled: number | null;
  readonly duplicates: number | null;
}

/** `GET /topics` */
export interface TopicReport {
  readonly name: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly earliest: number;
    /** One past the last record. */
    readonly latest: number;
  }[];
  /** How many records each consumer group has still to read. */
  readonly groups: readonly { readonly group: string; readonly lag: number }[];
}

/** `GET /topics/:topic/messages` (newest first) and `GET /orders/:orderId/messages` (oldest first). */
export interface RecordReport {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** When the broker says that it was written. */
  readonly at: number;
  /** As text, cut after a few thousand characters. */
  readonly value: string | null;
}

/** `POST /orders/:orderId/deliver-again` */
export interface Redelivery {
  readonly orderId: string;
  /** How many records were published once more, by topic. */
  readonly records: Readonly<Record<string, number>>;
}
