/** Transactions, on raw requests. `e2e/transactions` compares the codes with Apache Kafka. */
import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import type { Broker } from "./broker.ts";
import { ErrorCode } from "./errors.ts";
import { markerBatch } from "./log/markers.ts";
import { createLogger } from "./logger.ts";
import { ApiKey } from "./registry.ts";
import { Disk } from "./storage/disk.ts";
import { Journal } from "./storage/journal.ts";
import { batchOf } from "./testing/batches.ts";
import { RawClient } from "./testing/raw-client.ts";
import { FETCH, fetchBody, fetched, PRODUCE, produceBody, produced } from "./testing/requests.ts";
import { cleanAll, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { committedOffset, readCommitted, TransactionalClient } from "./testing/transactional-client.ts";
import { created, toJson, withAdded } from "./transactions/transaction.ts";

afterEach(cleanAll);

const {
  NONE,
  CONCURRENT_TRANSACTIONS,
  INVALID_PRODUCER_EPOCH,
  INVALID_PRODUCER_ID_MAPPING,
  INVALID_REQUEST,
  INVALID_TRANSACTION_TIMEOUT,
  INVALID_TXN_STATE,
  OPERATION_NOT_ATTEMPTED,
  PRODUCER_FENCED,
  TRANSACTION_ABORTABLE,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  TRANSACTIONAL_ID_NOT_FOUND,
  UNKNOWN_TOPIC_OR_PARTITION,
  UNSTABLE_OFFSET_COMMIT,
} = ErrorCode;

async function setUp(options = {}) {
  const broker = await temporaryBroker(options);
  await broker.topics.create("t", 2, {});
  const reader = await RawClient.connect(broker);
  return { broker, reader, committed: (partition = 0) => readCommitted(reader, "t", { partition }) };
}

function logOf(broker: Broker, partition = 0) {
  return broker.topics.log({ name: "t", id: null }, partition);
}

function latest(reader: RawClient, isCommitted: boolean) {
  return offsetFor(reader, -1, isCommitted);
}

/** ListOffsets 2. */
async function offsetFor(
  reader: RawClient,
  timestamp: number,
  isCommitted: boolean,
): Promise<number | undefined> {
  const response = await reader.request(ApiKey.ListOffsets, 2, (writer) => {
    writer.int32(-1).int8(isCommitted ? 1 : 0);
    writer.structs(["t"], () => writer.string("t").structs([0], () => writer.int32(0).int64(timestamp)));
  });
  response.int32();
  const [topic] = response.structs(() => {
    response.string();
    return response.structs(() => {
      response.int32();
      response.int16();
      response.int64();
      return response.int64();
    });
  });
  return topic?.[0];
}

test("read_committed sees the records of a transaction when it is committed, in all partitions", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["a", "b"]);
  await producer.write("t", 1, ["c"]);
  expect([await committed(0), await committed(1)]).toEqual([[], []]);
  expect(await producer.end("commit")).toBe(NONE);
  expect([await committed(0), await committed(1)]).toEqual([["a", "b"], ["c"]]);
});

test("read_committed never sees the records of an aborted transaction; read_uncommitted does", async () => {
  const { broker, reader, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["aborted"]);
  expect(await producer.end("abort")).toBe(NONE);
  await producer.write("t", 0, ["a"]);
  await producer.end("commit");
  expect(await committed()).toEqual(["a"]);
  const all = fetched(await reader.request(ApiKey.Fetch, FETCH, fetchBody("t")));
  expect(all.aborted).toEqual([]);
  expect(String(all.records)).toContain("aborted");
});

test("an open transaction holds back what is written after it, also by others", async () => {
  const { broker, reader, committed } = await setUp();
  const [open, other] = await Promise.all(["x", "y"].map((id) => TransactionalClient.start(broker, id)));
  await reader.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["before"])));
  await open?.write("t", 0, ["open"]);
  await other?.write("t", 0, ["other"]);
  await other?.end("commit");
  await reader.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["after"])));
  expect(await committed()).toEqual(["before"]);
  const response = fetched(
    await reader.request(ApiKey.Fetch, FETCH, fetchBody("t", { readCommitted: true })),
  );
  expect([response.lastStableOffset, response.highWatermark]).toEqual([1, 5]);
  expect([await latest(reader, true), await latest(reader, false)]).toEqual([1, 5]);
  expect([await offsetFor(reader, 1_000, true), await offsetFor(reader, 2_000, true)]).toEqual([0, -1]);
  await open?.end("abort");
  expect(await committed()).toEqual(["before", "other", "after"]);
  expect([await latest(reader, true), await latest(reader, false)]).toEqual([6, 6]);
});

test("the aborted transactions of a fetch are those of its records", async () => {
  const { broker, reader } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  // Records at 0, 2, 4, 6, markers between them.
  for (const outcome of ["abort", "commit", "abort", "commit"] as const) {
    await producer.write("t", 0, [outcome]);
    await producer.end(outcome);
  }
  const abortedFrom = async (offset: number, partitionMaxBytes = 2 ** 20) => {
    const body = fetchBody("t", { readCommitted: true, offset, partitionMaxBytes });
    return fetched(await reader.request(ApiKey.Fetch, FETCH, body)).aborted.map(
      ({ firstOffset }) => firstOffset,
    );
  };
  expect(await abortedFrom(0)).toEqual([0, 4]);
  expect(await abortedFrom(0, 1)).toEqual([0]);
  expect(await abortedFrom(1)).toEqual([0, 4]);
  expect(await abortedFrom(2)).toEqual([4]);
  expect(await abortedFrom(2, 1)).toEqual([]);
  expect(await abortedFrom(6)).toEqual([]);
});

test("a fetch with read_committed waits for the commit, not for the records", async () => {
  const { broker, reader } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  const body = fetchBody("t", { readCommitted: true, maxWaitMs: 2 ** 31 - 1 });
  reader.send(ApiKey.Fetch, FETCH, body);
  await producer.write("t", 0, ["a"]);
  await producer.end("commit");
  const { records, lastStableOffset } = fetched(await reader.response(ApiKey.Fetch, FETCH));
  expect(String(records)).toContain("a");
  expect(lastStableOffset).toBe(2);
});

test("a marker has the bytes that Apache Kafka writes", () => {
  const { bytes } = markerBatch({ producerId: 7, epoch: 3, outcome: "commit" }, 1_700_000_000_000);
  // MemoryRecords.withEndTransactionMarker of Apache Kafka 4.1.1, with these values and coordinator epoch 0.
  expect(bytes.toString("hex")).toBe(
    "00000000000000000000004200000000029b250fb60030000000000000018bcfe568000000018bcfe568" +
      "0000000000000000070003ffffffff000000012000000008000000010c00000000000000",
  );
});

test("a new producer of a transactional id has the next epoch, and fences the previous one", async () => {
  const { broker } = await setUp();
  const first = await TransactionalClient.start(broker, "x");
  await first.addPartitions("t", [0]);
  await first.end("commit");
  const second = await TransactionalClient.start(broker, "x");
  expect([second.producerId, second.epoch]).toEqual([first.producerId, first.epoch + 1]);
  expect(await first.addPartitions("t", [0])).toEqual([PRODUCER_FENCED]);
  expect(await first.addPartitions("t", [0], 1)).toEqual([INVALID_PRODUCER_EPOCH]);
  expect(await first.end("commit")).toBe(PRODUCER_FENCED);
  expect(await first.end("commit", 1)).toBe(INVALID_PRODUCER_EPOCH);
  expect(await first.addOffsets("g")).toBe(PRODUCER_FENCED);
  expect(await first.addOffsets("g", 1)).toBe(INVALID_PRODUCER_EPOCH);
  expect(await first.commitOffset("g", "t", 1)).toBe(INVALID_PRODUCER_EPOCH);
  expect((await first.produce("t", 0, ["a"])).code).toBe(INVALID_PRODUCER_EPOCH);
});

test("a new producer aborts the transaction of the previous one, and asks again", async () => {
  const { broker, committed } = await setUp();
  const first = await TransactionalClient.start(broker, "x");
  await first.write("t", 0, ["a"]);
  const second = await TransactionalClient.connect(broker, "x");
  expect(await second.initialize()).toBe(CONCURRENT_TRANSACTIONS);
  expect(await second.initialize()).toBe(NONE);
  // The abort has an epoch of its own.
  expect(second.epoch).toBe(first.epoch + 2);
  expect(await first.end("commit")).toBe(PRODUCER_FENCED);
  expect((await first.produce("t", 0, ["b"])).code).toBe(INVALID_PRODUCER_EPOCH);
  expect(await committed()).toEqual([]);
  expect(logOf(broker).lastStableOffset).toBe(2);
});

test("a producer continues with the next epoch; a repeated request has the same answer", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  const { producerId, epoch } = producer;
  const expected = { producerId, epoch };
  expect(await producer.initialize({ expected })).toBe(NONE);
  expect(producer.epoch).toBe(epoch + 1);
  expect(await producer.initialize({ expected })).toBe(NONE);
  expect([producer.producerId, producer.epoch]).toEqual([producerId, epoch + 1]);
  expect(await producer.initialize({ expected: { producerId, epoch: epoch + 7 } })).toBe(PRODUCER_FENCED);
  expect(await producer.initialize({ expected: { producerId: 999_999, epoch } })).toBe(PRODUCER_FENCED);
  const old = { expected: { producerId: 999_999, epoch }, version: 3 };
  expect(await producer.initialize(old)).toBe(INVALID_PRODUCER_EPOCH);
});

test("a producer that continues during its transaction aborts it; a repeated request has the same answer", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  const expected = { producerId: producer.producerId, epoch: producer.epoch };
  await producer.write("t", 0, ["a"]);
  expect(await producer.initialize({ expected })).toBe(CONCURRENT_TRANSACTIONS);
  for (let repeated = 0; repeated < 2; repeated++) {
    expect(await producer.initialize({ expected })).toBe(NONE);
    expect(producer.epoch).toBe(expected.epoch + 1);
  }
  await producer.write("t", 0, ["b"]);
  expect(await producer.end("commit")).toBe(NONE);
  expect(await committed()).toEqual(["b"]);
});

test.each([
  ["used up", false],
  ["used up in a transaction", true],
])(
  "when the epochs are %s, the producer gets a new id; a repeated request has the same answer",
  async (_when, isOpen) => {
    const dataDir = await temporaryDirectory();
    const journal = await Journal.open(new Disk(), join(dataDir, "state.journal"), {
      cleanStop: true,
      logger: createLogger("silent"),
    });
    const empty = { ...created(7, 60_000, Date.now()), epoch: 32_766 };
    const used = isOpen ? withAdded(empty, { partitions: [], groups: ["g"] }, Date.now()) : empty;
    await journal.write([["transaction/x", toJson(used)]]);
    await journal.close();
    const broker = await temporaryBroker({ dataDir });
    const producer = await TransactionalClient.connect(broker, "x");
    const expected = { producerId: 7, epoch: 32_766 };
    if (isOpen) expect(await producer.initialize({ expected })).toBe(CONCURRENT_TRANSACTIONS);
    expect(await producer.initialize({ expected })).toBe(NONE);
    const next = { producerId: producer.producerId, epoch: producer.epoch };
    expect(next.producerId).not.toBe(7);
    expect(next.epoch).toBe(0);
    expect(await producer.initialize({ expected })).toBe(NONE);
    expect({ producerId: producer.producerId, epoch: producer.epoch }).toEqual(next);
  },
);

test("initialization refuses timeouts out of bounds, an empty id and half an identity", async () => {
  const { broker } = await setUp({ maxTransactionTimeoutMs: 1_000 });
  const producer = await TransactionalClient.connect(broker, "x");
  expect(await producer.initialize({ timeoutMs: 1_001 })).toBe(INVALID_TRANSACTION_TIMEOUT);
  expect(await producer.initialize({ timeoutMs: 0 })).toBe(INVALID_TRANSACTION_TIMEOUT);
  const half = { timeoutMs: 1_000, expected: { producerId: 5, epoch: -1 } };
  expect(await producer.initialize(half)).toBe(INVALID_REQUEST);
  const nameless = await TransactionalClient.connect(broker, "");
  expect(await nameless.initialize({ timeoutMs: 1_000 })).toBe(INVALID_REQUEST);
});

test("a transactional batch is stored only in a partition of the transaction", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  expect((await producer.produce("t", 0, ["early"])).code).toBe(INVALID_TXN_STATE);
  await producer.addPartitions("t", [0]);
  expect((await producer.produce("t", 1, ["elsewhere"])).code).toBe(INVALID_TXN_STATE);
  const batch = producer.batch("t", 1, ["nameless"]);
  const nameless = await producer.produceBatch("t", 1, batch, null);
  expect(nameless.code).toBe(TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  expect((await producer.produceBatch("t", 1, batch, "y")).code).toBe(INVALID_PRODUCER_ID_MAPPING);
  await producer.end("commit");
  expect((await producer.produce("t", 0, ["late"])).code).toBe(INVALID_TXN_STATE);
  expect([await committed(0), await committed(1)]).toEqual([[], []]);
  expect(logOf(broker).highWatermark + logOf(broker, 1).highWatermark).toBe(0);
});

test("Produce 11 says that the transaction can be aborted", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  const batch = producer.batch("t", 0, ["a"]);
  const response = await producer.client.request(ApiKey.Produce, 11, (writer) => {
    writer.nullableString("x").int16(-1).int32(1_000);
    writer.structs(["t"], () => {
      writer.string("t").structs([batch], ({ bytes }) => writer.int32(0).bytes(bytes));
    });
  });
  const [topic] = response.structs(() => {
    response.string();
    return response.structs(() => {
      response.int32();
      const code = response.int16();
      response.skip(24);
      response.structs(() => {});
      response.nullableString();
      return code;
    });
  });
  expect(topic).toEqual([TRANSACTION_ABORTABLE]);
});

test("a producer in a transaction writes nothing else to its partition", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["a"]);
  const plain = producer.batch("t", 0, ["b"], false);
  expect((await producer.produceBatch("t", 0, plain)).code).toBe(INVALID_TXN_STATE);
});

test("a resent transactional batch is stored once", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.addPartitions("t", [0]);
  const batch = producer.batch("t", 0, ["a"]);
  const results = [await producer.produceBatch("t", 0, batch), await producer.produceBatch("t", 0, batch)];
  expect(results.map(({ code, baseOffset }) => [code, baseOffset])).toEqual([
    [NONE, 0],
    [NONE, 0],
  ]);
  // The sequence goes on in the next transaction.
  await producer.end("commit");
  await producer.write("t", 0, ["b"]);
  await producer.end("commit");
  expect(await committed()).toEqual(["a", "b"]);
});

test("a partition that does not exist adds none", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  const codes = await producer.addPartitions("t", [0, 7]);
  expect(codes).toEqual([OPERATION_NOT_ATTEMPTED, UNKNOWN_TOPIC_OR_PARTITION]);
  expect((await producer.produce("t", 0, ["a"])).code).toBe(INVALID_TXN_STATE);
  expect(await producer.end("commit")).toBe(INVALID_TXN_STATE);
});

test("ending a transaction twice has one effect, and the other outcome is refused", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  expect(await producer.end("abort")).toBe(INVALID_TXN_STATE);
  await producer.write("t", 0, ["a"]);
  expect([await producer.end("commit"), await producer.end("commit")]).toEqual([NONE, NONE]);
  expect(await producer.end("abort")).toBe(INVALID_TXN_STATE);
  expect(await committed()).toEqual(["a"]);
  expect(logOf(broker).highWatermark).toBe(2);
});

test("a producer of another id has no transaction", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.connect(broker, "unknown");
  producer.producerId = 0;
  producer.epoch = 0;
  expect(await producer.addPartitions("t", [0])).toEqual([INVALID_PRODUCER_ID_MAPPING]);
  expect(await producer.end("commit")).toBe(INVALID_PRODUCER_ID_MAPPING);
});

test("changes of one transaction do not overlap", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  const other = await TransactionalClient.connect(broker, "x");
  Object.assign(other, { producerId: producer.producerId, epoch: producer.epoch });
  await producer.write("t", 0, ["a"]);
  const codes = await Promise.all([
    producer.end("commit"),
    other.end("commit"),
    other.addPartitions("t", [1]),
  ]);
  expect(codes[0]).toBe(NONE);
  expect(codes[1]).toBe(CONCURRENT_TRANSACTIONS);
  expect(codes[2]).toEqual([CONCURRENT_TRANSACTIONS]);
});

test("nothing is added to a transaction that is ending", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["a"]);
  const late = producer.batch("t", 0, ["late"]);
  producer.sendEnd("commit");
  producer.client.send(ApiKey.Produce, PRODUCE, produceBody("t", late, -1, 0, "x"));
  await producer.client.response(ApiKey.EndTxn, 4);
  const { code } = produced(await producer.client.response(ApiKey.Produce, PRODUCE));
  expect(code).toBe(ErrorCode.NOT_ENOUGH_REPLICAS);
  expect(await committed()).toEqual(["a"]);
  expect(logOf(broker).lastStableOffset).toBe(2);
});

test("offsets are committed with the transaction", async () => {
  const { broker, reader } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  expect(await producer.commitOffset("g", "t", 5)).toBe(TRANSACTION_ABORTABLE);
  expect(await producer.commitOffset("g", "t", 5, { version: 3 })).toBe(INVALID_TXN_STATE);
  expect(await producer.addOffsets("g")).toBe(NONE);
  expect(await producer.commitOffset("g", "t", 5)).toBe(NONE);
  expect(await committedOffset(reader, "g", "t")).toEqual({ code: UNSTABLE_OFFSET_COMMIT, offset: -1 });
  expect(await committedOffset(reader, "g", "t", { requireStable: false })).toEqual({
    code: NONE,
    offset: -1,
  });
  expect(await producer.commitOffset("g", "t", 6)).toBe(NONE);
  await producer.end("commit");
  expect(await committedOffset(reader, "g", "t")).toEqual({ code: NONE, offset: 6 });
  await producer.addOffsets("g");
  await producer.commitOffset("g", "t", 7);
  await producer.end("abort");
  expect(await committedOffset(reader, "g", "t")).toEqual({ code: NONE, offset: 6 });
});

test("offsets of a transaction are checked against the group", async () => {
  const { broker } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.addOffsets("g");
  const { ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID } = ErrorCode;
  expect(await producer.commitOffset("g", "t", 5, { generation: 3, memberId: "m" })).toBe(ILLEGAL_GENERATION);
  const member = await broker.groups.join("g", {
    memberId: "",
    instanceId: null,
    clientId: "c",
    clientHost: "h",
    sessionTimeoutMs: 60_000,
    rebalanceTimeoutMs: 60_000,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: Buffer.alloc(0) }],
    requiresMemberId: false,
    canSkipAssignment: false,
  });
  const { memberId, generation } = member;
  expect(await producer.commitOffset("g", "t", 5, { generation, memberId: "m" })).toBe(UNKNOWN_MEMBER_ID);
  expect(await producer.commitOffset("g", "t", 5, { generation: 9, memberId })).toBe(ILLEGAL_GENERATION);
  expect(await producer.commitOffset("g", "t", 5, { generation, memberId })).toBe(NONE);
  // Before version 3 the request has no member.
  expect(await producer.commitOffset("g", "t", 5, { version: 2 })).toBe(NONE);
});

test("a topic that was created again does not get offsets of its predecessor", async () => {
  const { broker, reader } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["a"]);
  await producer.addOffsets("g");
  await producer.commitOffset("g", "t", 5);
  await broker.topics.delete(broker.topics.resolve({ name: "t", id: null }), () => []);
  await broker.topics.create("t", 1, {});
  expect(await producer.end("commit")).toBe(NONE);
  expect(await committedOffset(reader, "g", "t")).toEqual({ code: NONE, offset: -1 });
  expect(logOf(broker).highWatermark).toBe(0);
});

test("a transaction is aborted after its timeout, and its producer is fenced", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.connect(broker, "x");
  // Long enough that nothing is written too late.
  await producer.initialize({ timeoutMs: 1_000 });
  await producer.write("t", 0, ["a"]);
  while (logOf(broker).lastStableOffset < 2) await Bun.sleep(5);
  expect(await committed()).toEqual([]);
  expect(await producer.end("commit")).toBe(PRODUCER_FENCED);
});

test("while the disk is full, a transaction that is due is tried again after pauses, and aborted when there is space", async () => {
  const attempts: number[] = [];
  const { broker } = await setUp({ logger: createLogger("warn", () => attempts.push(performance.now())) });
  const producer = await TransactionalClient.connect(broker, "x");
  await producer.initialize({ timeoutMs: 20 });
  // From the moment the transaction is open: it may be due before anything else happens.
  broker.disk.fault = (operation, path) => {
    const isOpen = broker.transactions.find("x")?.state === "Ongoing";
    if (isOpen && operation === "write" && path.endsWith("state.journal"))
      throw new Error("no space left on device");
  };
  // Without a record, which would be refused once the transaction is due.
  expect(await producer.addPartitions("t", [0])).toEqual([NONE]);
  while (attempts.length < 2) await Bun.sleep(5);
  const [first = 0, second = 0] = attempts;
  // A pause can be longer, and is never shorter.
  expect(second - first).toBeGreaterThan(400);
  broker.disk.fault = undefined;
  while (broker.transactions.find("x")?.state !== "CompleteAbort") await Bun.sleep(5);
});

test("aborted records that are deleted while they are read do not reach a reader of committed ones", async () => {
  const { broker, reader } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["aborted"]);
  expect(await producer.end("abort")).toBe(NONE);
  const log = logOf(broker);
  let deleted = Promise.resolve();
  broker.disk.fault = (operation) => {
    if (operation !== "read" || log.startOffset > 0) return;
    log.raiseStartOffset(2);
    deleted = broker.cleaner.run();
  };
  const response = await reader.request(ApiKey.Fetch, FETCH, fetchBody("t", { readCommitted: true }));
  await deleted;
  expect(log.producers.transactions.aborted(0, 2)).toEqual([]);
  const { code, records } = fetched(response);
  expect([code, records.length]).toEqual([ErrorCode.OFFSET_OUT_OF_RANGE, 0]);
});

test("unused transactional ids expire; open transactions do not", async () => {
  const { broker } = await setUp({ transactionalIdExpirationMs: 1_000 });
  const open = await TransactionalClient.start(broker, "open");
  await open.write("t", 0, ["a"]);
  await TransactionalClient.start(broker, "unused");
  while (broker.transactions.find("unused")) await Bun.sleep(5);
  expect(broker.transactions.find("open")?.state).toBe("Ongoing");
  expect(await open.end("commit")).toBe(NONE);
});

test("DescribeTransactions, ListTransactions and DescribeProducers show the state", async () => {
  const { broker, reader } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await TransactionalClient.start(broker, "empty");
  await producer.write("t", 1, ["a", "b"]);

  const described = await reader.request(ApiKey.DescribeTransactions, 0, (writer) =>
    writer.array(["x", "none"], (id) => void writer.string(id)),
  );
  described.int32();
  const states = described.structs(() => {
    const code = described.int16();
    const id = described.string();
    const state = described.string();
    const timeoutMs = described.int32();
    const startedAt = described.int64();
    const identity = [described.int64(), described.int16()];
    const topics = described.structs(() => [described.string(), described.array(() => described.int32())]);
    return { code, id, state, timeoutMs, isStarted: startedAt > 0, identity, topics };
  });
  expect(states[0]).toEqual({
    code: NONE,
    id: "x",
    state: "Ongoing",
    timeoutMs: 60_000,
    isStarted: true,
    identity: [producer.producerId, producer.epoch],
    topics: [["t", [1]]],
  });
  expect(states[1]?.code).toBe(TRANSACTIONAL_ID_NOT_FOUND);

  const list = async (filters: string[], durationMs: number) => {
    const response = await reader.request(ApiKey.ListTransactions, 1, (writer) => {
      writer.array(filters, (state) => void writer.string(state)).array([], () => {});
      writer.int64(durationMs);
    });
    response.int32();
    response.int16();
    const unknown = response.array(() => response.string());
    const ids = response.structs(() => {
      const id = response.string();
      response.int64();
      return `${id} ${response.string()}`;
    });
    return { unknown, ids };
  };
  expect(await list([], -1)).toEqual({ unknown: [], ids: ["x Ongoing", "empty Empty"] });
  expect(await list(["Ongoing", "?"], -1)).toEqual({ unknown: ["?"], ids: ["x Ongoing"] });
  expect((await list(["Ongoing"], 60_000)).ids).toEqual([]);

  const producers = await reader.request(ApiKey.DescribeProducers, 0, (writer) => {
    writer.structs(["t"], () => writer.string("t").array([1, 5], (index) => void writer.int32(index)));
  });
  producers.int32();
  const [partitions] = producers.structs(() => {
    producers.string();
    return producers.structs(() => {
      producers.int32();
      const code = producers.int16();
      producers.nullableString();
      const all = producers.structs(() => {
        const identity = [producers.int64(), producers.int32(), producers.int32()];
        producers.int64();
        return [...identity, producers.int32(), producers.int64()];
      });
      return { code, all };
    });
  });
  expect(partitions?.[0]).toEqual({ code: NONE, all: [[producer.producerId, producer.epoch, 1, -1, 0]] });
  expect(partitions?.[1]?.code).toBe(UNKNOWN_TOPIC_OR_PARTITION);
});

test("a full disk delays the markers; the outcome is decided", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["a"]);
  broker.disk.fault = (operation, path) => {
    if (operation === "write" && path.endsWith(".log")) throw new Error("no space left on device");
  };
  expect(await producer.end("commit")).toBe(NONE);
  expect(await committed()).toEqual([]);
  expect(await producer.addPartitions("t", [0])).toEqual([CONCURRENT_TRANSACTIONS]);
  broker.disk.fault = undefined;
  while (broker.transactions.find("x")?.state !== "CompleteCommit") await Bun.sleep(20);
  expect(await committed()).toEqual(["a"]);
  expect(logOf(broker).highWatermark).toBe(2);
});

test("when the journal cannot be written, nothing changes and the producer tries again", async () => {
  const { broker, committed } = await setUp();
  const producer = await TransactionalClient.start(broker, "x");
  await producer.write("t", 0, ["a"]);
  broker.disk.fault = (operation, path) => {
    if (operation === "write" && path.endsWith(".journal")) throw new Error("no space left on device");
  };
  expect(await producer.end("commit")).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
  expect(await committed()).toEqual([]);
  broker.disk.fault = undefined;
  expect(await producer.end("commit")).toBe(NONE);
  expect(await committed()).toEqual(["a"]);
});

test("a restart keeps open transactions, producers and aborted transactions", async () => {
  const dataDir = await temporaryDirectory();
  let broker = await temporaryBroker({ dataDir });
  await broker.topics.create("t", 1, {});
  const aborted = await TransactionalClient.start(broker, "aborted");
  await aborted.write("t", 0, ["aborted"]);
  await aborted.end("abort");
  const open = await TransactionalClient.start(broker, "open");
  await open.write("t", 0, ["open"]);
  await open.addOffsets("g");
  await open.commitOffset("g", "t", 5);
  await broker.stop();
  broker = await temporaryBroker({ dataDir });
  const reader = await RawClient.connect(broker);
  expect(await readCommitted(reader, "t")).toEqual([]);
  expect((await committedOffset(reader, "g", "t")).code).toBe(UNSTABLE_OFFSET_COMMIT);
  const again = await TransactionalClient.connect(broker, "open");
  Object.assign(again, { producerId: open.producerId, epoch: open.epoch });
  again.batch("t", 0, ["the first batch is stored"]);
  expect((await again.produce("t", 0, ["more"])).code).toBe(NONE);
  expect(await again.end("commit")).toBe(NONE);
  expect(await readCommitted(reader, "t")).toEqual(["open", "more"]);
  expect(await committedOffset(reader, "g", "t")).toEqual({ code: NONE, offset: 5 });
});

test("the timeout of a transaction goes on after a restart", async () => {
  const dataDir = await temporaryDirectory();
  let broker = await temporaryBroker({ dataDir });
  await broker.topics.create("t", 1, {});
  const producer = await TransactionalClient.connect(broker, "x");
  await producer.initialize({ timeoutMs: 1_000 });
  await producer.write("t", 0, ["a"]);
  await broker.stop();
  broker = await temporaryBroker({ dataDir });
  while (logOf(broker).lastStableOffset < 2) await Bun.sleep(5);
  expect(await readCommitted(await RawClient.connect(broker), "t")).toEqual([]);
});
