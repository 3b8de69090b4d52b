import { expect } from "bun:test";
import {
  closed,
  deadLetterTopic,
  define,
  encode,
  type Logger,
  Messaging,
  message,
  on,
  openDatabase,
  silentLogger,
  systemRuntime,
  type Topic,
} from "@distributed-messaging/messaging";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { Prng } from "../simulation/prng.ts";
import {
  EVENT_TYPE,
  type Generated,
  type GeneratedBatch,
  Generator,
  IGNORED_TYPE,
  SOURCE,
} from "./generator.ts";
import { RawProducer } from "./raw-producer.ts";

/*
 * Records of any content, in batches of every codec and damaged ones, between messages of the kit.
 *
 *   FUZZ_SEED     repeats a run
 *   FUZZ_RECORDS  how many records
 */

const seed = process.env.FUZZ_SEED ?? String(Math.floor(Math.random() * 2 ** 32));
export const LIMIT_MS = 600_000;
const PARTITIONS = 32;
/** Batches in a request, each for another partition. */
const BATCHES_AT_ONCE = 16;
const VALID_AT_ONCE = 24;
const VALID_KEYS = 12;
/** Where the format's number and the records are in a batch. */
const MAGIC_AT = 16;
const RECORDS_AT = 61;
/** More lines of the log are not kept. */
const MAX_LOG_LINES = 5;

const topic: Topic = {
  name: "fuzz.letters",
  key: "name",
  partitions: PARTITIONS,
  config: { "retention.ms": "-1" },
};
const deadLetters = deadLetterTopic("fuzz");
const data = Type.Object({ name: Type.String(), text: Type.String() }, closed);
const common = { kind: "event", source: SOURCE, topic, key: "name", data } as const;
const Letter = define({ ...common, type: EVENT_TYPE });
const Note = define({ ...common, type: IGNORED_TYPE });

export interface FuzzedBroker extends AsyncDisposable {
  /** On the loopback interface. */
  readonly port: number;
  /** Whether it looks into batches: refuses those that it cannot decode, and corrects the headers of the others. */
  readonly validates: boolean;
}

/** What was stored at the offsets from `base` on. */
interface Stored {
  readonly partition: number;
  readonly base: number;
  readonly batch: GeneratedBatch;
}

interface Effect {
  readonly id: string;
  readonly name: string;
  readonly text: string;
}

interface Parked {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  readonly headers: string;
  readonly exact: string | null;
}

interface Skipped {
  readonly partition: number;
  readonly offset: number;
  readonly nextOffset: number;
}

/** A kit service, with a handler that stores what it is given. */
class Service {
  readonly database = openDatabase(":memory:");
  readonly failures: string[] = [];
  readonly kit: Messaging;
  readonly transport;

  constructor(broker: FuzzedBroker) {
    const log: Logger = {
      ...silentLogger,
      warn: (fields, text) => this.#note(fields, text),
      error: (fields, text) => this.#note(fields, text),
    };
    const settings = { brokers: [`127.0.0.1:${broker.port}`], clientId: "fuzz" };
    this.transport = kafkaTransport(settings, [topic, deadLetters], systemRuntime, log);
    this.database.sql.run("CREATE TABLE effects (seq INTEGER PRIMARY KEY, id TEXT, name TEXT, text TEXT)");
    const insert = this.database.sql.prepare("INSERT INTO effects (id, name, text) VALUES (?, ?, ?)");
    this.kit = new Messaging({
      service: "fuzz",
      database: this.database,
      transport: this.transport,
      definitions: [Letter, Note],
      handlers: [
        on(Letter, ({ id, data: { name, text } }) => {
          insert.run(id, name, text);
        }),
      ],
      deadLetterTopic: deadLetters.name,
      runtime: systemRuntime,
      log,
    });
  }

  /** Whatever the log says beside what is expected of foreign records. */
  #note(fields: object, text: string): void {
    const expected = ["a message is parked as a dead letter", "a partition is stopped", "a stop is ended"];
    if (expected.includes(text) || this.failures.length >= MAX_LOG_LINES) return;
    this.failures.push(`${text}: ${Bun.inspect(fields)}`);
  }

  /** How far each partition has been handled. */
  positions(): Map<number, number> {
    const rows = this.database.sql
      .query<{ partition: number; next: number }, [string]>(
        "SELECT partition, next_offset AS next FROM consumer_offsets WHERE topic = ?",
      )
      .all(topic.name);
    return new Map(rows.map(({ partition, next }) => [partition, next]));
  }

  effects(): Effect[] {
    return this.database.sql.query<Effect, []>("SELECT id, name, text FROM effects ORDER BY seq").all();
  }

  parked(): Parked[] {
    return this.database.sql
      .query<Parked, []>("SELECT partition, offset, key, value, headers, exact FROM dead_letters ORDER BY id")
      .all();
  }

  async stop(): Promise<void> {
    await this.kit.stop();
    await this.transport.close();
    this.database.close();
  }
}

/** Skips what is stopped, as an operator does. Each stop has to be at one whole batch that is damaged. */
async function skipStops(
  service: Service,
  stored: readonly Stored[],
  skipped: Skipped[],
  { validates }: FuzzedBroker,
): Promise<void> {
  for (const stop of service.kit.partitionStops.list()) {
    const { partition, offset, nextOffset, reason, bytes } = stop;
    const found = stored.find((one) => one.partition === partition && one.base === offset);
    // Not known yet: the batch was read before the answer to the producer.
    if (found === undefined) continue;
    const context = `stopped at ${partition}/${offset}: ${stop.error}`;
    expect({ reason, damaged: found.batch.records === undefined, context }).toEqual({
      ...{ reason: "undecodable-batch", damaged: true, context },
    });
    expect(nextOffset).toBe(offset + found.batch.count);
    // The broker sets the base offset and the leader epoch, and may correct the times and with them the checksum.
    const from = validates ? RECORDS_AT : MAGIC_AT;
    const isSame = Buffer.from(bytes ?? [])
      .subarray(from)
      .equals(found.batch.bytes.subarray(from));
    expect(isSame).toBe(true);
    skipped.push({ partition, offset, nextOffset });
    const place = { topic: topic.name, partition };
    await service.kit.partitionStops.decide(place, "skip", "it is damaged", "operator");
  }
}

/** The bytes of a dead letter are those of the record. */
function expectExact(letter: Parked, { key, value, headers }: Generated): void {
  const encoded = (bytes: Uint8Array | null) =>
    bytes === null ? null : Buffer.from(bytes).toString("base64");
  const place = { partition: letter.partition, offset: letter.offset };
  const kept: { key: string | null; headers: [string, string | null][] } =
    letter.exact === null
      ? {
          key: letter.key === null ? null : encoded(Buffer.from(letter.key)),
          headers: Object.entries<string>(JSON.parse(letter.headers)).map(([name, text]) => [
            ...([encoded(Buffer.from(name)) ?? "", encoded(Buffer.from(text))] as const),
          ]),
        }
      : JSON.parse(letter.exact);
  const written: [string, string | null][] = headers.map(([name, text]) => [
    encoded(name) ?? "",
    encoded(text),
  ]);
  if (letter.exact === null) {
    // An object has names that are numbers first.
    kept.headers.sort();
    written.sort();
  }
  expect({ ...place, value: encoded(letter.value), ...kept }).toEqual({
    ...{ ...place, value: encoded(value), key: encoded(key), headers: written },
  });
}

/** How many records a test has, unless FUZZ_RECORDS says so. */
export function recordCountOf(usual: number): number {
  return Number(process.env.FUZZ_RECORDS ?? usual);
}

/** Produces records and expects that each is handled, skipped or parked once, and that no service stops. */
export async function fuzz(start: () => Promise<FuzzedBroker>, recordCount: number): Promise<void> {
  console.log(`FUZZ_SEED=${seed} FUZZ_RECORDS=${recordCount}`);
  const random = new Prng(seed);
  const generator = new Generator(random.fork("batches"));
  await using broker = await start();
  const service = new Service(broker);
  const { kit, transport } = service;
  const stored: Stored[] = [];
  const skipped: Skipped[] = [];
  const valid: Effect[] = [];
  let refused = 0;
  const producer = await RawProducer.connect(broker.port);
  try {
    await transport.createTopics();
    kit.start();
    await eventually(() => kit.healthy(), "the service consumes");
    // A broker that has just started may not have had a coordinator for the group at first.
    service.failures.length = 0;

    let produced = 0;
    while (produced < recordCount) {
      const batches = new Map<number, GeneratedBatch>();
      for (let count = 0; count < BATCHES_AT_ONCE && produced < recordCount; count++) {
        const partition = random.between(0, PARTITIONS - 1);
        if (batches.has(partition)) continue;
        const batch = generator.batch();
        batches.set(partition, batch);
        produced += batch.records?.length ?? 1;
      }
      const letters = Array.from({ length: VALID_AT_ONCE }, () => {
        const id = Bun.randomUUIDv7();
        const name = `valid ${valid.length % VALID_KEYS}`;
        const letter = { id, name, text: String(Math.floor(valid.length / VALID_KEYS)) };
        valid.push(letter);
        const origin = {
          id,
          source: SOURCE,
          time: new Date().toISOString(),
          correlationid: id,
          causationid: id,
        };
        return encode(Letter, message(Letter, { name, text: letter.text }, origin));
      });
      const bytes = new Map([...batches].map(([partition, batch]) => [partition, batch.bytes]));
      const [answer] = await Promise.all([producer.produce(topic.name, bytes), transport.publish(letters)]);
      for (const [partition, base] of answer.stored) {
        const batch = batches.get(partition);
        if (batch !== undefined) stored.push({ partition, base, batch });
      }
      for (const [partition, error] of answer.refused) {
        const damaged = batches.get(partition)?.records === undefined;
        expect({ error, damaged, validates: broker.validates }).toEqual({
          error,
          damaged: true,
          validates: true,
        });
        refused += 1;
      }
      await skipStops(service, stored, skipped, broker);
    }

    const ends = await producer.ends(topic.name, PARTITIONS);
    await eventually(
      async () => {
        await skipStops(service, stored, skipped, broker);
        const positions = service.positions();
        return ends.every((end, partition) => end === 0 || positions.get(partition) === end);
      },
      "everything is handled",
      LIMIT_MS,
    );
    await eventually(() => kit.healthy() && kit.outbox.depth() === 0, "healthy, and the copies are sent");
    expect(service.failures).toEqual([]);
    expect({ stops: kit.partitionStops.list(), refused: kit.refused() }).toEqual({
      stops: [],
      refused: false,
    });
    expect(kit.deadLetters.dropped).toBe(0);

    // Every message of the kit took effect once, and in the order of its key.
    const effects = service.effects();
    const ofKey = (all: readonly Effect[]) =>
      Object.groupBy(
        all.filter(({ name }) => name.startsWith("valid ")),
        ({ name }) => name,
      );
    expect(ofKey(effects)).toEqual(ofKey(valid));

    // Every other record was handled once, skipped, or parked once.
    const handled = new Map<string, number>();
    for (const { id, text } of effects) {
      for (const mark of [id, text]) handled.set(mark, (handled.get(mark) ?? 0) + 1);
    }
    const place = (partition: number, offset: number) => `${partition}/${offset}`;
    const parked = service.parked();
    const letterAt = Map.groupBy(parked, ({ partition, offset }) => place(partition, offset));
    const skippedAt = new Set(skipped.map(({ partition, offset }) => place(partition, offset)));
    const fates = { handled: 0, parked: 0, ignored: 0, skipped: 0, damagedAndRead: 0 };
    for (const { partition, base, batch } of stored) {
      if (skippedAt.has(place(partition, base))) {
        fates.skipped += batch.count;
        continue;
      }
      if (batch.records === undefined) fates.damagedAndRead += 1;
      for (let index = 0; index < batch.count; index++) {
        const where = place(partition, base + index);
        const record = batch.records?.[index];
        const letters = letterAt.get(where) ?? [];
        const { id = "", text = "" } = record?.event ?? {};
        const times = Math.max(handled.get(id) ?? 0, handled.get(text) ?? 0);
        const isIgnored = times === 0 && letters.length === 0 && isNote(record);
        expect({ where, fates: letters.length + times + Number(isIgnored) }).toEqual({ where, fates: 1 });
        if (letters[0] !== undefined && record !== undefined) expectExact(letters[0], record);
        fates.parked += letters.length;
        fates.handled += times;
        fates.ignored += Number(isIgnored);
      }
    }
    expect(skippedAt.size).toBe(skipped.length);
    expect(parked.length).toBe(fates.parked);
    const { counts } = kit.consumer;
    expect({ ...counts, all: effects.length }).toMatchObject({
      ...{ handled: fates.handled + valid.length, parked: fates.parked, skipped: fates.ignored },
      ...{ retried: 0, lost: 0, all: fates.handled + valid.length },
    });
    // The generator made some of each. What a broker refuses is not there to be skipped.
    const undecodable = broker.validates ? refused : fates.skipped;
    expect([fates.handled, fates.parked, fates.ignored, undecodable].every((count) => count > 0)).toBe(true);
    console.log(`${valid.length} messages, ${stored.length} batches, ${refused} refused`, fates);
  } finally {
    producer.close();
    await service.stop();
  }
}

function isNote(record: Generated | undefined): boolean {
  return record?.value?.includes(`"type":"${IGNORED_TYPE}"`) ?? false;
}
