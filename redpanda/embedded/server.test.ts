import { afterEach, describe, expect, test } from "bun:test";
import { startBroker } from "./broker.ts";
import { ErrorCode } from "./errors.ts";
import { createLogger } from "./logger.ts";
import { ApiKey } from "./registry.ts";
import { batchOf, textsIn } from "./testing/batches.ts";
import { RawClient } from "./testing/raw-client.ts";
import {
  createTopic,
  FETCH,
  fetchBody,
  fetched,
  PRODUCE,
  produceBody,
  produced,
} from "./testing/requests.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";
import { Writer } from "./wire/writer.ts";

afterEach(cleanAll);

/** A broker with its log lines, and a well-behaved client. */
async function setUp(options: Parameters<typeof temporaryBroker>[0] = {}) {
  const lines: string[] = [];
  const broker = await temporaryBroker({
    ...options,
    logger: createLogger("info", (line) => lines.push(line)),
  });
  const client = await RawClient.connect(broker);
  return { broker, client, lines };
}

const header = (key: number, version: number) =>
  new Writer().int16(key).int16(version).int32(1).nullableString("x");

/** OffsetCommit 8, of offset 7 in partition 0 of "t". */
const offsetCommitBody = (groupId: Buffer) => (writer: Writer) => {
  writer.bytes(groupId).int32(-1).string("").nullableString(null);
  writer.structs(["t"], (topic) => {
    writer.string(topic).structs([0], (partition) => {
      writer.int32(partition).int64(7).int32(-1).nullableString(null);
    });
  });
};

describe("a protocol error closes the connection with one log line, and others are not affected", () => {
  const hostile: [what: string, send: (client: RawClient) => void][] = [
    ["a negative frame size", (client) => client.sendBytes(new Writer().int32(-1).finish())],
    ["a frame beyond the limit", (client) => client.sendBytes(new Writer().int32(2 ** 31 - 1).finish())],
    ["HTTP", (client) => client.sendBytes(Buffer.from("GET / HTTP/1.1\r\nHost: broker\r\n\r\n"))],
    ["TLS", (client) => client.sendBytes(Buffer.from("16030100c8010000c40303", "hex"))],
    ["an empty frame", (client) => client.sendFrame(Buffer.alloc(0))],
    ["half a header", (client) => client.sendFrame(Buffer.from([0, 3, 0]))],
    ["an API that does not exist", (client) => client.send(999, 0)],
    ["a version that is too new", (client) => client.send(ApiKey.Metadata, 99)],
    ["a version that is too old", (client) => client.send(ApiKey.Produce, 2)],
    [
      "a group id of 40,000 characters, which version 0 of ListGroups could not carry",
      (client) => client.send(ApiKey.OffsetCommit, 8, offsetCommitBody(Buffer.from("g".repeat(40_000)))),
    ],
    [
      "a group id that is so long only when it is decoded",
      (client) => client.send(ApiKey.OffsetCommit, 8, offsetCommitBody(Buffer.alloc(20_000, 0xff))),
    ],
    ["a body that is cut short", (client) => client.sendFrame(header(ApiKey.Fetch, 11).int32(0).finish())],
    [
      "an array of two billion",
      (client) =>
        client.sendFrame(
          header(ApiKey.Metadata, 1)
            .int32(2 ** 31 - 1)
            .finish(),
        ),
    ],
  ];

  test.each(hostile)("%s", async (_what, send) => {
    const { broker, client, lines } = await setUp();
    const bad = await RawClient.connect(broker);
    send(bad);
    await bad.closed;
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "warn",
      msg: "connection closed",
      client: "127.0.0.1",
    });
    await createTopic(client, "t");
  });

  test("random bytes in well-formed frames", async () => {
    const { broker, client } = await setUp();
    let state = 7;
    const random = () => {
      state = (state * 48271) % (2 ** 31 - 1);
      return state;
    };
    for (let round = 0; round < 300; round++) {
      const bad = await RawClient.connect(broker);
      const body = Buffer.from(Array.from({ length: random() % 64 }, () => random() % 256));
      bad.sendFrame(Buffer.concat([header(random() % 61, random() % 12).finish(), body]));
      bad.end();
      await bad.closed;
    }
    await createTopic(client, "t");
  });
});

test("frames can arrive in any number of pieces", async () => {
  const { client } = await setUp();
  const frame = header(ApiKey.ApiVersions, 0).finish();
  const bytes = Buffer.concat([new Writer().int32(frame.length).finish(), frame]);
  for (const byte of bytes) {
    client.sendBytes(Buffer.from([byte]));
    await Bun.sleep(0);
  }
  client.sendBytes(Buffer.concat([bytes, bytes, bytes.subarray(0, 3)]));
  client.sendBytes(bytes.subarray(3));
  for (let i = 0; i < 4; i++) expect((await client.nextFrame()).length).toBeGreaterThan(50);
});

test("an unknown version of ApiVersions is answered in version 0 (KIP-511)", async () => {
  const { client } = await setUp();
  client.sendFrame(header(ApiKey.ApiVersions, 50).finish());
  const frame = await client.nextFrame();
  expect(frame.readInt16BE(4)).toBe(ErrorCode.UNSUPPORTED_VERSION);
  expect(frame.readInt32BE(6)).toBeGreaterThan(20);
});

test("every advertised version is supported, except Produce 0, which is advertised for librdkafka", async () => {
  const { client } = await setUp();
  const response = await client.request(ApiKey.ApiVersions, 3, (writer) => writer.string("x").string("1"));
  expect(response.int16()).toBe(ErrorCode.NONE);
  const ranges = response.structs(() => [response.int16(), response.int16(), response.int16()]);
  expect(ranges).toContainEqual([ApiKey.Produce, 0, 13]);
  expect(ranges).toContainEqual([ApiKey.Fetch, 4, 18]);
  expect(new Set(ranges.map(([key]) => key))).toEqual(new Set(Object.values(ApiKey)));
});

test("responses are in the order of the requests, also when a later one completes first", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const release = Promise.withResolvers<void>();
  broker.control.on(ApiKey.Metadata, { fault: "delay", until: release.promise });
  client.send(ApiKey.Metadata, 1, (writer) => writer.array([], () => {}));
  client.send(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf(["a"])));
  const other = await RawClient.connect(broker);
  const seen = await other.request(ApiKey.Fetch, FETCH, fetchBody("t", { maxWaitMs: 30_000 }));
  expect(textsIn(fetched(seen).records)).toEqual(["0:=a"]);
  release.resolve();
  const first = await client.response(ApiKey.Metadata, 1);
  expect(
    first.structs(() => [first.int32(), first.string(), first.int32(), first.nullableString()]),
  ).toHaveLength(1);
  expect(produced(await client.response(PRODUCE_KEY, PRODUCE))).toEqual({ code: 0, baseOffset: 0 });
});

const PRODUCE_KEY = ApiKey.Produce;

test("concurrent requests keep their order and share syncs", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  let syncs = 0;
  broker.disk.fault = (operation) => {
    if (operation === "sync") syncs += 1;
  };
  for (let i = 0; i < 60; i++) client.send(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf([`${i}`])));
  for (let i = 0; i < 60; i++) {
    expect(produced(await client.response(PRODUCE_KEY, PRODUCE))).toEqual({ code: 0, baseOffset: i });
  }
  expect(syncs).toBeLessThan(30);
});

test("an append answers a waiting fetch before its timeout", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const waiting = await RawClient.connect(broker);
  const answer = waiting.request(ApiKey.Fetch, FETCH, fetchBody("t", { maxWaitMs: 2 ** 31 - 1 }));
  await client.request(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf(["a"])));
  expect(textsIn(fetched(await answer).records)).toEqual(["0:=a"]);
});

test("a fetch waits for minBytes", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const waiting = await RawClient.connect(broker);
  const size = batchOf(["a"]).bytes.length;
  const spec = { maxWaitMs: 2 ** 31 - 1, minBytes: size * 3 };
  const answer = waiting.request(ApiKey.Fetch, FETCH, fetchBody("t", spec));
  for (const text of ["a", "b", "c"]) {
    await client.request(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf([text])));
  }
  expect(textsIn(fetched(await answer).records)).toEqual(["0:=a", "1:=b", "2:=c"]);
});

test("a fetch is answered without records after maxWaitMs", async () => {
  const { client } = await setUp();
  await createTopic(client, "t");
  const { code, records } = fetched(
    await client.request(ApiKey.Fetch, FETCH, fetchBody("t", { maxWaitMs: 5 })),
  );
  expect([code, records.length]).toEqual([ErrorCode.NONE, 0]);
});

test("a waiting fetch is answered with an error when its topic is deleted", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const waiting = await RawClient.connect(broker);
  const answer = waiting.request(ApiKey.Fetch, FETCH, fetchBody("t", { maxWaitMs: 2 ** 31 - 1 }));
  await client.request(ApiKey.DeleteTopics, 1, (writer) => {
    writer.array(["t"], (name) => writer.string(name)).int32(1000);
  });
  expect(fetched(await answer).code).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
});

test("invalid fetches are answered at once with an error code", async () => {
  const { client } = await setUp();
  await createTopic(client, "t");
  const fetch = async (topic: string, spec = {}) =>
    fetched(await client.request(ApiKey.Fetch, FETCH, fetchBody(topic, { maxWaitMs: 2 ** 31 - 1, ...spec })))
      .code;
  expect(await fetch("nothing")).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  expect(await fetch("t", { offset: 1 })).toBe(ErrorCode.OFFSET_OUT_OF_RANGE);
  expect(await fetch("t", { sessionEpoch: 5 })).toBe(ErrorCode.FETCH_SESSION_ID_NOT_FOUND);
});

test("a slow reader gets its responses complete and does not block others", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const text = "x".repeat(900_000);
  for (let i = 0; i < 8; i++) {
    await client.request(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf([`${i}${text}`])));
  }
  const slow = await RawClient.connect(broker);
  slow.pause();
  for (let i = 0; i < 10; i++) slow.send(ApiKey.Fetch, FETCH, fetchBody("t"));
  expect(fetched(await client.request(ApiKey.Fetch, FETCH, fetchBody("t"))).highWatermark).toBe(8);
  slow.resume();
  for (let i = 0; i < 10; i++) {
    expect(textsIn(fetched(await slow.response(ApiKey.Fetch, FETCH)).records)).toHaveLength(8);
  }
});

test("a waiting fetch ends when its client disconnects", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const leaving = await RawClient.connect(broker);
  leaving.send(ApiKey.Fetch, FETCH, fetchBody("t", { maxWaitMs: 2 ** 31 - 1 }));
  leaving.end();
  await leaving.closed;
  await createTopic(client, "u");
});

test("acks=0 is stored without a response", async () => {
  const { client } = await setUp();
  await createTopic(client, "t");
  client.send(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf(["a"]), 0));
  expect(
    produced(await client.request(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf(["b"])))).baseOffset,
  ).toBe(1);
});

test("a thousand connections", async () => {
  const { broker } = await setUp();
  const clients = await Promise.all(Array.from({ length: 1000 }, () => RawClient.connect(broker)));
  const answers = await Promise.all(clients.map((client) => client.request(ApiKey.ApiVersions, 0)));
  expect(answers.map((answer) => answer.int16())).toEqual(Array<number>(1000).fill(0));
});

test("localhost is both 127.0.0.1 and ::1, where there is IPv6", async () => {
  const { broker, client } = await setUp();
  await createTopic(client, "t");
  const canListen = (() => {
    try {
      Bun.listen({ hostname: "::1", port: 0, socket: { data() {} } }).stop(true);
      return true;
    } catch {
      return false;
    }
  })();
  const connected = await Bun.connect({ hostname: "::1", port: broker.port, socket: { data() {} } }).then(
    (socket) => {
      socket.end();
      return true;
    },
    () => false,
  );
  expect(connected).toBe(canListen);
});

test("a stop answers requests in flight: stored batches are acknowledged, waiting fetches return", async () => {
  const dataDir = await temporaryDirectory();
  const { broker, client } = await setUp({ dataDir });
  await createTopic(client, "t");
  const waiting = await RawClient.connect(broker);
  waiting.send(ApiKey.Fetch, FETCH, fetchBody("t", { offset: 1, maxWaitMs: 2 ** 31 - 1 }));
  for (let i = 0; i < 20; i++) client.send(PRODUCE_KEY, PRODUCE, produceBody("t", batchOf([`${i}`])));
  await client.response(PRODUCE_KEY, PRODUCE);
  await Promise.all([broker.stop(), broker.stop()]);
  expect(fetched(await waiting.response(ApiKey.Fetch, FETCH)).code).toBeDefined();
  let acknowledged = 1;
  try {
    for (;;) {
      produced(await client.response(PRODUCE_KEY, PRODUCE));
      acknowledged += 1;
    }
  } catch {
    // The connection is closed after the last response.
  }
  const again = await temporaryBroker({ dataDir });
  expect(again.topics.log({ name: "t", id: null }, 0).highWatermark).toBeGreaterThanOrEqual(acknowledged);
});

test("two brokers cannot share a directory or a port", async () => {
  const shared = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir: shared });
  await expect(startBroker({ dataDir: shared, port: 0 })).rejects.toThrow("in use");
  const dataDir = await temporaryDirectory();
  await expect(startBroker({ dataDir, port: broker.port })).rejects.toThrow("in use");
  const next = await startBroker({ dataDir, port: 0 });
  cleanUp(() => next.stop());
});
