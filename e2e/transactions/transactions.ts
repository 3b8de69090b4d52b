import { expect } from "bun:test";
import { Kafka, logLevel } from "kafkajs";
import { ask, int8, int16, int32, int64, list, text } from "../admin/raw-client.ts";
import { recordBatch, recordBytes, resealed } from "../fuzz/raw-producer.ts";

/*
 * What a broker answers to producers with transactions, right and wrong ones. The codes are those of Apache Kafka 4.1;
 * `apache-kafka.ts` compares them with a real one, `transactions.test.ts` with the embedded broker.
 */

const NONE = 0;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const OFFSET_METADATA_TOO_LARGE = 12;
const COORDINATOR_LOAD_IN_PROGRESS = 14;
const COORDINATOR_NOT_AVAILABLE = 15;
const NOT_COORDINATOR = 16;
const INVALID_GROUP_ID = 24;
const INVALID_REQUEST = 42;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
const INVALID_PRODUCER_EPOCH = 47;
const INVALID_TXN_STATE = 48;
const INVALID_PRODUCER_ID_MAPPING = 49;
const INVALID_TRANSACTION_TIMEOUT = 50;
const CONCURRENT_TRANSACTIONS = 51;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53;
const OPERATION_NOT_ATTEMPTED = 55;
const PRODUCER_FENCED = 90;

const [PRODUCE, FETCH, FIND_COORDINATOR, INIT_PRODUCER_ID] = [0, 1, 10, 22];
const [ADD_PARTITIONS, ADD_OFFSETS, END, COMMIT_OFFSETS] = [24, 25, 26, 28];

const TOPIC = "transactions";
const TIMEOUT_MS = 60_000;
/** Byte positions in a batch: https://kafka.apache.org/documentation/#recordbatch */
const AT = { attributes: 21, producerId: 43, epoch: 51, sequence: 53 } as const;
const TRANSACTIONAL = 0x10;

interface Producer {
  readonly id: string;
  readonly producerId: number;
  readonly epoch: number;
}

const identity = ({ id, producerId, epoch }: Producer) => [text(id), int64(producerId), int16(epoch)];

/** Requests in versions without compact types. Each resolves with the error codes of the response. */
class Broker {
  constructor(private readonly port: number) {}

  /** @param keyType 0: of a group, 1: of a transactional id */
  async findCoordinator(key: string, keyType: number): Promise<number> {
    const response = await ask(this.port, FIND_COORDINATOR, 1, Buffer.concat([text(key), int8(keyType)]));
    response.int32();
    return response.int16();
  }

  async initialize(id: string, timeoutMs = TIMEOUT_MS): Promise<Producer & { readonly code: number }> {
    const response = await ask(this.port, INIT_PRODUCER_ID, 1, Buffer.concat([text(id), int32(timeoutMs)]));
    response.int32();
    return { code: response.int16(), id, producerId: response.int64(), epoch: response.int16() };
  }

  /** The codes of the partitions, in no order. */
  async add(producer: Producer, partitions: readonly number[], version = 2): Promise<number[]> {
    const topics = list([TOPIC], (topic) => [text(topic), list(partitions, (index) => [int32(index)])]);
    const body = Buffer.concat([...identity(producer), topics]);
    const response = await ask(this.port, ADD_PARTITIONS, version, body);
    response.int32();
    return response
      .list(() => {
        response.text();
        return response.list(() => {
          response.int32();
          return response.int16();
        });
      })
      .flat()
      .sort((a, b) => a - b);
  }

  async addOffsets(producer: Producer, group: string, version = 2): Promise<number> {
    const body = Buffer.concat([...identity(producer), text(group)]);
    const response = await ask(this.port, ADD_OFFSETS, version, body);
    response.int32();
    return response.int16();
  }

  async commitOffset(producer: Producer, group: string, topic = TOPIC, metadata = ""): Promise<number> {
    const { id, producerId, epoch } = producer;
    const partition = [int32(0), int64(5), int32(-1), text(metadata)];
    const topics = list([topic], (name) => [text(name), list([0], () => partition)]);
    const body = Buffer.concat([text(id), text(group), int64(producerId), int16(epoch), topics]);
    const response = await ask(this.port, COMMIT_OFFSETS, 2, body);
    response.int32();
    const codes = response.list(() => {
      response.text();
      return response.list(() => {
        response.int32();
        return response.int16();
      });
    });
    return codes.flat()[0] ?? NONE;
  }

  async end(producer: Producer, isCommit: boolean, version = 2): Promise<number> {
    const response = await ask(
      this.port,
      END,
      version,
      Buffer.concat([...identity(producer), int8(isCommit ? 1 : 0)]),
    );
    response.int32();
    return response.int16();
  }

  /** A batch of one record. @param id of the request; null: none */
  async produce(
    { producerId, epoch, id }: Producer,
    sequence: number,
    { partition = 0, transactional = true, as = id as string | null } = {},
  ): Promise<number> {
    const record = { key: Buffer.from("k"), value: Buffer.from(`${producerId}`), headers: [] };
    const batch = resealed(recordBatch(0, 1, recordBytes([record])), (bytes) => {
      bytes.writeInt16BE(transactional ? TRANSACTIONAL : 0, AT.attributes);
      bytes.writeBigInt64BE(BigInt(producerId), AT.producerId);
      bytes.writeInt16BE(epoch, AT.epoch);
      bytes.writeInt32BE(sequence, AT.sequence);
    });
    const topics = list([TOPIC], (topic) => [
      text(topic),
      list([batch], (bytes) => [int32(partition), int32(bytes.length), bytes]),
    ]);
    const body = Buffer.concat([text(as), int16(-1), int32(TIMEOUT_MS), topics]);
    const response = await ask(this.port, PRODUCE, 7, body);
    response.int32();
    response.text();
    response.int32();
    response.int32();
    return response.int16();
  }

  /** Of partition 0, for a consumer with read_committed: where it ends, and the first offsets of aborted transactions. */
  async fetch(): Promise<{ highWatermark: number; lastStableOffset: number; aborted: number[] }> {
    const partition = [int32(0), int32(-1), int64(0), int64(-1), int32(2 ** 20)];
    const topics = list([TOPIC], (topic) => [text(topic), list([0], () => partition)]);
    const limits = [int32(-1), int32(0), int32(1), int32(2 ** 20)];
    const session = [int32(0), int32(-1)];
    const rest = [topics, int32(0), text("")];
    const body = Buffer.concat([...limits, int8(1), ...session, ...rest]);
    const response = await ask(this.port, FETCH, 11, body);
    for (const skip of [4, 2, 4, 4]) for (let at = 0; at < skip; at++) response.int8();
    response.text();
    response.int32();
    response.int32();
    response.int16();
    const ends = { highWatermark: response.int64(), lastStableOffset: response.int64() };
    response.int64();
    const aborted = response.list(() => {
      response.int64();
      return response.int64();
    });
    return { ...ends, aborted };
  }
}

/** Repeats a request while another change of the transaction, or the start of the coordinator, is under way. */
async function settled<Result>(
  request: () => Promise<Result>,
  codeOf: (result: Result) => number,
): Promise<Result> {
  const starting = [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR];
  for (;;) {
    const result = await request();
    if (![...starting, CONCURRENT_TRANSACTIONS].includes(codeOf(result))) return result;
    await Bun.sleep(20);
  }
}

/** @throws when a code is another one than in the table */
export async function compareTransactions(port: number): Promise<void> {
  await createTopic(port);
  const broker = new Broker(port);
  const own = (code: number) => code;
  await settled(() => broker.findCoordinator("x", 1), own);
  await settled(() => broker.findCoordinator("g", 0), own);
  const start = (id: string) =>
    settled(
      () => broker.initialize(id),
      ({ code }) => code,
    );
  const answers: [what: string, code: number | readonly number[], expected: number | readonly number[]][] =
    [];
  const check = (what: string, code: number | readonly number[], expected: number | readonly number[]) =>
    void answers.push([what, code, expected]);

  const x = await start("x");
  check("initializes", x.code, NONE);
  check("an empty id", (await broker.initialize("")).code, INVALID_REQUEST);
  check("no timeout", (await broker.initialize("y", 0)).code, INVALID_TRANSACTION_TIMEOUT);
  check("a long timeout", (await broker.initialize("y", 2 ** 31 - 1)).code, INVALID_TRANSACTION_TIMEOUT);

  check("ends what has not begun", await broker.end(x, true), INVALID_TXN_STATE);
  check("produces before adding", await broker.produce(x, 0), INVALID_TXN_STATE);
  check("adds one that is not there", await broker.add(x, [0, 7]), [
    UNKNOWN_TOPIC_OR_PARTITION,
    OPERATION_NOT_ATTEMPTED,
  ]);
  check("adds", await broker.add(x, [0]), [NONE]);
  check("adds again", await broker.add(x, [0]), [NONE]);
  check("produces elsewhere", await broker.produce(x, 0, { partition: 1 }), INVALID_TXN_STATE);
  check("without an id", await broker.produce(x, 0, { as: null }), TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  check("with another id", await broker.produce(x, 0, { as: "other" }), INVALID_PRODUCER_ID_MAPPING);
  check("a later epoch", await broker.produce({ ...x, epoch: x.epoch + 1 }, 0), INVALID_PRODUCER_EPOCH);
  check("produces", await broker.produce(x, 0), NONE);
  check("produces it again", await broker.produce(x, 0), NONE);
  check("leaves out a sequence", await broker.produce(x, 5), OUT_OF_ORDER_SEQUENCE_NUMBER);
  check("not in the transaction", await broker.produce(x, 1, { transactional: false }), INVALID_TXN_STATE);

  const first = await settled(() => broker.commitOffset(x, "g"), own);
  check("offsets before the group", first, INVALID_TXN_STATE);
  check("adds a group", await broker.addOffsets(x, "g"), NONE);
  check("offsets", await broker.commitOffset(x, "g"), NONE);
  check("of no topic", await broker.commitOffset(x, "g", "missing"), UNKNOWN_TOPIC_OR_PARTITION);
  const long = "x".repeat(5_000);
  check("long metadata", await broker.commitOffset(x, "g", TOPIC, long), OFFSET_METADATA_TOO_LARGE);
  check("no group", await broker.commitOffset(x, ""), INVALID_GROUP_ID);
  expect(await broker.fetch()).toEqual({ highWatermark: 1, lastStableOffset: 0, aborted: [] });

  check("commits", await broker.end(x, true), NONE);
  check("commits again", await settled(() => broker.end(x, true), own), NONE);
  check("aborts what is committed", await broker.end(x, false), INVALID_TXN_STATE);
  check("produces after the end", await broker.produce(x, 1), INVALID_TXN_STATE);
  check("offsets after the end", await broker.commitOffset(x, "g"), INVALID_TXN_STATE);
  expect(await broker.fetch()).toEqual({ highWatermark: 2, lastStableOffset: 2, aborted: [] });

  check(
    "begins another one",
    await settled(
      () => broker.add(x, [0]),
      ([code = NONE]) => code,
    ),
    [NONE],
  );
  check("and produces", await broker.produce(x, 1), NONE);
  check("another producer", (await broker.initialize("x")).code, CONCURRENT_TRANSACTIONS);
  const next = await start("x");
  check("tries again", next.code, NONE);
  expect([next.producerId, next.epoch]).toEqual([x.producerId, x.epoch + 2]);
  expect(await broker.fetch()).toEqual({ highWatermark: 4, lastStableOffset: 4, aborted: [2] });
  check("fenced: adds", await broker.add(x, [0]), [PRODUCER_FENCED]);
  check("fenced: adds, before v2", await broker.add(x, [0], 1), [INVALID_PRODUCER_EPOCH]);
  check("fenced: ends", await broker.end(x, true), PRODUCER_FENCED);
  check("fenced: ends, before v2", await broker.end(x, true, 1), INVALID_PRODUCER_EPOCH);
  check("fenced: adds a group", await broker.addOffsets(x, "g"), PRODUCER_FENCED);
  check("fenced: adds a group, before v2", await broker.addOffsets(x, "g", 1), INVALID_PRODUCER_EPOCH);
  check("fenced: offsets", await broker.commitOffset(x, "g"), INVALID_PRODUCER_EPOCH);
  check("fenced: produces", await broker.produce(x, 2), INVALID_PRODUCER_EPOCH);

  const unknown = { ...x, id: "unknown" };
  check("unknown: adds", await broker.add(unknown, [0]), [INVALID_PRODUCER_ID_MAPPING]);
  check("unknown: ends", await broker.end(unknown, true), INVALID_PRODUCER_ID_MAPPING);
  check("unknown: adds a group", await broker.addOffsets(unknown, "g"), INVALID_PRODUCER_ID_MAPPING);
  check("unknown: offsets", await broker.commitOffset(unknown, "g"), INVALID_PRODUCER_ID_MAPPING);
  const stranger = { ...next, producerId: next.producerId + 1_000 };
  check("another producer id: ends", await broker.end(stranger, true), INVALID_PRODUCER_ID_MAPPING);
  check("no id: ends", await broker.end({ ...next, id: "" }, true), INVALID_REQUEST);

  const asTable = (column: 1 | 2) => answers.map((row) => `${row[0]}: ${row[column]}`);
  expect(asTable(1)).toEqual(asTable(2));
}

async function createTopic(port: number): Promise<void> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 2 }], waitForLeaders: true });
  } finally {
    await admin.disconnect();
  }
}
