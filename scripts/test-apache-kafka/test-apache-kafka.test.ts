import { expect, test } from "bun:test";
import { ROOT } from "@distributed-messaging/supervisor/store";

test("without Java the tests on Apache Kafka are skipped, with one line", async () => {
  const child = Bun.spawn([process.execPath, "scripts/test-apache-kafka.ts"], {
    cwd: ROOT,
    env: { PATH: "/nowhere" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const line = "test-apache-kafka: skipped the tests on Apache Kafka: Java 17 or later is not installed\n";
  expect(output).toEqual(["", line, 0]);
});
