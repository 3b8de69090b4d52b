import { expect, test } from "bun:test";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { ROOT } from "@distributed-messaging/supervisor/store";

test("without Java the tests on Apache Kafka are skipped, with one line", async () => {
  const command = [process.execPath, "scripts/test-apache-kafka.ts"];
  const finished = await runToEnd(command, { cwd: ROOT, env: { PATH: "/nowhere" } });
  const line = "test-apache-kafka: skipped the tests on Apache Kafka: Java 17 or later is not installed\n";
  expect(finished).toEqual({ stdout: "", stderr: line, exitCode: 0 });
});
