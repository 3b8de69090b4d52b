/** The memory of all connections is bounded, nobody waits for ever, and connections that hold things up end. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { BrokerOptions } from "./broker.ts";
import { createLogger } from "./logger.ts";
import { ApiKey } from "./registry.ts";
import { MemoryBudget } from "./server/memory-budget.ts";
import { batchOf } from "./testing/batches.ts";
import { BrokerProcess } from "./testing/process.ts";
import { RawClient } from "./testing/raw-client.ts";
import { createTopic, FETCH, fetchBody, fetched, PRODUCE, produceBody } from "./testing/requests.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { Writer } from "./wire/writer.ts";

afterEach(cleanAll);

const MIB = 1024 * 1024;

test("memory is granted in the order of the calls, up to the limit, and given back once", () => {
  const budget = new MemoryBudget(10);
  const granted: string[] = [];
  const reserve = (name: string, bytes: number) => budget.reserve(bytes, () => granted.push(name));
  const first = reserve("first", 6);
  const second = reserve("second", 5);
  const third = reserve("third", 1);
  const fourth = reserve("fourth", 20);
  // The third would fit, but would overtake the second.
  expect([first, second, third].map(({ isGranted }) => isGranted)).toEqual([true, false, false]);
  expect([budget.used, budget.waiting]).toEqual([6, 3]);
  first.release();
  first.release();
  expect([granted, budget.used]).toEqual([["second", "third"], 6]);
  second.release();
  third.release();
  // More than the limit is granted alone.
  expect([granted.at(-1), budget.used, budget.isExceeded]).toEqual(["fourth", 20, true]);
  const fifth = reserve("fifth", 1);
  const sixth = reserve("sixth", 1);
  fifth.release();
  fourth.release();
  expect([granted.at(-1), fifth.isGranted, sixth.isGranted, budget.used]).toEqual(["sixth", false, true, 1]);
  budget.add(30);
  expect([budget.used, budget.isExceeded]).toEqual([31, true]);
  reserve("seventh", 5);
  budget.subtract(30);
  expect([granted.at(-1), budget.used]).toEqual(["seventh", 6]);
});

/** A broker with its log lines and the topic `t`, and the client that created it. */
async function setUp(options: Partial<BrokerOptions> = {}) {
  const lines: string[] = [];
  const broker = await temporaryBroker({
    ...options,
    logger: createLogger("warn", (line) => lines.push(line)),
  });
  const client = await RawClient.connect(broker);
  await createTopic(client, "t", { configs: { "max.message.bytes": String(32 * MIB) } });
  return { broker, client, lines };
}

/** A connection that sends bytes of any number, and the bytes that it received. */
async function connectTo({
  port,
}: {
  readonly port: number;
}): Promise<{ socket: Socket; closed: Promise<void>; received: () => number }> {
  const socket = connect({ host: "127.0.0.1", port });
  cleanUp(() => socket.destroy());
  let bytes = 0;
  socket
    .on("error", () => {})
    .on("data", (chunk) => {
      bytes += chunk.length;
    });
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  await Promise.race([new Promise<void>((resolve) => socket.once("connect", resolve)), closed]);
  return { socket, closed, received: () => bytes };
}

/** Polls, because sockets do not tell when the broker has read. */
async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(5);
}

/** A Produce request to `t`, with its length. */
function produceFrame(bytes: number): Buffer {
  const head = new Writer().int16(ApiKey.Produce).int16(PRODUCE).int32(1).nullableString("x");
  const body = new Writer();
  produceBody("t", batchOf(["x".repeat(bytes)]))(body);
  const frame = Buffer.concat([head.finish(), body.finish()]);
  return Buffer.concat([new Writer().int32(frame.length).finish(), frame]);
}

test("requests that are larger than the memory together are read one after the other, and all are answered", async () => {
  const { broker, client } = await setUp({ maxReceivedBytes: 5 * MIB });
  const { received, unread } = broker.memory;
  const frame = produceFrame(2 * MIB);
  let most = 0;
  broker.disk.fault = () => {
    most = Math.max(most, received.used);
  };
  const connections = await Promise.all(Array.from({ length: 20 }, () => connectTo(broker)));
  for (const { socket } of connections) socket.write(frame);
  await eventually(() => connections.every((connection) => connection.received() > 0));
  expect(most).toBeGreaterThan(2 * MIB);
  expect(most).toBeLessThanOrEqual(5 * MIB);
  expect([received.used, received.waiting, unread.used]).toEqual([0, 0, 0]);
  const answer = await client.request(ApiKey.Fetch, FETCH, fetchBody("t", { partitionMaxBytes: 1 }));
  expect(fetched(answer).highWatermark).toBe(20);
});

test("unfinished requests hold no more than the limit, and small requests pass", async () => {
  const { broker, client } = await setUp({ maxReceivedBytes: 5 * MIB });
  const { received, unread } = broker.memory;
  const frame = produceFrame(2 * MIB);
  const connections = await Promise.all(Array.from({ length: 8 }, () => connectTo(broker)));
  for (const { socket } of connections) socket.write(frame.subarray(0, frame.length - 1));
  await eventually(() => received.waiting === 6);
  expect(received.used).toBeLessThan(5 * MIB);
  expect(unread.used).toBeGreaterThan(0);
  await client.request(ApiKey.ApiVersions, 0);
  for (const { socket } of connections) socket.write(frame.subarray(-1));
  await eventually(() => connections.every((connection) => connection.received() > 0));
  expect([received.used, unread.used]).toEqual([0, 0]);
});

test("a connection that closes while it holds memory or waits for it gives both back", async () => {
  const { broker } = await setUp({ maxReceivedBytes: 3 * MIB });
  const { received } = broker.memory;
  const frame = produceFrame(2 * MIB);
  const [holding, waiting, last] = [
    await connectTo(broker),
    await connectTo(broker),
    await connectTo(broker),
  ];
  holding.socket.write(frame.subarray(0, MIB));
  await eventually(() => received.used > 0);
  // Short enough that the broker has read all of it before it stops reading, so that it sees the end.
  waiting.socket.write(frame.subarray(0, 100));
  await eventually(() => received.waiting === 1);
  last.socket.write(frame);
  await eventually(() => received.waiting === 2);
  waiting.socket.destroy();
  holding.socket.destroy();
  await eventually(() => last.received() > 0);
  expect([received.used, received.waiting]).toEqual([0, 0]);
});

test("who holds memory without progress is closed when others wait for it, and only then", async () => {
  const { broker, lines } = await setUp({ maxReceivedBytes: 3 * MIB, stallTimeoutMs: 20 });
  const { received } = broker.memory;
  const frame = produceFrame(2 * MIB);
  const slow = await connectTo(broker);
  slow.socket.write(frame.subarray(0, MIB));
  await eventually(() => received.used > 0);
  await Bun.sleep(60);
  expect(lines).toEqual([]);
  const next = await connectTo(broker);
  next.socket.write(frame);
  await slow.closed;
  await eventually(() => next.received() > 0);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: "connection closed", reason: "no progress for 20 ms while 1 wait for memory" },
  ]);
});

test("what paused sockets had delivered is bounded: who exceeds it is closed", async () => {
  const { broker, lines } = await setUp({ maxReceivedBytes: 300_000 });
  const frame = produceFrame(200_000);
  const connections = await Promise.all(Array.from({ length: 8 }, () => connectTo(broker)));
  for (const { socket } of connections) socket.write(frame.subarray(0, frame.length - 1));
  await Promise.any(connections.map(({ closed }) => closed));
  expect(broker.memory.unread.used).toBeLessThanOrEqual(300_000);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    msg: "connection closed",
    reason: "the connections that wait hold too much memory",
  });
});

test("a request that is not complete in time closes the connection; waiting for the broker does not count", async () => {
  const { broker, lines } = await setUp({ maxReceivedBytes: 3 * MIB, frameTimeoutMs: 500 });
  const { received } = broker.memory;
  const held = Promise.withResolvers<void>();
  broker.control.on(ApiKey.Produce, { fault: "delay", until: held.promise });
  const frame = produceFrame(2 * MIB);
  const [handled, waiting, slow] = [
    await connectTo(broker),
    await connectTo(broker),
    await connectTo(broker),
  ];
  handled.socket.write(frame);
  await eventually(() => received.used > 0);
  waiting.socket.write(frame);
  await eventually(() => received.waiting === 1);
  slow.socket.write(frame.subarray(0, 3));
  await slow.closed;
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: "connection closed", reason: "a frame was not complete after 500 ms" },
  ]);
  held.resolve();
  await eventually(() => handled.received() > 0 && waiting.received() > 0);
});

test("idle connections end; those that wait for a response or send requests do not", async () => {
  const { broker, client, lines } = await setUp({ maxIdleMs: 1_500 });
  const idle = await connectTo(broker);
  const waiting = await RawClient.connect(broker);
  const answer = waiting.request(ApiKey.Fetch, FETCH, fetchBody("t", { maxWaitMs: 2 ** 31 - 1 }));
  let isClosed = false;
  void idle.closed.then(() => {
    isClosed = true;
  });
  while (!isClosed) {
    await client.request(ApiKey.ApiVersions, 0);
    await Bun.sleep(10);
  }
  await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["a"])));
  expect(fetched(await answer).highWatermark).toBe(1);
  expect(lines).toEqual([]);
});

test("fetch responses that are not read hold no more than the limit; who does not read ends when others wait", async () => {
  const { broker, client, lines } = await setUp({ maxResponseBytes: 9 * MIB, stallTimeoutMs: 50 });
  const { responses } = broker.memory;
  await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["x"])));
  const frame = produceFrame(8 * MIB);
  const producer = await connectTo(broker);
  producer.socket.write(frame);
  await eventually(() => producer.received() > 0);
  const slow = await RawClient.connect(broker);
  slow.pause();
  slow.send(ApiKey.Fetch, FETCH, fetchBody("t"));
  await eventually(() => responses.used > 8 * MIB);
  const next = await RawClient.connect(broker);
  const answer = await next.request(ApiKey.Fetch, FETCH, fetchBody("t"));
  expect(fetched(answer).records.length).toBeGreaterThan(8 * MIB);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: "connection closed", reason: "no progress for 50 ms while 1 wait for memory" },
  ]);
  await eventually(() => responses.used === 0);
});

test("while large responses wait for memory, a small one passes", async () => {
  const { broker, client } = await setUp({ maxResponseBytes: 9 * MIB });
  const { responses } = broker.memory;
  const frame = produceFrame(8 * MIB);
  const producer = await connectTo(broker);
  producer.socket.write(frame);
  await eventually(() => producer.received() > 0);
  const [slow, next] = [await RawClient.connect(broker), await RawClient.connect(broker)];
  slow.pause();
  slow.send(ApiKey.Fetch, FETCH, fetchBody("t"));
  await eventually(() => responses.used > 8 * MIB);
  const answer = next.request(ApiKey.Fetch, FETCH, fetchBody("t"));
  await eventually(() => responses.waiting === 1);
  await createTopic(client, "u");
  await client.request(ApiKey.Produce, PRODUCE, produceBody("u", batchOf(["y"])));
  expect(fetched(await client.request(ApiKey.Fetch, FETCH, fetchBody("u"))).highWatermark).toBe(1);
  expect(responses.waiting).toBe(1);
  slow.resume();
  expect(fetched(await answer).records.length).toBeGreaterThan(8 * MIB);
});

test("fetches of a closed connection are not read", async () => {
  const { broker, client } = await setUp();
  await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["a"])));
  let reads = 0;
  broker.disk.fault = (operation) => {
    if (operation === "read") reads += 1;
  };
  const held = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const first = broker.control.on(ApiKey.Metadata, {
    fault: "delay",
    until: held.promise,
    when: ({ disconnected }) => {
      disconnected.addEventListener("abort", () => gone.resolve());
      return true;
    },
  });
  const leaving = await RawClient.connect(broker);
  leaving.send(ApiKey.Metadata, 1, (writer) => writer.array([], () => {}));
  for (let number = 0; number < 60; number++) leaving.send(ApiKey.Fetch, FETCH, fetchBody("t"));
  await first.exhausted;
  leaving.end();
  await gone.promise;
  held.resolve();
  await client.request(ApiKey.Fetch, FETCH, fetchBody("t"));
  await client.request(ApiKey.Fetch, FETCH, fetchBody("t"));
  expect(reads).toBe(2);
});

test("the memory of a fetch whose connection closes is given back when it was read", async () => {
  const { broker, client } = await setUp({ maxResponseBytes: 25_000 });
  const { responses } = broker.memory;
  await client.request(ApiKey.Produce, PRODUCE, produceBody("t", batchOf(["x".repeat(20_000)])));
  const log = broker.topics.log({ name: "t", id: null }, 0);
  const [isRead, isGone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const read = log.read.bind(log);
  log.read = async (...args) => {
    await isRead.promise;
    return read(...args);
  };
  const leaving = await RawClient.connect(broker);
  const control = broker.control.on(ApiKey.Fetch, {
    fault: "delay",
    until: 0,
    when: ({ disconnected }) => {
      disconnected.addEventListener("abort", () => isGone.resolve());
      return true;
    },
  });
  leaving.send(ApiKey.Fetch, FETCH, fetchBody("t"));
  await control.exhausted;
  await eventually(() => responses.used > 0);
  const answer = client.request(ApiKey.Fetch, FETCH, fetchBody("t"));
  await eventually(() => responses.waiting === 1);
  leaving.end();
  await isGone.promise;
  expect([responses.used > 0, responses.waiting]).toEqual([true, 1]);
  isRead.resolve();
  expect(fetched(await answer).highWatermark).toBe(1);
  await eventually(() => responses.used === 0);
});

test("connections beyond the limit are refused with one log line, until one closes", async () => {
  const { broker, client, lines } = await setUp({ maxConnections: 2 });
  const second = await RawClient.connect(broker);
  for (let attempt = 0; attempt < 3; attempt++) await (await RawClient.connect(broker)).closed;
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: "warn", msg: "connections are refused", reason: "2 are open (maxConnections)" },
  ]);
  await client.request(ApiKey.ApiVersions, 0);
  second.end();
  await second.closed;
  await (await RawClient.connect(broker)).request(ApiKey.ApiVersions, 0);
});

test.skipIf(!existsSync("/proc/self/limits"))(
  "when the process may open no more files, connections are refused with one log line, and the others are served",
  async () => {
    const broker = await BrokerProcess.start(await temporaryDirectory(), 0, [], 200);
    const rest = broker.rest();
    const first = await RawClient.connect({ port: broker.port });
    await createTopic(first, "t");
    const connections = await Promise.all(Array.from({ length: 300 }, () => connectTo(broker)));
    await Promise.any(connections.map(({ closed }) => closed));
    // Each segment is a file.
    await createTopic(first, "u", { partitions: 10 });
    await first.request(ApiKey.Produce, PRODUCE, produceBody("u", batchOf(["a"])));
    for (const { socket } of connections) socket.destroy();
    await broker.end("SIGTERM");
    const refusals = (await rest).split("\n").filter((line) => line.includes("connections are refused"));
    expect(refusals.length).toBeGreaterThan(0);
    expect(JSON.parse(refusals[0] ?? "").reason).toMatch(
      /^\d+ are open, and the process may not open many more files$/,
    );
  },
);

/** The memory of the broker's process in MiB, at its largest while `work` runs. */
async function largestMemory({ pid }: BrokerProcess, work: () => Promise<unknown>): Promise<number> {
  let largest = 0;
  const look = () => {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    largest = Math.max(largest, Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024);
  };
  const timer = setInterval(look, 20);
  await work();
  look();
  clearInterval(timer);
  return largest;
}

const isSlow = process.env.SLOW_TESTS === "true" && existsSync("/proc/self/status");

test.skipIf(!isSlow)(
  "the process stays small under 40 connections with unfinished requests of 31 MB",
  async () => {
    const broker = await BrokerProcess.start(await temporaryDirectory());
    const client = await RawClient.connect({ port: broker.port });
    const unfinished = Buffer.alloc(31_000_000);
    unfinished.writeInt32BE(unfinished.length - 3);
    const largest = await largestMemory(broker, async () => {
      for (let number = 0; number < 40; number++) (await connectTo(broker)).socket.write(unfinished);
      // What fits is received, the others are closed after a while because they do not go on.
      await Bun.sleep(5_000);
      await client.request(ApiKey.ApiVersions, 0);
    });
    console.log(`at most ${Math.round(largest)} MiB`);
    expect(largest).toBeLessThan(700);
  },
  60_000,
);

test.skipIf(!isSlow)(
  "the process stays small when 30 connections ask for 16 MiB 60 times, and close",
  async () => {
    const broker = await BrokerProcess.start(await temporaryDirectory());
    const client = await RawClient.connect({ port: broker.port });
    await createTopic(client, "t");
    const frame = produceFrame(1_000_000);
    for (let number = 0; number < 32; number++) {
      const producer = await connectTo(broker);
      producer.socket.write(frame);
      await eventually(() => producer.received() > 0);
    }
    const largest = await largestMemory(broker, async () => {
      const readers = await Promise.all(
        Array.from({ length: 30 }, () => RawClient.connect({ port: broker.port })),
      );
      for (const reader of readers) {
        reader.pause();
        for (let number = 0; number < 60; number++) reader.send(ApiKey.Fetch, FETCH, fetchBody("t"));
      }
      await Bun.sleep(1_000);
      for (const reader of readers) reader.end();
      await client.request(ApiKey.ApiVersions, 0);
      await Bun.sleep(1_000);
    });
    console.log(`at most ${Math.round(largest)} MiB`);
    expect(largest).toBeLessThan(700);
  },
  60_000,
);
