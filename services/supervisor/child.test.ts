import { expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { eachLine } from "./lines.ts";
import { isAlive } from "./testing/processes.ts";

test("no process outlives a supervisor that is killed, not even a paused one", async () => {
  const supervisor = Bun.spawn([process.execPath, join(import.meta.dir, "testing/supervising-program.ts")], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const printed = Promise.withResolvers<number[]>();
  void eachLine(supervisor.stdout, (line) => printed.resolve(JSON.parse(line)));
  const pids = await printed.promise;
  expect(pids.map(isAlive)).toEqual([true, true]);
  supervisor.kill("SIGKILL");
  await supervisor.exited;
  await eventually(() => !pids.some(isAlive));
});

test("a process started by hand does not mind that nobody holds its standard input", async () => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "testing/fake-process.ts")], {
    env: { PATH: process.env.PATH ?? "", FAKE_NAME: "by hand" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const listening = Promise.withResolvers<void>();
  const output = eachLine(child.stdout, (line) => /listening on/.test(line) && listening.resolve());
  await listening.promise;
  expect(child.exitCode).toBeNull();
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  await output;
});
