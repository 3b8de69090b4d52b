import { readCloudEvent } from "../contract/cloud-event.ts";
import { type LogBounds, type Logs, recordsFrom } from "../transport/logs.ts";
import { type IncomingRecord, topicPartition } from "../transport/transport.ts";

/** One partition that the service reads. */
export class Reader {
  readonly topic: string;
  readonly bounds: LogBounds;
  /** One past the last offset that the service had handled, as far as the broker was told. */
  readonly handledTo: number;
  /** The last record that the copy has handled, if the log has it. */
  readonly known: readonly IncomingRecord[];
  readonly #records: AsyncGenerator<IncomingRecord>;
  readonly #ahead: IncomingRecord[] = [];
  /** The last record that was handled again. */
  passed = -1;

  constructor(
    logs: Logs,
    topic: string,
    bounds: LogBounds,
    from: number,
    handledTo: number,
    known: readonly IncomingRecord[],
  ) {
    this.topic = topic;
    this.bounds = bounds;
    this.handledTo = handledTo;
    this.known = known;
    this.#records = recordsFrom(logs, topic, bounds, from);
  }

  get partition(): number {
    return this.bounds.partition;
  }

  get earliest(): number {
    return this.bounds.earliest;
  }

  get latest(): number {
    return this.bounds.latest;
  }

  /** The next record that was not handled. */
  async head(): Promise<IncomingRecord | undefined> {
    return (await this.ahead(1))[0];
  }

  /** The next records that were not handled. */
  async ahead(count: number): Promise<readonly IncomingRecord[]> {
    while (this.#ahead.length < count) {
      const { value } = await this.#records.next();
      if (value === undefined) break;
      this.#ahead.push(value);
    }
    return this.#ahead.slice(0, count);
  }

  pass({ offset }: IncomingRecord): void {
    this.#ahead.shift();
    this.passed = offset;
  }
}

/** Every partition that the service reads. */
export class Readers {
  readonly all: Reader[] = [];
  readonly #logs: Logs;
  readonly #places = new Map<string, { readonly reader: Reader; readonly offset: number }>();
  readonly #known = new Map<string, IncomingRecord>();

  constructor(logs: Logs) {
    this.#logs = logs;
  }

  knownRecord(topic: string, partition: number, record: IncomingRecord | undefined): void {
    if (record !== undefined) this.#known.set(topicPartition(topic, partition), record);
  }

  /** @param wanted the messages that are to be found */
  async open(
    topic: string,
    bounds: LogBounds,
    from: number,
    handledTo: number,
    wanted: ReadonlyMap<string, unknown>,
  ): Promise<void> {
    const known = this.#known.get(topicPartition(topic, bounds.partition));
    const reader = new Reader(this.#logs, topic, bounds, from, handledTo, known === undefined ? [] : [known]);
    this.all.push(reader);
    for await (const record of recordsFrom(this.#logs, topic, bounds, from)) {
      const id = idOf(record);
      // One that was sent again is a duplicate.
      if (id !== undefined && wanted.has(id) && !this.#places.has(id)) {
        this.#places.set(id, { reader, offset: record.offset });
      }
    }
  }

  /** Where a message is. */
  placeOf(id: string) {
    return this.#places.get(id);
  }

  /** Whether a message was handled again: it was parked, or had been sent again. */
  isPassed(id: string): boolean {
    const place = this.#places.get(id);
    return place !== undefined && place.reader.passed >= place.offset;
  }
}

/** Undefined when it is no message. */
export function idOf(record: IncomingRecord): string | undefined {
  const message = readCloudEvent(record);
  return typeof message === "string" ? undefined : message.id;
}
