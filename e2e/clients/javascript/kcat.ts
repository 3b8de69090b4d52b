/** kcat, which is librdkafka: a process for each command. Its path is the first argument. */
import type { Answer, StoredRecord } from "../client.ts";
import { base64, bytes, emit, incoming, type ParsedCommand, serve } from "./commands.ts";

const [, , kcat = "", brokers = ""] = process.argv;
const RECORD_DELIMITER = "\x1e";
const KEY_DELIMITER = "\x1f";
/** librdkafka gives texts in place of codes. */
const codes: Readonly<Record<string, number>> = {
  "Broker: Message size too large": 10,
  "Broker: Unknown topic or partition": 3,
};

class KcatError extends Error {}

async function run(args: readonly string[], input: Buffer = Buffer.alloc(0)): Promise<Buffer> {
  const child = Bun.spawn([kcat, "-b", brokers, ...args], { stdin: input, stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new KcatError(errors);
  return Buffer.from(output);
}

async function produce({
  topic,
  partition,
  codec,
  acks,
  idempotent,
  records,
}: ParsedCommand): Promise<undefined> {
  const parts = records.map(({ key, value }) => [
    ...(key === null ? [] : [bytes(key), Buffer.from(KEY_DELIMITER)]),
    bytes(value) ?? Buffer.alloc(0),
  ]);
  const input = parts.flatMap((part, index) =>
    index === 0 ? part : [Buffer.from(RECORD_DELIMITER), ...part],
  );
  const settings = [`acks=${acks}`, `enable.idempotence=${idempotent}`, "linger.ms=50"];
  await run(
    [
      ...[
        "-P",
        "-t",
        topic,
        "-p",
        String(partition),
        "-z",
        codec,
        "-K",
        KEY_DELIMITER,
        "-D",
        RECORD_DELIMITER,
      ],
      ...settings.flatMap((setting) => ["-X", setting]),
    ],
    Buffer.concat(input.flatMap((each) => each ?? [])),
  );
  return undefined;
}

async function consume({ topics, committed }: ParsedCommand): Promise<Answer> {
  const isolation = `isolation.level=${committed ? "read_committed" : "read_uncommitted"}`;
  const records: StoredRecord[] = [];
  for (const topic of Object.keys(topics)) {
    const format = "%p %o %T %K %S %h\\n%k%s";
    const output = await run([
      "-C",
      "-t",
      topic,
      "-o",
      "beginning",
      "-e",
      "-q",
      "-X",
      isolation,
      "-f",
      format,
    ]);
    records.push(...parse(topic, output));
  }
  return { records };
}

/** Lines with partition, offset, timestamp, the lengths of key and value, and the headers; then key and value. */
function parse(topic: string, output: Buffer): StoredRecord[] {
  const records: StoredRecord[] = [];
  for (let at = 0; at < output.length; ) {
    const lineEnd = output.indexOf("\n", at);
    const [partition, offset = "", timestamp = "", keyLength, valueLength, headers = ""] = output
      .toString("utf8", at, lineEnd)
      .split(" ");
    at = lineEnd + 1;
    const take = (length: number) => {
      if (length < 0) return null;
      at += length;
      return output.subarray(at - length, at);
    };
    const content = [take(Number(keyLength)), take(Number(valueLength))] as const;
    const flat = headers === "" ? [] : headers.split(",").map((each) => each.split("="));
    const named = flat.map(([name = "", value = ""]) => [name, value] as const);
    records.push(incoming({ topic, partition: Number(partition) }, offset, timestamp, content, named));
  }
  return records;
}

async function offsetsForTimes({ topic, partition, timestamps }: ParsedCommand): Promise<Answer> {
  const offsets: number[] = [];
  for (const timestamp of timestamps) {
    const output = String(await run(["-Q", "-t", `${topic}:${partition}:${timestamp}`]));
    offsets.push(Number(/offset (-?\d+)/.exec(output)?.[1]));
  }
  return { offsets };
}

async function describeTopic({ topic }: ParsedCommand): Promise<Answer> {
  const listed: unknown = JSON.parse(String(await run(["-L", "-J", "-t", topic])));
  const text = JSON.stringify(listed);
  const failed = Object.keys(codes).find((each) => text.includes(each));
  if (failed !== undefined) return { error: codes[failed] };
  return { partitions: text.split('"partition":').length - 1 };
}

let member: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;

async function join({ group, topic }: ParsedCommand): Promise<undefined> {
  const settings = [
    "session.timeout.ms=6000",
    "heartbeat.interval.ms=500",
    "auto.commit.interval.ms=200",
    "auto.offset.reset=earliest",
  ];
  const args = [
    "-G",
    group,
    "-u",
    "-f",
    "%p %o %s\\n",
    ...settings.flatMap((setting) => ["-X", setting]),
    topic,
  ];
  const child = Bun.spawn([kcat, "-b", brokers, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  member = child;
  void eachLine(child.stdout, (line) => {
    const [partition, offset, value = ""] = line.split(" ");
    emit({
      record: { partition: Number(partition), offset: Number(offset), value: base64(Buffer.from(value)) },
    });
  });
  void eachLine(child.stderr, (line) => {
    const assigned = /: assigned: (.*)/.exec(line)?.[1];
    const partitions = assigned?.matchAll(/\[(\d+)\]/g) ?? [];
    if (line.includes("rebalanced"))
      emit({ assigned: [...partitions].map(([, partition]) => Number(partition)) });
  });
  return undefined;
}

async function eachLine(stream: ReadableStream<Uint8Array>, use: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    const lines = (text + decoder.decode(chunk, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) use(line);
  }
}

async function leave(): Promise<undefined> {
  member?.kill("SIGTERM");
  await member?.exited;
  return undefined;
}

await serve(
  "kcat",
  /Version (\S+) .*(librdkafka \S+)/
    .exec(String(await run(["-V"])))
    ?.slice(1)
    .join(", ") ?? "unknown",
  { produce, consume, "offsets-for-times": offsetsForTimes, "describe-topic": describeTopic, join, leave },
  (error) => {
    const text = error instanceof KcatError ? error.message : "";
    const known = Object.keys(codes).find((each) => text.includes(each));
    return known === undefined ? undefined : codes[known];
  },
);
