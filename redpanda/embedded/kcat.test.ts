/** librdkafka (kcat), if it is installed. */
import { afterEach, expect, test } from "bun:test";
import type { Broker } from "./broker.ts";
import { cleanAll, temporaryBroker } from "./testing/temporary.ts";

afterEach(cleanAll);

const kcat = Bun.which("kcat") ?? Bun.which("kafkacat");
if (!kcat) console.warn("kcat is not installed: the tests with it are skipped");

async function run(broker: Broker, args: string[], input = ""): Promise<string> {
  const child = Bun.spawn([kcat ?? "", "-b", `localhost:${broker.port}`, ...args], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`kcat ${args.join(" ")}: ${errors}`);
  return output;
}

const lines = Array.from({ length: 1000 }, (_, index) => `key ${index}:value ${index}`);

test.skipIf(!kcat)("lists", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 3, {});
  const listed = JSON.parse(await run(broker, ["-L", "-J"]));
  expect(listed).toMatchObject({
    brokers: [{ id: 1, name: `localhost:${broker.port}` }],
    topics: [{ topic: "t" }],
  });
  expect(listed.topics[0].partitions).toHaveLength(3);
});

test.skipIf(!kcat).each(["none", "gzip", "snappy", "lz4", "zstd"])(
  "produces and consumes with %s",
  async (codec) => {
    const broker = await temporaryBroker();
    await broker.topics.create("t", 1, {});
    await run(broker, ["-P", "-t", "t", "-K:", "-z", codec], lines.join("\n"));
    expect(await run(broker, ["-C", "-t", "t", "-K:", "-e", "-q"])).toBe(`${lines.join("\n")}\n`);
  },
);

test.skipIf(!kcat)("produces idempotently", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 2, {});
  await run(broker, ["-P", "-t", "t", "-K:", "-X", "enable.idempotence=true"], lines.join("\n"));
  const ends = broker.topics
    .resolve({ name: "t", id: null })
    .partitions.map(({ highWatermark }) => highWatermark);
  expect(ends.reduce((sum, end) => sum + end, 0)).toBe(lines.length);
});

test.skipIf(!kcat)("consumes in a group, and commits", async () => {
  const broker = await temporaryBroker({ minSessionTimeoutMs: 6000 });
  await broker.topics.create("t", 2, {});
  await run(broker, ["-P", "-t", "t", "-K:"], lines.join("\n"));
  const consume = (count: number) => {
    const args = ["-G", "g", "-c", String(count), "-q", "-K:", "-X", "auto.offset.reset=earliest", "t"];
    return run(broker, args);
  };
  const first = (await consume(400)).trim().split("\n");
  const second = (await consume(600)).trim().split("\n");
  expect([...first, ...second].sort()).toEqual([...lines].sort());
});

test.skipIf(!kcat)("finds offsets by timestamp", async () => {
  const broker = await temporaryBroker();
  await broker.topics.create("t", 1, {});
  await run(broker, ["-P", "-t", "t"], "a\nb\n");
  expect(await run(broker, ["-Q", "-t", "t:0:0"])).toContain("offset 0");
  expect(await run(broker, ["-Q", "-t", "t:0:-1"])).toContain("offset 2");
});
