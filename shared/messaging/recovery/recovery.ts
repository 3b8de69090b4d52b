import { readCloudEvent } from "../contract/cloud-event.ts";
import { isCompacted, type MessageDefinition, type Topic } from "../contract/define.ts";
import type { GroupLog, ServiceDatabase } from "../database.ts";
import { errorText, StorageError } from "../errors.ts";
import { fingerprint } from "../inbox/offsets.ts";
import type { Messaging } from "../messaging.ts";
import { hasChangeLog } from "../replication/tables.ts";
import { type Runtime, systemRuntime } from "../runtime.ts";
import { storedId } from "../stored-id.ts";
import type { LogBounds, Logs } from "../transport/logs.ts";
import {
  type IncomingRecord,
  type SubscribeOptions,
  type Transport,
  topicPartition,
} from "../transport/transport.ts";
import { before, digestOf, type Outputs, type Published, readPublished, type Sequence } from "./published.ts";
import { idOf, type Reader, Readers } from "./readers.ts";

/*
 * Brings an older copy of a service's database to the best state that can be reached.
 *
 * What came after the copy is in the topics: what the service read, and what it published because of it. So the service's
 * own handlers handle again what it read, on a copy of the file, through the consumer that always does it, and each
 * message that they emit is compared, in the transaction that emits it, with what was published under the same id. The
 * order across partitions is that of the published messages: each says in a header where it stands among all that the
 * service emitted. The clock says what it said then.
 *
 * A message or timer of which nothing was published has no place in that order. It is handled when the next message of its
 * own partition needs it, or together with one of another partition that comes out differently without it; never if it
 * would emit something that was not published then.
 *
 * Nothing is sent and no effect is performed meanwhile. What was published is not in the outbox afterwards.
 */

/** The recovery is not possible. Its database is to be thrown away. */
export class RecoveryRefusal extends Error {
  override readonly name = "RecoveryRefusal";
}

/** What was decided does not fit what was published: it is rolled back. As a storage fault, it is not the message's. */
class Rejected extends StorageError {}

export interface RecoveryOptions {
  readonly service: string;
  /** A copy of the older file, with the schema of the service, that nobody else uses. */
  readonly database: ServiceDatabase;
  readonly logs: Logs;
  /** Those of the system, or at least all that the service reads or publishes. */
  readonly definitions: readonly MessageDefinition[];
  /** Whether what the service keeps of its requests can be rebuilt from the topics. Then they are no difference. */
  readonly hasProjections?: boolean;
  /** Whether to go on where retention has removed something. The service has to be built with `gaps: "continue"` then. */
  readonly despiteGaps?: boolean;
}

export interface RecoveryReport {
  /** Messages that were read again. */
  readonly read: number;
  readonly timersFired: number;
  /** Published messages that were emitted again, with the same id and the same content. */
  readonly confirmed: number;
  /** Messages in the outbox, which nobody has read: the next start sends them. */
  readonly unsent: number;
  /** Effects that may have been performed, or were: an operator decides. */
  readonly heldEffects: number;
  /** Requests because of which something was published, where they are no difference. */
  readonly requests: number;
  /** Where the database and what was published contradict each other, in words. */
  readonly differences: readonly string[];
  /** More differences than are kept in words. */
  readonly furtherDifferences: number;
}

/** What may differ from what was published. `report`: it is accepted, and a difference. */
interface Tolerance {
  /** A message that was not published. */
  readonly unpublished: "refuse" | "keep" | "report";
  /** One with other content, and one that was published and is not emitted. */
  readonly contradiction: "refuse" | "report";
}
const STRICT: Tolerance = { unpublished: "refuse", contradiction: "refuse" };
const AT_THE_END: Tolerance = { unpublished: "keep", contradiction: "refuse" };
const AFTER_THE_END: Tolerance = { unpublished: "keep", contradiction: "report" };
const ANY: Tolerance = { unpublished: "report", contradiction: "report" };

/** What the service sends at a time: of the last send, any of the records may be missing. */
const LAST_SEND = 500;
/** How far clocks may differ: what is newer than a decision was not handled before it. */
const CLOCKS_MS = 60_000;
/** More tries of one message than any retry policy makes. */
const MAX_TRIES = 100;
const MAX_DIFFERENCES = 20;
/** Of the ids that are derived: those of timers and effects are. */
const DERIVED = /^[0-9a-f]{8}-[0-9a-f]{4}-8/;

/** How many of one partition are tried before a message of another one, of all by time, and combinations of all. */
const MAX_OTHERS = 8;
const MAX_BY_TIME = 50;
const MAX_COMBINATIONS = 300;

/** A message that is handled or a timer that is fired together with others. */
interface Step {
  readonly at: number;
  run(): Promise<boolean>;
  done(): void;
}

/** Beginnings of some chains, together: the first of all by time, one more each time; then those with the fewest steps. */
function* combinations(chains: readonly (readonly Step[])[]): Generator<Step[]> {
  const byTime = chains.flat().sort((one, other) => one.at - other.at);
  for (let count = 1; count <= byTime.length && count <= MAX_BY_TIME; count += 1)
    yield byTime.slice(0, count);
  let level: number[][] = [chains.map(() => 0)];
  let left = MAX_COMBINATIONS;
  while (level.length > 0) {
    const next = new Map<string, number[]>();
    for (const counts of level) {
      for (const [index, chain] of chains.entries()) {
        if ((counts[index] ?? 0) >= chain.length) continue;
        const more = counts.with(index, (counts[index] ?? 0) + 1);
        next.set(more.join(), more);
      }
    }
    level = [...next.values()].slice(0, left);
    for (const counts of level) {
      left -= 1;
      const steps = chains.flatMap((chain, index) => chain.slice(0, counts[index]));
      yield steps.sort((one, other) => one.at - other.at);
    }
    if (left <= 0) return;
  }
}

interface OutboxRow {
  readonly seq: number;
  readonly topic: string;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: string;
}

export class Recovery {
  /** For the service that is recovered, like the next two. */
  readonly database: ServiceDatabase;
  readonly transport: Transport;
  readonly runtime: Runtime;
  readonly #options: RecoveryOptions;
  readonly #sql: ServiceDatabase["sql"];
  readonly #topics: readonly Topic[];
  readonly #reads: Readers;
  #reading: SubscribeOptions | undefined;
  #messaging: Messaging | undefined;
  #published: Published | undefined;
  #now = systemRuntime.now();
  /** The last record of the outbox before the present step. */
  #emitted = 0;
  #tolerance: Tolerance = ANY;
  /** What was published because of the present step. */
  #expected: Outputs | undefined;
  /** Where the present step is in the order. */
  #place: Sequence | undefined;
  /** Of the present step. */
  #step: { accepted: boolean; contradictions: string[]; confirmed: number } | undefined;
  /** What makes the recovery impossible, found in a transaction. */
  #impossible: string | undefined;
  readonly #pending = new Map<string, Outputs>();
  readonly #counts = { read: 0, timersFired: 0, confirmed: 0, requests: 0 };
  readonly #differences: string[] = [];
  #furtherDifferences = 0;
  /** Keys of effects whose results were published. */
  readonly #performed: string[] = [];

  /** @throws RecoveryRefusal when the database is that of a replicated service */
  constructor(options: RecoveryOptions) {
    const { database, service, definitions, logs } = options;
    if (hasChangeLog(database)) {
      throw new RecoveryRefusal(
        `${service} has a change log: start it on an empty DATA_DIR, and it follows that`,
      );
    }
    this.#options = options;
    this.#sql = database.sql;
    this.#reads = new Readers(logs);
    this.database = { ...database, replication: this.#gate() };
    // What is handled together is one group, however long it takes.
    this.runtime = { ...systemRuntime, now: () => this.#now, monotonic: () => 0, after: () => () => {} };
    this.transport = {
      publish: () => Promise.reject(new Error("a recovery sends nothing")),
      subscribe: (reading) => {
        this.#reading = reading;
        return { healthy: () => true, stop: async () => {} };
      },
    };
    const own = definitions.filter(({ source }) => source === service).map(({ topic }) => topic);
    this.#topics = [...new Map(own.map((topic) => [topic.name, topic])).values()];
    // The process that used the file is another one: that it was killed is no fault of the messages that come now.
    if (this.#sql.query("SELECT 1 FROM sqlite_schema WHERE name = 'process'").get() !== null) {
      this.#sql.run("UPDATE process SET running = 0");
    }
  }

  /**
   * Handles again what came after the copy.
   *
   * @param messaging the service, built on `database`, `transport` and `runtime`, and not started
   * @throws RecoveryRefusal; what reading the topics throws
   */
  async run(messaging: Messaging): Promise<RecoveryReport> {
    this.#messaging = messaging;
    this.#refuseUndecided();
    const published = await this.#readPublished();
    this.#published = published;
    messaging.consumer.start();
    await this.#openReaders(published);
    for (const outputs of published.outputs) {
      if (this.#pending.has(outputs.id)) await this.#decideAgain(outputs, published);
    }
    await this.#handleRest();
    return {
      ...this.#counts,
      unsent: this.#count("SELECT count(*) AS count FROM outbox"),
      heldEffects: this.#holdEffects(),
      differences: this.#differences,
      furtherDifferences: this.#furtherDifferences,
    };
  }

  /** What an operator was to decide when the copy was made, may have been decided since. */
  #refuseUndecided(): void {
    const stops = this.#count("SELECT count(*) AS count FROM partition_stops");
    const rereads = this.#count("SELECT count(*) AS count FROM rereads");
    const parked = this.#count("SELECT count(*) AS count FROM parked_outgoing");
    if (stops + rereads + parked > 0) {
      throw new RecoveryRefusal(
        `the copy was made while ${stops} partitions were stopped, ${rereads} read anew and ${parked} records parked: what was decided since is not known`,
      );
    }
  }

  async #readPublished(): Promise<Published> {
    const { logs, despiteGaps } = this.#options;
    const epoch = this.#sql.query<{ epoch: number }, []>("SELECT epoch FROM ownership").get()?.epoch ?? 0;
    this.#emitted = this.#messaging?.outbox.last() ?? 0;
    const last: Sequence = { epoch, number: this.#emitted };
    const rows = this.#rows(0);
    const unsent = new Map(rows.map((row) => [messageIn(row)?.id, row.seq]));
    const sent = new Set<number>();
    const published = await readPublished(logs, this.#topics, (sequence, id) => {
      const seq = unsent.get(id);
      if (seq !== undefined) sent.add(seq);
      return seq === undefined && before(last, sequence);
    });
    this.#sql.transaction(() => {
      for (const seq of sent) this.#sql.run("DELETE FROM outbox WHERE seq = ?", [seq]);
    })();
    if (published.gaps.length > 0 && despiteGaps !== true)
      throw new RecoveryRefusal(published.gaps.join("\n"));
    for (const gap of published.gaps) this.#differ(gap);
    const claimed = this.#sql.prepare<unknown, [ReturnType<typeof storedId>]>(
      "SELECT 1 FROM inbox WHERE message_id = ?",
    );
    for (const outputs of published.outputs) {
      // What was handled before the copy was made may have been sent again since.
      if (claimed.get(storedId(outputs.id)) === null) this.#pending.set(outputs.id, outputs);
    }
    claimed.finalize();
    return published;
  }

  async #openReaders(published: Published): Promise<void> {
    const { service, logs, definitions, despiteGaps } = this.#options;
    const reading = this.#reading;
    if (reading === undefined) throw new RecoveryRefusal(`${service} reads nothing`);
    const compacted = new Set(
      definitions.filter(({ topic }) => isCompacted(topic)).map(({ topic }) => topic.name),
    );
    const gaps: string[] = [];
    for (const topic of reading.topics) {
      const partitions = await logs.partitions(topic);
      if (partitions.length === 0) throw new RecoveryRefusal(`there is no topic ${topic}`);
      for (const bounds of partitions) {
        const name = topicPartition(topic, bounds.partition);
        const { next, lastRecord } = this.#position(topic, bounds.partition);
        reading.startAt(topic, bounds.partition);
        if (next !== undefined) await this.#identify(topic, bounds, next, lastRecord);
        const from = Math.max(next ?? 0, bounds.earliest);
        if (next !== undefined && bounds.earliest > next && !compacted.has(topic)) {
          gaps.push(
            `retention has removed ${bounds.earliest - next} records of ${name} from offset ${next} on, which the copy has not handled`,
          );
        }
        const handledTo = await logs.committed(reading.group, topic, bounds.partition);
        await this.#reads.open(topic, bounds, from, handledTo ?? from, this.#pending);
      }
    }
    if (gaps.length > 0 && despiteGaps !== true) throw new RecoveryRefusal(gaps.join("\n"));
    for (const gap of gaps) this.#differ(gap);
    if (published.outputs.length > 0) this.#now = published.outputs[0]?.now ?? this.#now;
    // The first batch of each partition is compared with what the copy says of its log.
    for (const reader of this.#reads.all) {
      const { topic, partition, latest, earliest } = reader;
      await reading.handle({
        topic,
        partition,
        records: reader.known,
        start: earliest,
        end: latest,
        epoch: 0,
      });
    }
  }

  /** @throws RecoveryRefusal when a partition is not that of which the copy has an offset */
  async #identify(topic: string, bounds: LogBounds, next: number, lastRecord: string | null): Promise<void> {
    const { logs } = this.#options;
    const { partition, earliest, latest } = bounds;
    const place = next - 1;
    const known =
      place < earliest || place >= latest
        ? undefined
        : (await logs.read(topic, partition, place)).find(({ offset }) => offset === place);
    this.#reads.knownRecord(topic, partition, known);
    const differs = known !== undefined && lastRecord !== null && !fingerprint(known).startsWith(lastRecord);
    if (next > latest || differs) {
      throw new RecoveryRefusal(
        `${topicPartition(topic, partition)} is not the log that the copy has handled up to offset ${next}`,
      );
    }
  }

  /** Handles a message, or fires a timer, of which something was published. */
  async #decideAgain(outputs: Outputs, published: Published): Promise<void> {
    const { id } = outputs;
    this.#pending.delete(id);
    this.#now = outputs.now;
    this.#place = outputs.first;
    if (this.#isEffect(id)) {
      this.#performed.push(id);
      return;
    }
    let isThere = this.#reads.placeOf(id) !== undefined || this.#hasTimer(id);
    while (!this.#reads.isPassed(id) && (isThere || DERIVED.test(id))) {
      if (await this.#try(outputs, STRICT)) return;
      if (await this.#tryWithOthers(outputs)) return;
      // No few of them suffice: one that emits nothing is taken for one that came before.
      if (!(await this.#handleOther(outputs))) break;
      isThere ||= this.#hasTimer(id);
    }
    const last = published.outputs.at(-1)?.first;
    const isLastSend =
      last !== undefined &&
      last.epoch === outputs.first.epoch &&
      last.number - outputs.first.number < LAST_SEND;
    if (isThere && isLastSend && (await this.#try(outputs, AT_THE_END))) return;
    if (isThere && (await this.#try(outputs, ANY))) return;
    if (!isThere && this.#options.hasProjections === true) {
      this.#counts.requests += 1;
      return;
    }
    const why = this.#reads.isPassed(id)
      ? `when the dead letter ${id} was replayed`
      : `because of ${id}, which is in no topic that the service reads`;
    this.#differ(`${named(outputs)} was published ${why}`);
  }

  /** @returns whether what it emits was accepted */
  async #try(outputs: Outputs, tolerance: Tolerance): Promise<boolean> {
    const place = this.#reads.placeOf(outputs.id);
    if (place === undefined) return this.#fire(outputs.id, outputs, tolerance);
    const { reader, offset } = place;
    for (
      let head = await reader.head();
      head !== undefined && head.offset <= offset;
      head = await reader.head()
    ) {
      if (head.offset === offset) return this.#handle(reader, head, outputs, tolerance);
      if (!(await this.#handle(reader, head, undefined, tolerance))) return false;
    }
    return false;
  }

  /**
   * Handles a message with others of other partitions before it, of which nothing was published, in one transaction: as few as
   * possible, because the rest of them came later. None of them is handled unless it is accepted with them.
   */
  async #tryWithOthers(outputs: Outputs): Promise<boolean> {
    const own = this.#reads.placeOf(outputs.id)?.reader;
    const head = await own?.head();
    // What is before it in its own partition comes first.
    if (head !== undefined && idOf(head) !== outputs.id) return false;
    const last =
      own === undefined || head === undefined
        ? this.#firing(outputs.id, outputs.now)
        : this.#handling(own, head);
    const chains = await this.#othersBefore(outputs, own);
    for (const steps of combinations(chains)) {
      const all = [...steps, last];
      const isDone = await this.#within(outputs, STRICT, async () => {
        const results = await Promise.all(all.map(({ run }) => run()));
        for (const [index, { done }] of all.entries()) if (results[index] === true) done();
        return results.at(-1) === true;
      });
      if (isDone) return true;
    }
    return false;
  }

  /** What may have been handled before a message: by partition, in order, and each timer that was due. */
  async #othersBefore(outputs: Outputs, own: Reader | undefined): Promise<Step[][]> {
    const until = outputs.now + CLOCKS_MS;
    const chains: Step[][] = [];
    for (const reader of this.#reads.all) {
      if (reader === own) continue;
      const steps: Step[] = [];
      for (const record of await reader.ahead(MAX_OTHERS)) {
        if (record.timestampMs > until || this.#hasTurn(idOf(record))) break;
        steps.push(this.#handling(reader, record));
      }
      if (steps.length > 0) chains.push(steps);
    }
    for (const { id, dueAt } of this.#messaging?.timers.dueAt(outputs.now) ?? []) {
      if (id !== outputs.id && !this.#hasTurn(id)) chains.push([this.#firing(id, dueAt)]);
    }
    return chains;
  }

  #handling(reader: Reader, record: IncomingRecord): Step {
    const { topic, partition, earliest: start, latest: end } = reader;
    return {
      at: record.timestampMs,
      run: async () => {
        const batch = { topic, partition, records: [record], start, end, epoch: 0 };
        return ((await this.#reading?.handle(batch))?.next ?? 0) > record.offset;
      },
      done: () => {
        reader.pass(record);
        this.#counts.read += 1;
      },
    };
  }

  #firing(id: string, at: number): Step {
    return {
      at,
      run: async () => {
        const { unitOfWork, timers } = this.#messaging ?? {};
        const fired = unitOfWork?.run((transaction) => timers?.fire(id, transaction) === true);
        return (await fired?.catch(() => false)) ?? false;
      },
      done: () => {
        this.#counts.timersFired += 1;
      },
    };
  }

  /** Handles one of the others, by its time. @returns whether there was one that emits nothing */
  async #handleOther(outputs: Outputs): Promise<boolean> {
    const chains = await this.#othersBefore(outputs, this.#reads.placeOf(outputs.id)?.reader);
    const firsts = chains.flatMap(([first]) => (first === undefined ? [] : [first]));
    for (const { run, done } of firsts.sort((one, other) => one.at - other.at)) {
      if (!(await this.#within(undefined, STRICT, run))) continue;
      done();
      return true;
    }
    return false;
  }

  /** Whether something was published of it, so that it would be refused before its turn. */
  #hasTurn(id: string | undefined): boolean {
    return id !== undefined && this.#pending.has(id);
  }

  /** What the service had handled last, as it told the broker, and published nothing of. */
  async #handleRest(): Promise<void> {
    this.#now = systemRuntime.now();
    this.#place = undefined;
    for (;;) {
      let first: { readonly reader: Reader; readonly head: IncomingRecord } | undefined;
      for (const reader of this.#reads.all) {
        const head = await reader.head();
        if (head === undefined || head.offset >= reader.handledTo) continue;
        if (first === undefined || head.timestampMs < first.head.timestampMs) first = { reader, head };
      }
      if (first === undefined) return;
      if (!(await this.#handle(first.reader, first.head, undefined, AFTER_THE_END))) {
        throw new RecoveryRefusal(`${aboutRecord(first.head)} cannot be handled`);
      }
    }
  }

  /** @returns whether what the message emits was accepted */
  async #handle(
    reader: Reader,
    record: IncomingRecord,
    expected: Outputs | undefined,
    tolerance: Tolerance,
  ): Promise<boolean> {
    const { topic, partition, earliest: start, latest: end } = reader;
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const isAccepted = await this.#within(expected, tolerance, async () => {
        const handled = await this.#reading?.handle({
          topic,
          partition,
          records: [record],
          start,
          end,
          epoch: 0,
        });
        return (handled?.next ?? 0) > record.offset;
      });
      if (isAccepted) {
        reader.pass(record);
        this.#counts.read += 1;
        return true;
      }
      if ((this.#step?.contradictions.length ?? 0) > 0) return false;
      const [stop] = this.#messaging?.partitionStops.list() ?? [];
      if (stop !== undefined) throw new RecoveryRefusal(`${aboutRecord(record)}: ${stop.error}`);
      // Its handler failed: the policy for that says how often it is tried before it is parked.
    }
    throw new RecoveryRefusal(`${aboutRecord(record)} cannot be handled`);
  }

  /** @returns whether there is such a timer, and what it emits was accepted */
  async #fire(id: string, expected: Outputs | undefined, tolerance: Tolerance): Promise<boolean> {
    const messaging = this.#messaging;
    if (messaging === undefined || !this.#hasTimer(id)) return false;
    const isFired = await this.#within(expected, tolerance, async () => {
      try {
        return await messaging.unitOfWork.run((transaction) => messaging.timers.fire(id, transaction));
      } catch (error) {
        if (!(error instanceof Rejected)) throw new RecoveryRefusal(`timer ${id}: ${errorText(error)}`);
        return false;
      }
    });
    if (isFired) this.#counts.timersFired += 1;
    return isFired;
  }

  async #within(
    expected: Outputs | undefined,
    tolerance: Tolerance,
    work: () => Promise<boolean>,
  ): Promise<boolean> {
    const step = { accepted: false, contradictions: [], confirmed: 0 };
    this.#expected = expected;
    this.#tolerance = tolerance;
    this.#step = step;
    const isDone = await work();
    if (this.#impossible !== undefined) throw new RecoveryRefusal(this.#impossible);
    this.#expected = undefined;
    if (!isDone) return false;
    this.#emitted = this.#messaging?.outbox.last() ?? 0;
    this.#counts.confirmed += step.confirmed;
    for (const text of step.contradictions) this.#differ(text);
    return true;
  }

  /** Stands between each transaction and its commit. */
  #gate(): GroupLog {
    return {
      begin: () => {},
      store: () => this.#check(),
      committed: (callback) => callback(),
      changeSchema: (change) => this.#sql.transaction(() => change(() => {})).immediate(),
      drain: async () => {},
      release: async () => {},
      onLost: () => {},
    };
  }

  /** Compares what a transaction emits with what was published, and takes that out of the outbox. */
  #check(): void {
    const published = this.#published;
    const step = this.#step;
    if (published === undefined || step === undefined) return;
    const { unpublished, contradiction } = this.#tolerance;
    const contradictions: string[] = [];
    const reported: string[] = [];
    const found = new Set<string>();
    for (const row of this.#rows(this.#emitted)) {
      const message = this.#topics.some(({ name }) => name === row.topic) ? messageIn(row) : undefined;
      // A copy of a dead letter: what was parked before was copied before.
      if (message === undefined) {
        if (this.#place !== undefined) this.#remove(row);
        continue;
      }
      const { id, type, subject } = message;
      const output = published.find(id);
      const text = `${type} of ${subject} (${id})`;
      if (published.isUnordered(id)) {
        this.#impossible = `${text} was published by a version that does not say in which order`;
        throw new Rejected(this.#impossible);
      }
      if (output !== undefined) {
        if (output.digest !== digestOf(message)) {
          contradictions.push(`${text} was published with other content`);
        } else if (this.#expected?.messages.has(id) !== true) {
          contradictions.push(`${text} was published later than what follows it`);
        }
        found.add(id);
        this.#remove(row);
      } else if (this.#place !== undefined && published.hasState(row, this.#place)) this.#remove(row);
      else if (unpublished === "refuse") contradictions.push(`${text} was not published`);
      else if (unpublished === "report") reported.push(`${text} was not published, and is decided now`);
    }
    for (const [id, { type, subject }] of this.#expected?.messages ?? []) {
      if (!found.has(id))
        contradictions.push(`${type} of ${subject} (${id}) was published, and is not decided again`);
    }
    step.contradictions = [...contradictions, ...reported];
    step.confirmed = found.size;
    if (contradictions.length > 0 && contradiction === "refuse")
      throw new Rejected("what was published is different");
  }

  #remove({ seq }: OutboxRow): void {
    this.#sql.run("DELETE FROM outbox WHERE seq = ?", [seq]);
  }

  #rows(after: number): OutboxRow[] {
    return this.#sql
      .query<OutboxRow, [number]>(
        "SELECT seq, topic, key, value, headers FROM outbox WHERE seq > ? ORDER BY seq",
      )
      .all(after);
  }

  /** Nobody knows whether an effect was performed that the copy has, or that was enqueued again. */
  #holdEffects(): number {
    const hold = (where: string, error: string, keys: string[]) =>
      this.#sql.run(
        `UPDATE durable_effects SET due_at = NULL, error = ? WHERE due_at IS NOT NULL AND ${where}`,
        [error, ...keys],
      ).changes;
    let held = 0;
    for (const key of this.#performed) {
      held += hold("key = ?", "recovered: it was performed, and what followed was published", [key]);
    }
    return held + hold("true", "recovered: it may have been performed", []);
  }

  #isEffect(key: string): boolean {
    return this.#sql.query("SELECT 1 FROM durable_effects WHERE key = ?").get(key) !== null;
  }

  #hasTimer(id: string): boolean {
    return this.#sql.query("SELECT 1 FROM timers WHERE id = ?").get(id) !== null;
  }

  #position(topic: string, partition: number): { next: number | undefined; lastRecord: string | null } {
    const row = this.#sql
      .query<{ next: number; lastRecord: string | null }, [string, number]>(
        "SELECT next_offset AS next, last_record AS lastRecord FROM consumer_offsets WHERE topic = ? AND partition = ?",
      )
      .get(topic, partition);
    return row ?? { next: undefined, lastRecord: null };
  }

  #count(sql: string): number {
    return this.#sql.query<{ count: number }, []>(sql).get()?.count ?? 0;
  }

  #differ(text: string): void {
    if (this.#differences.length < MAX_DIFFERENCES) this.#differences.push(text);
    else this.#furtherDifferences += 1;
  }
}

function messageIn({ topic, key, value, headers }: OutboxRow) {
  const message = readCloudEvent({
    topic,
    key,
    value,
    headers: JSON.parse(headers) as Record<string, string>,
  });
  return typeof message === "string" ? undefined : message;
}

function aboutRecord({ topic, partition, offset }: IncomingRecord): string {
  return `the record ${offset} of ${topicPartition(topic, partition)}`;
}

function named({ messages }: Outputs): string {
  const [first] = messages.values();
  const more = messages.size > 1 ? ` and ${messages.size - 1} more` : "";
  return `${first?.type} of ${first?.subject}${more}`;
}
