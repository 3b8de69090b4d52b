import { ServiceError } from "@distributed-messaging/service/errors";

/** Seconds after which a client should try again when the outbox is full. */
const RETRY_AFTER_S = 10;
/** Beyond the limit there is a tenth of it for customers who have sent little, each of whom may use a hundredth. */
const RESERVE = 0.1;
const SHARE = 0.01;

/**
 * Limits the messages that wait in the outbox, so that no customer alone can use all of the space: past the limit,
 * those who have sent little since the outbox was last half empty are still served, up to a tenth more. After a
 * restart, nobody has sent anything.
 */
export class Backlog {
  readonly #limit: number;
  readonly #depth: () => number;
  /** Messages of each customer since the outbox was last half empty, with those of requests that are being carried out. */
  readonly #accepted = new Map<string, number>();

  /**
   * @param limit messages in the outbox
   * @param depth how many there are
   */
  constructor(limit: number, depth: () => number) {
    this.#limit = limit;
    this.#depth = depth;
  }

  /**
   * Has a request carried out, unless there is no space for its message. It counts while it is being carried out, so that
   * many at once are no way around the limit, and from then on if it added a message: not a replay, nor one that was
   * refused or given up.
   *
   * @throws ServiceError unavailable: backlog; and what `carryOut` throws
   */
  async admit<Result extends { readonly messages: readonly unknown[] }>(
    customerId: string,
    carryOut: () => Promise<Result | undefined>,
  ): Promise<Result | undefined> {
    const depth = this.#depth();
    if (depth < this.#limit / 2) this.#accepted.clear();
    const accepted = this.#accepted.get(customerId) ?? 0;
    const isFull = depth >= this.#limit + Math.ceil(this.#limit * RESERVE);
    if (isFull || (depth >= this.#limit && accepted >= Math.max(1, this.#limit * SHARE))) {
      throw new ServiceError("unavailable", "backlog", "Too many orders are waiting to be passed on.", {
        retryAfterS: RETRY_AFTER_S,
      });
    }
    this.#count(customerId, 1);
    let isAdded = false;
    try {
      const result = await carryOut();
      isAdded = (result?.messages.length ?? 0) > 0;
      return result;
    } finally {
      if (!isAdded) this.#count(customerId, -1);
    }
  }

  #count(customerId: string, change: 1 | -1): void {
    const accepted = (this.#accepted.get(customerId) ?? 0) + change;
    // Not below 0: meanwhile the counts may have begun anew.
    if (accepted > 0) this.#accepted.set(customerId, accepted);
    else this.#accepted.delete(customerId);
  }
}
