import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Listening } from "@distributed-messaging/service/http/app";
import { freePorts } from "../ports.ts";
import { ProcessGroup } from "../process-group.ts";
import { fake, isAlive } from "../testing/processes.ts";
import { serveSupervisor } from "./http.ts";

const PAGE_PORT = 8900;
const [port = 0, nowhere = 0] = freePorts(2);
const group = new ProcessGroup({
  stages: [{ processes: [fake("alpha"), fake("beta")] }],
  timings: { backoffMs: 1 },
});
let listening: Listening;

beforeAll(async () => {
  await group.startAll();
  listening = await serveSupervisor({
    processes: {
      processes: () => group.processes(),
      start: (name) => group.process(name).start(),
      stop: (name) => group.process(name).stop(),
      kill: (name) => group.process(name).kill(),
      pause: (name) => group.process(name).pause(),
      resume: (name) => group.process(name).resume(),
    },
    urlOf: () => `http://127.0.0.1:${nowhere}`,
    kafka: { brokers: [`127.0.0.1:${nowhere}`], clientId: "test" },
    port,
    pagePort: PAGE_PORT,
  });
});
afterAll(async () => {
  await listening.stop(0);
  await group.stopAll();
});

const ask = (path: string, init: RequestInit = {}, host = "localhost") =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    ...init,
    headers: { host: `${host}:${port}`, ...init.headers },
  });
const act = (name: string, action: string) => ask(`/processes/${name}/${action}`, { method: "POST" });
const codeOf = async (response: Response) => {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const { type, status } = (await response.json()) as { type: string; status: number };
  expect(status).toBe(response.status);
  return `${status} ${type.replace("urn:problem-type:", "")}`;
};
const state = (name: string) => group.process(name).state;

describe("processes", () => {
  test("are listed with their state", async () => {
    const list = await (await ask("/processes")).json();
    expect(list).toEqual([
      { name: "alpha", state: "ready", pid: group.process("alpha").pid ?? 0, restarts: 0 },
      { name: "beta", state: "ready", pid: group.process("beta").pid ?? 0, restarts: 0 },
    ]);
  });

  test("are stopped until they are started, and the others go on", async () => {
    const stopped = await act("alpha", "stop");
    expect(stopped.status).toBe(200);
    expect(await stopped.json()).toMatchObject({ name: "alpha", state: "stopped", pid: null });
    expect(state("beta")).toBe("ready");
    expect(await (await act("alpha", "start")).json()).toMatchObject({ state: "ready", restarts: 0 });
  });

  test("are killed, and started again by themselves", async () => {
    const pid = group.process("beta").pid ?? 0;
    const { restarts } = group.process("beta");
    expect((await act("beta", "kill")).status).toBe(200);
    expect(isAlive(pid)).toBe(false);
    await eventually(() => state("beta") === "ready");
    expect(group.process("beta")).toMatchObject({ restarts: restarts + 1 });
  });

  test("are paused and resumed", async () => {
    expect(await (await act("beta", "pause")).json()).toMatchObject({ state: "paused" });
    expect(await (await act("beta", "resume")).json()).toMatchObject({ state: "ready" });
  });
});

describe("what cannot be done", () => {
  test("is a problem: no such process, no such action, not from this state", async () => {
    expect(await codeOf(await act("gamma", "stop"))).toBe("404 process-not-found");
    expect(await codeOf(await act("alpha", "explode"))).toBe("422 invalid-input");
    expect(await codeOf(await act("alpha", "resume"))).toBe("409 wrong-state");
    expect(await codeOf(await ask("/processes/alpha/stop"))).toBe("405 method-not-allowed");
    await act("alpha", "stop");
    expect(await codeOf(await act("alpha", "kill"))).toBe("409 wrong-state");
    expect(await codeOf(await act("alpha", "pause"))).toBe("409 wrong-state");
    await act("alpha", "start");
  });
});

describe("foreign pages", () => {
  const stop = (headers: Record<string, string>, host?: string) =>
    ask("/processes/alpha/stop", { method: "POST", headers }, host);

  test.each([
    "http://evil.example",
    "null",
    `https://localhost:${PAGE_PORT}`,
    `http://localhost:${PAGE_PORT + 1}`,
    `http://localhost.evil.example:${PAGE_PORT}`,
    `http://127.0.0.1:${PAGE_PORT}.evil.example`,
  ])("of origin %s are refused, and told nothing", async (origin) => {
    const response = await stop({ origin });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(await codeOf(response)).toBe("403 foreign-origin");
    expect(state("alpha")).toBe("ready");
  });

  test("that leave the origin out, but whose browser says where they are from, are refused", async () => {
    expect(await codeOf(await ask("/processes", { headers: { "sec-fetch-site": "cross-site" } }))).toBe(
      "403 foreign-origin",
    );
  });

  test("whose own name was made to point here are refused", async () => {
    expect(await codeOf(await stop({}, "evil.example"))).toBe("403 foreign-host");
    expect(await codeOf(await stop({ origin: `http://localhost:${PAGE_PORT}` }, "evil.example"))).toBe(
      "403 foreign-host",
    );
    expect(state("alpha")).toBe("ready");
  });

  test("get no preflight, the store's page gets one", async () => {
    const preflight = (origin: string) =>
      ask("/processes/alpha/stop", {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST" },
      });
    expect(await codeOf(await preflight("http://evil.example"))).toBe("403 foreign-origin");
    const allowed = await preflight(`http://localhost:${PAGE_PORT}`);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe(`http://localhost:${PAGE_PORT}`);
    expect(allowed.headers.get("access-control-allow-methods")).toContain("POST");
  });

  test("are kept out by name: the store's own page may ask, and may read refusals too", async () => {
    for (const name of ["localhost", "127.0.0.1", "[::1]"]) {
      const origin = `http://${name}:${PAGE_PORT}`;
      const response = await ask("/processes", { headers: { origin } });
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe(origin);
      expect(response.headers.get("vary")).toBe("origin");
      const refusal = await ask("/processes/gamma/stop", { method: "POST", headers: { origin } });
      expect(refusal.headers.get("access-control-allow-origin")).toBe(origin);
      expect(await codeOf(refusal)).toBe("404 process-not-found");
    }
  });
});

test("it listens on one loopback address and no other", async () => {
  expect((await ask("/processes")).status).toBe(200);
  // Another address of the same interface: what listens on all of them answers there, too.
  expect(await fetch(`http://127.0.0.2:${port}/processes`).catch(() => "refused")).toBe("refused");
});
