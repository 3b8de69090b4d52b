import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { provideJars } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { brokerProcess } from "../support/broker-process.ts";

/* Not named `*.test.ts`: it needs Java and Maven. `bun run test-apache-kafka` runs it. */

/** The broker is killed when the program has ended so many transactions of its input. */
const KILLED_AFTER = 10;
const JAVA_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx512m"];

test("Kafka Streams counts each word exactly once, while the broker is killed and the application starts again", async () => {
  const { java, classPath } = await provideJars(
    join(import.meta.dir, "pom.xml"),
    "the jars of Kafka Streams",
  );
  const folder = mkdtempSync(join(tmpdir(), "streams-"));
  const { broker, brokers } = brokerProcess(join(folder, "data"), console.warn);
  let child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  try {
    await broker.start();
    const temporary = join(folder, "tmp");
    mkdirSync(temporary);
    const program = join(import.meta.dir, "WordCount.java");
    const flags = [...JAVA_FLAGS, `-Djava.io.tmpdir=${temporary}`, "-cp", classPath];
    child = Bun.spawn([java, ...flags, program, brokers, join(folder, "state")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const errors = new Response(child.stderr).text();
    let output = "";
    let isKilled = false;
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      output += chunk;
      if (isKilled || output.split("\n").length <= KILLED_AFTER) continue;
      isKilled = true;
      await broker.kill();
      await broker.ready();
    }
    expect(await errors).toBe("");
    expect(output).toContain("exactly once");
    expect(await child.exited).toBe(0);
  } finally {
    child?.kill("SIGKILL");
    await child?.exited;
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 170_000);
