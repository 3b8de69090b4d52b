import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { ProcessGroup, type Stage } from "./process-group.ts";
import type { ProcessLog, ProcessSpec, ProcessTimings } from "./process-spec.ts";
import { fake, isAlive } from "./testing/processes.ts";

const groups: ProcessGroup[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(groups.splice(0).map((group) => group.killAll()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function groupOf(stages: readonly Stage[], timings: Partial<ProcessTimings> = {}) {
  const logs: ProcessLog[] = [];
  const group = new ProcessGroup({
    stages,
    onLog: (log) => logs.push(log),
    timings: { backoffMs: 1, ...timings },
  });
  groups.push(group);
  const status = (name: string) => group.processes().find((process) => process.name === name);
  return { group, logs, status, said: () => logs.map(({ line }) => line).join("\n") };
}

function journal() {
  const folder = mkdtempSync(join(tmpdir(), "group-"));
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
  const { group } = groupOf([
    {
      processes: [fake("first", { FAKE_JOURNAL: path })],
      onReady: async () => void between.push(events()),
    },
    { processes: [fake("second", { FAKE_JOURNAL: path })] },
  ]);
  await group.startAll();
  expect(between).toEqual([["first started"]]);
  expect(group.processes().map(({ name, state, restarts }) => ({ name, state, restarts }))).toEqual([
    { name: "first", state: "ready", restarts: 0 },
    { name: "second", state: "ready", restarts: 0 },
  ]);
  await group.stopAll();
  expect(events()).toEqual(["first started", "second started", "second stopped", "first stopped"]);
  expect(group.processes().map(({ state, pid }) => [state, pid])).toEqual([
    ["stopped", null],
    ["stopped", null],
  ]);
});

test("hands on every line with the name of its process and its stream", async () => {
  const spec = fake("talker");
  const { group, logs } = groupOf(one(spec));
  await group.startAll();
  expect(logs).toContainEqual({
    process: "talker",
    source: "stdout",
    line: `fake listening on ${spec.env.FAKE_PORT}`,
  });
});

test("is ready when the line appears that was waited for", async () => {
  const { group } = groupOf(one({ ...fake("line"), ready: { kind: "line", pattern: /listening on \d+/ } }));
  await group.startAll();
  expect(group.process("line").state).toBe("ready");
});

test("is ready when the port accepts connections", async () => {
  const spec = fake("port");
  const port = Number(spec.env.FAKE_PORT);
  const { group } = groupOf(one({ ...spec, ready: { kind: "port", host: "127.0.0.1", port } }));
  await group.startAll();
  expect(group.process("port").state).toBe("ready");
});

test("a process that was killed is started again", async () => {
  const { group, status, said } = groupOf(one(fake("victim")));
  await group.startAll();
  const before = status("victim")?.pid;
  await group.process("victim").kill();
  expect(status("victim")).toMatchObject({ state: "backing-off", pid: null });
  await group.process("victim").ready();
  expect(status("victim")).toMatchObject({ state: "ready", restarts: 1 });
  expect(status("victim")?.pid).not.toBe(before);
  expect(said()).toContain("ended (SIGKILL), starting it again");
});

test("each crash in a row waits twice as long, up to the maximum; being up for a while counts anew", async () => {
  const delays = async (backoffResetMs: number) => {
    const spec = fake("crasher");
    const { group, said } = groupOf(one(spec), { backoffMs: 1, maxBackoffMs: 4, backoffResetMs });
    await group.startAll();
    for (let restarts = 1; restarts <= 4; restarts++) {
      await fetch(`${urlOf(spec)}/crash`).catch(() => undefined);
      await eventually(() => group.processes()[0]?.restarts === restarts);
      await group.process("crasher").ready();
    }
    return [...said().matchAll(/ended \(exit code 7\), starting it again in (\d+) ms/g)].map(([, ms]) => ms);
  };
  expect(await delays(60_000)).toEqual(["1", "2", "4", "4"]);
  expect(await delays(0)).toEqual(["1", "1", "1", "1"]);
});

test("stop keeps it down until start", async () => {
  const { group, status } = groupOf(one(fake("service")));
  await group.startAll();
  const pid = status("service")?.pid ?? 0;
  await group.process("service").stop();
  expect(isAlive(pid)).toBe(false);
  expect(status("service")).toEqual({ name: "service", state: "stopped", pid: null, restarts: 0 });
  await group.process("service").start();
  expect(status("service")).toMatchObject({ state: "ready", restarts: 0 });
});

test("stop during the pause before a restart keeps it down", async () => {
  const { group, status } = groupOf(one(fake("service")), { backoffMs: 60_000, maxBackoffMs: 60_000 });
  await group.startAll();
  await group.process("service").kill();
  await group.process("service").stop();
  expect(status("service")).toMatchObject({ state: "stopped", pid: null, restarts: 0 });
  await group.process("service").start();
  expect(status("service")).toMatchObject({ state: "ready" });
});

test("what does not stop in time is killed", async () => {
  const { group, said } = groupOf(one(fake("stubborn", { FAKE_STUBBORN: "1" })), { stopTimeoutMs: 20 });
  await group.startAll();
  await group.stopAll();
  expect(group.process("stubborn").state).toBe("stopped");
  expect(said()).toContain("has not stopped after 20 ms, killing it");
});

test("killAll ends what is stopping at once", async () => {
  const { group, status } = groupOf(one(fake("stubborn", { FAKE_STUBBORN: "1" })), {
    stopTimeoutMs: 3_600_000,
  });
  await group.startAll();
  const stopping = group.stopAll();
  expect(status("stubborn")?.state).toBe("stopping");
  await group.killAll();
  await stopping;
  expect(status("stubborn")).toMatchObject({ state: "stopped", pid: null });
});

test("a paused process answers nobody until it is resumed, and can be stopped and killed", async () => {
  const spec = fake("sleeper");
  const { group, status } = groupOf(one(spec));
  await group.startAll();
  const answers = () =>
    fetch(urlOf(spec), { signal: AbortSignal.timeout(100) }).then(
      () => true,
      () => false,
    );
  const sleeper = group.process("sleeper");
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

test("a process that cannot be started fails the start with its own words, and nothing is left running", async () => {
  const { group, logs } = groupOf([
    { processes: [fake("fine")] },
    { processes: [fake("broken", { FAKE_EXIT: "3" }), fake("other")] },
  ]);
  await expect(group.startAll()).rejects.toThrow(
    "broken did not start (exit code 3): fake: a setting is wrong",
  );
  await eventually(() => group.processes().every(({ state, pid }) => state === "stopped" && pid === null));
  expect(logs.filter(({ process }) => process === "broken")).toHaveLength(1);
});

test("a process that is not ready in time fails the start", async () => {
  const never = { ...fake("never"), ready: { kind: "line", pattern: /unheard of/ } } as const;
  const { group } = groupOf(one(never), { readyTimeoutMs: 500 });
  await expect(group.startAll()).rejects.toThrow("never did not start (SIGKILL): not ready after 500 ms");
  await eventually(() => group.processes()[0]?.state === "stopped");
});

test("stopAll ends a start that is under way", async () => {
  const { path, events } = journal();
  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const { group } = groupOf([
    {
      processes: [fake("first", { FAKE_JOURNAL: path })],
      onReady: () => {
        reached.resolve();
        return release.promise;
      },
    },
    { processes: [fake("second", { FAKE_JOURNAL: path })] },
  ]);
  const started = group.startAll();
  await reached.promise;
  await group.stopAll();
  release.resolve();
  await expect(started).rejects.toThrow("stopped before everything was ready");
  expect(events()).toEqual(["first started", "first stopped"]);
});

test("a name that no process has is refused", () => {
  const { group } = groupOf(one(fake("only")));
  expect(() => group.process("other")).toThrow("no process is called other; there are only");
});
