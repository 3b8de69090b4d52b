import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { eachLine } from "./child.ts";
import { isAlive } from "./testing/processes.ts";

test("no child outlives a supervisor that is killed, not even a paused one", async () => {
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

test("a process that was started without a supervisor runs although its standard input is closed", async () => {
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

describe("eachLine", () => {
  async function linesOf(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
    const lines: string[] = [];
    const encoder = new TextEncoder();
    const bytes = chunks.map((chunk) => (typeof chunk === "string" ? encoder.encode(chunk) : chunk));
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of bytes) controller.enqueue(chunk);
        controller.close();
      },
    });
    await eachLine(stream, (line) => lines.push(line));
    return lines;
  }

  test("joins lines that arrive in pieces, and includes a last line without a line end", async () => {
    expect(await linesOf(["one\ntw", "o\r\n", "\n", "three"])).toEqual(["one", "two", "", "three"]);
  });

  test("joins a character whose bytes arrive in pieces", async () => {
    expect(await linesOf([Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xac, 0x0a)])).toEqual(["€"]);
  });

  test("splits a line that is too long", async () => {
    const lines = await linesOf(["x".repeat(100_000), "y".repeat(100_000)]);
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.join("")).toBe("x".repeat(100_000) + "y".repeat(100_000));
  });
});
