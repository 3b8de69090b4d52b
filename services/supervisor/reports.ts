/*
 * The supervisor's answers over HTTP: types only, so that the page can share them. Times are milliseconds since the
 * epoch unless the name has another unit.
 */

/** `backing-off`: it ended, and will be restarted after a delay. */
export type ProcessState = "starting" | "ready" | "paused" | "backing-off" | "stopping" | "stopped";

/** `GET /processes`: one entry for each process, in the order in which they are started. */
export interface ProcessReport {
  readonly name: string;
  readonly state: ProcessState;
  /** `null` while it does not run. */
  readonly pid: number | null;
  /** How often it was restarted after it had ended by itself or been killed. */
  readonly restarts: number;
}

/** `GET /processes/:name/log`: the last lines, oldest first. */
export interface LogLine {
  readonly at: number;
  /** The stream of the process, or `supervisor` for what the supervisor says about it. */
  readonly source: "stdout" | "stderr" | "supervisor";
  /** Cut after a thousand characters. */
  readonly line: string;
}

/** The first line of the answer to `POST /lease`. */
export interface LeaseGranted {
  /** For `POST /processes/:name/:action?lease=`. */
  readonly lease: string;
}

/** `destroy`: it is killed, and its database deleted. Only for one of several instances. */
export const processActions = ["stop", "start", "kill", "pause", "resume", "destroy"] as const;
export type ProcessAction = (typeof processActions)[number];

/** `GET /figures` */
export interface FiguresReport {
  readonly at: number;
  readonly services: readonly ServiceFigures[];
  /** Unread records by service, of several instances that each read everything the most; `null` while the broker does not answer. */
  readonly lag: Readonly<Record<string, number>> | null;
}

/** A service's metrics. All `null` while it does not answer. */
export interface ServiceFigures {
  readonly name: string;
  /** How many messages the outbox holds. */
  readonly outboxDepth: number | null;
  readonly outboxOldestAgeS: number | null;
  readonly deadLetters: number | null;
  /** Outgoing messages that the broker refuses. */
  readonly outboxParked: number | null;
  /** Partitions and topics that wait for an operator. */
  readonly partitionsStopped: number | null;
  /** What `GET /readiness` says is wrong, and what to do: sentences. None while the service does not answer. */
  readonly problems: readonly string[];
  readonly handled: number | null;
  readonly duplicates: number | null;
  /** Of a service that is replicated; of another one none. */
  readonly instances: readonly InstanceFigures[];
}

/** One of several instances of a service. */
export interface InstanceFigures {
  /** That of its process. */
  readonly name: string;
  /** Whether it leads; `null` while it does not answer. */
  readonly leads: boolean | null;
  /** How many groups of the change log it has not applied of those that another one has; `null` while it does not answer. */
  readonly behind: number | null;
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
  /** How many records each consumer group has not read yet. */
  readonly groups: readonly { readonly group: string; readonly lag: number }[];
}

/** `GET /topics/:topic/messages` (newest first) and `GET /orders/:orderId/messages` (oldest first). */
export interface RecordReport {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** The timestamp of the record. */
  readonly at: number;
  /** As text, cut after a few thousand characters. */
  readonly value: string | null;
}

/** `GET /traffic`: what has moved through the broker since an earlier answer. */
export interface TrafficReport {
  /** The value of `after` for the next request. */
  readonly next: number;
  /** Oldest first; without `after`, none. `null` while the broker does not answer. */
  readonly movements: readonly Movement[] | null;
}

/** The movements of one topic within a fraction of a second. */
export interface Movement {
  readonly topic: string;
  /** How many records were stored. */
  readonly stored: number;
  /** Some of them, oldest first. */
  readonly sample: readonly MovedMessage[];
  /** How many records each consumer group has committed as handled. */
  readonly read: Readonly<Record<string, number>>;
}

export interface MovedMessage {
  /** The timestamp of the record. */
  readonly at: number;
  readonly key: string | null;
  /** The CloudEvents type; `null` for a record that is no message. */
  readonly type: string | null;
  /** The service that sent it; `null` for a record that is no message. */
  readonly sender: string | null;
}

/** `POST /orders/:orderId/deliver-again` */
export interface Redelivery {
  readonly orderId: string;
  /** How many records were published again, by topic. */
  readonly records: Readonly<Record<string, number>>;
}
