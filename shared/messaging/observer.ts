/**
 * What became of one message. `failed`: the attempt was rolled back, and is repeated; `duplicate`: it was handled before;
 * `skipped`: the service has no handler for it; `parked`: it is a dead letter now.
 */
export const messageOutcomes = ["handled", "duplicate", "skipped", "parked", "failed"] as const;
export type MessageOutcome = (typeof messageOutcomes)[number];

/**
 * Is told what a kit does, for metrics. Called after the fact, outside of transactions, on the way of every message: its
 * methods neither throw nor wait.
 */
export interface Observer {
  /**
   * A message was taken: decoded, claimed and handled, without the commit.
   *
   * @param type one that the service knows; undefined for a record that is no such message
   */
  processed(type: string | undefined, outcome: MessageOutcome, seconds: number): void;
  /** A group of units of work was committed. @param size how many */
  committed(size: number, seconds: number): void;
  /** A group could not be committed, because the disk refused it. */
  commitFailed(): void;
  /** One send ended. @param isStored whether the broker has acknowledged every record of it */
  sent(records: number, seconds: number, isStored: boolean): void;
}

const ignore: Observer = { processed() {}, committed() {}, commitFailed() {}, sent() {} };

/** Where the parts of a kit find who observes it. */
export class Observed {
  observer: Observer = ignore;
}
