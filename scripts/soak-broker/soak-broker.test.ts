import { expect, test } from "bun:test";
import { join } from "node:path";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { ROOT } from "@distributed-messaging/supervisor/store";

/* The commands that put a load on the embedded broker. Continuous integration runs them as commands. */

const run = (command: string, ...args: string[]) =>
  runToEnd([process.execPath, join(ROOT, "scripts", `${command}.ts`), ...args], {
    cwd: ROOT,
    // Neither Go nor Python.
    env: { PATH: "/nowhere" },
  });

test("the usage is printed, and unknown arguments are refused", async () => {
  const [help, minutes, rounds, seconds] = await Promise.all([
    run("soak-broker", "--help"),
    run("soak-broker", "--minutes", "-1"),
    run("crash-broker", "--round", "1"),
    run("bench", "broker", "--second", "1"),
  ]);
  expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("usage: bun run soak-broker") });
  expect(minutes.exitCode).not.toBe(0);
  expect(rounds).toEqual({
    exitCode: 2,
    stdout: "",
    stderr: expect.stringContaining("Unknown option '--round'"),
  });
  expect(seconds).toEqual({
    exitCode: 2,
    stdout: "",
    stderr: expect.stringContaining("Unknown option '--second'"),
  });
});

test("without Go, the broker is not killed, with one line", async () => {
  expect(await run("crash-broker", "--rounds", "1")).toEqual({
    exitCode: 0,
    stdout: "crash-broker: skipped: Go is not installed\n",
    stderr: "",
  });
});
