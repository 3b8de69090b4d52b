import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "./ports.ts";
import type { ProcessLog, ProcessSpec, ProcessTimings } from "./process.ts";
import { type Stage, Supervisor } from "./supervisor.ts";
import { fake, isAlive } from "./testing/processes.ts";

const supervisors: Supervisor[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(supervisors.splice(0).map((supervisor) => supervisor.killAll()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function supervise(stages: readonly Stage[], timings: Partial<ProcessTimings> = {}) {
  const logs: ProcessLog[] = [];
  const supervisor = new Supervisor(stages, {
    onLog: (log) => logs.push(log),
    timings: { backoffMs: 1, ...timings },
  });
  supervisors.push(supervisor);
  const status = (name: string) => supervisor.report().find((process) => process.name === name);
  return { supervisor, logs, status, logText: () => logs.map(({ line }) => line).join("\n") };
}

function journal() {
  const folder = mkdtempSync(join(tmpdir(), "supervisor-"));
  folders.push(folder);
  const path = join(folder, "journal");
  const read = () => readFileSync(path, "utf8").trim().split("\n");
  return { path, read, events: () => read().map((line) => line.split(" ").slice(0, 2).join(" ")) };
}

const one = (spec: ProcessSpec): Stage[] => [{ processes: [spec] }];
const urlOf = (spec: ProcessSpec) => `http://127.0.0.1:${spec.env.FAKE_PORT}`;

test("starts stage by stage and stops in reverse", async () => {
  const { path, events } = journal();
  const between: string[][] = [];
  const { supervisor } = supervise([
    {
      processes: [fake("first", { FAKE_JOURNAL: path })],
      onReady: async () => void between.push(events()),
    },
    { processes: [fake("second", { FAKE_JOURNAL: path })] },
  ]);
  await supervisor.startAll();
  expect(between).toEqual([["first started"]]);
  expect(supervisor.report().map(({ name, state, restarts }) => ({ name, state, restarts }))).toEqual([
    { name: "first", state: "ready", restarts: 0 },
    { name: "second", state: "ready", restarts: 0 },
  ]);
  await supervisor.stopAll();
  expect(events()).toEqual(["first started", "second started", "second stopped", "first stopped"]);
  expect(supervisor.report().map(({ state, pid }) => [state, pid])).toEqual([
    ["stopped", null],
    ["stopped", null],
  ]);
});

test("logs every line with its process and its stream", async () => {
  const spec = fake("talker");
  const { supervisor, logs } = supervise(one(spec));
  await supervisor.startAll();
  expect(logs).toContainEqual({
    process: "talker",
    source: "stdout",
    line: `fake listening on ${spec.env.FAKE_PORT}`,
  });
});

test("a process with a port is ready when the port accepts connections", async () => {
  const spec = fake("port");
  const port = Number(spec.env.FAKE_PORT);
  const { supervisor } = supervise(one({ ...spec, ready: { kind: "port", host: "127.0.0.1", port } }));
  await supervisor.startAll();
  expect(supervisor.process("port").state).toBe("ready");
});

test("a killed process is restarted", async () => {
  const { supervisor, status, logText } = supervise(one(fake("victim")));
  await supervisor.startAll();
  const before = status("victim")?.pid;
  await supervisor.process("victim").kill();
  expect(status("victim")).toMatchObject({ state: "backing-off", pid: null });
  await supervisor.process("victim").ready();
  expect(status("victim")).toMatchObject({ state: "ready", restarts: 1 });
  expect(status("victim")?.pid).not.toBe(before);
  expect(logText()).toContain("ended (SIGKILL); restart in 1 ms");
});

test("the delay doubles with each crash in a row, up to the maximum, and starts again after a time without a crash", async () => {
  const delays = async (backoffResetMs: number) => {
    const spec = fake("crasher");
    const { supervisor, logText } = supervise(one(spec), { backoffMs: 1, maxBackoffMs: 4, backoffResetMs });
    await supervisor.startAll();
    for (let restarts = 1; restarts <= 4; restarts++) {
      await fetch(`${urlOf(spec)}/crash`).catch(() => undefined);
      await eventually(() => supervisor.report()[0]?.restarts === restarts);
      await supervisor.process("crasher").ready();
    }
    return [...logText().matchAll(/ended \(exit code 7\); restart in (\d+) ms/g)].map(([, ms]) => ms);
  };
  expect(await delays(60_000)).toEqual(["1", "2", "4", "4"]);
  expect(await delays(0)).toEqual(["1", "1", "1", "1"]);
});

test("a stopped process stays down until it is started", async () => {
  const { supervisor, status } = supervise(one(fake("service")));
  await supervisor.startAll();
  const pid = status("service")?.pid ?? 0;
  await supervisor.process("service").stop();
  expect(isAlive(pid)).toBe(false);
  expect(status("service")).toEqual({ name: "service", state: "stopped", pid: null, restarts: 0 });
  await supervisor.process("service").start();
  expect(status("service")).toMatchObject({ state: "ready", restarts: 0 });
});

test("a process that is stopped before its restart stays down", async () => {
  const { supervisor, status } = supervise(one(fake("service")), { backoffMs: 60_000, maxBackoffMs: 60_000 });
  await supervisor.startAll();
  await supervisor.process("service").kill();
  await supervisor.process("service").stop();
  expect(status("service")).toMatchObject({ state: "stopped", pid: null, restarts: 0 });
  await supervisor.process("service").start();
  expect(status("service")).toMatchObject({ state: "ready" });
});

test("an instance is destroyed with its database, and started again; what is the only one is not", async () => {
  const { path } = journal();
  const folder = dirname(path);
  const file = join(folder, "order.sqlite");
  const { supervisor, status, logText } = supervise([
    { processes: [{ ...fake("instance"), file }, fake("only")] },
  ]);
  await supervisor.startAll();
  for (const name of ["order.sqlite", "order.sqlite-wal", "order.sqlite-shm", "operator.jwk"]) {
    writeFileSync(join(folder, name), "x");
  }
  await supervisor.process("instance").destroy();
  expect(readdirSync(folder)).toEqual(["operator.jwk"]);
  await eventually(() => status("instance")?.state === "ready");
  expect(status("instance")).toMatchObject({ restarts: 1 });
  expect(logText()).toContain("its database was deleted");
  await expect(supervisor.process("only").destroy()).rejects.toThrow("only is the only instance");
  expect(status("only")).toMatchObject({ state: "ready", restarts: 0 });
});

test("a process that does not stop in time gets SIGKILL", async () => {
  const { supervisor, logText } = supervise(one(fake("stubborn", { FAKE_STUBBORN: "1" })), {
    stopTimeoutMs: 20,
  });
  await supervisor.startAll();
  await supervisor.stopAll();
  expect(supervisor.process("stubborn").state).toBe("stopped");
  expect(logText()).toContain("still runs 20 ms after SIGTERM; sending SIGKILL");
});

test("killAll ends a stop in progress", async () => {
  const { supervisor, status } = supervise(one(fake("stubborn", { FAKE_STUBBORN: "1" })), {
    stopTimeoutMs: 3_600_000,
  });
  await supervisor.startAll();
  const stopping = supervisor.stopAll();
  expect(status("stubborn")?.state).toBe("stopping");
  await supervisor.killAll();
  await stopping;
  expect(status("stubborn")).toMatchObject({ state: "stopped", pid: null });
});

test("a paused process does not answer until it is resumed, and can be stopped and killed", async () => {
  const spec = fake("sleeper");
  const { supervisor, status } = supervise(one(spec));
  await supervisor.startAll();
  const answers = () =>
    fetch(urlOf(spec), { signal: AbortSignal.timeout(100) }).then(
      () => true,
      () => false,
    );
  const sleeper = supervisor.process("sleeper");
  sleeper.pause();
  await eventually(async () => !(await answers()));
  expect(status("sleeper")?.state).toBe("paused");
  expect(() => sleeper.pause()).toThrow("sleeper is paused");
  sleeper.resume();
  await eventually(answers);
  expect(status("sleeper")).toMatchObject({ state: "ready", restarts: 0 });
  expect(() => sleeper.resume()).toThrow("sleeper is not paused");
  sleeper.pause();
  await sleeper.kill();
  await sleeper.ready();
  expect(status("sleeper")).toMatchObject({ state: "ready", restarts: 1 });
  sleeper.pause();
  await sleeper.stop();
  expect(status("sleeper")).toMatchObject({ state: "stopped", pid: null });
});

test("a process that does not start fails the start with its last line, and every process is stopped", async () => {
  const { supervisor, logs } = supervise([
    { processes: [fake("fine")] },
    { processes: [fake("broken", { FAKE_EXIT: "3" }), fake("other")] },
  ]);
  await expect(supervisor.startAll()).rejects.toThrow(
    "broken did not start (exit code 3): fake: invalid setting",
  );
  await eventually(() => supervisor.report().every(({ state, pid }) => state === "stopped" && pid === null));
  expect(logs.filter(({ process }) => process === "broken")).toHaveLength(1);
});

test("a process that is not ready in time fails the start", async () => {
  const [port = 0] = freePorts(1);
  const never: ProcessSpec = { ...fake("never"), ready: { kind: "port", host: "127.0.0.1", port } };
  const { supervisor } = supervise(one(never), { readyTimeoutMs: 500 });
  await expect(supervisor.startAll()).rejects.toThrow(
    "never did not start (SIGKILL): not ready after 500 ms",
  );
  await eventually(() => supervisor.report()[0]?.state === "stopped");
});

test("stopAll ends a start in progress", async () => {
  const { path, events } = journal();
  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const { supervisor } = supervise([
    {
      processes: [fake("first", { FAKE_JOURNAL: path })],
      onReady: () => {
        reached.resolve();
        return release.promise;
      },
    },
    { processes: [fake("second", { FAKE_JOURNAL: path })] },
  ]);
  const started = supervisor.startAll();
  await reached.promise;
  await supervisor.stopAll();
  release.resolve();
  await expect(started).rejects.toThrow("stopped before every process was ready");
  expect(events()).toEqual(["first started", "first stopped"]);
});

test("what is stopped or paused is brought back, also what is still stopping; what runs goes on running", async () => {
  const { supervisor, status } = supervise(
    [
      { processes: ["runs", "stopped", "paused"].map((name) => fake(name)) },
      { processes: [fake("stopping", { FAKE_STUBBORN: "1" })] },
    ],
    { stopTimeoutMs: 300 },
  );
  await supervisor.startAll();
  const { pid } = supervisor.process("runs");
  await supervisor.process("stopped").stop();
  supervisor.process("paused").pause();
  const stopping = supervisor.process("stopping").stop();
  await supervisor.bringBackAll();
  await stopping;
  expect(supervisor.report().map(({ state }) => state)).toEqual(["ready", "ready", "ready", "ready"]);
  expect(status("runs")).toMatchObject({ pid, restarts: 0 });
});

test("nothing is brought back while everything is stopped", async () => {
  const { supervisor } = supervise(one(fake("stubborn", { FAKE_STUBBORN: "1" })), { stopTimeoutMs: 300 });
  await supervisor.startAll();
  void supervisor.process("stubborn").stop();
  const broughtBack = supervisor.bringBackAll();
  await Promise.all([supervisor.stopAll(), broughtBack]);
  expect(supervisor.report()).toMatchObject([{ state: "stopped" }]);
});

test("the last lines of a process are kept, over its restarts", async () => {
  const { supervisor } = supervise(one(fake("talker")));
  await supervisor.startAll();
  await supervisor.process("talker").kill();
  await eventually(() => supervisor.process("talker").state === "ready");
  expect(supervisor.process("talker").lines).toContainEqual({
    at: expect.any(Number),
    source: "supervisor",
    line: expect.stringMatching(/^ended \(SIGKILL\); restart in \d+ ms$/),
  });
});

test("of the lines of a process the last 200 are kept", async () => {
  const { supervisor } = supervise(one(fake("talker", { FAKE_LINES: "300" })));
  await supervisor.startAll();
  const kept = () => supervisor.process("talker").lines.map(({ line }) => line);
  await eventually(() => kept().includes("line 300"), "the last line");
  expect(kept()).toHaveLength(200);
  expect(kept()).not.toContain("line 100");
});

test("an unknown name is refused", () => {
  const { supervisor } = supervise(one(fake("only")));
  expect(() => supervisor.process("other")).toThrow("there is no process other; the processes are only");
});
