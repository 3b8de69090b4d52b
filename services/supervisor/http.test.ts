import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Listening } from "@distributed-messaging/service/http";
import { serveSupervisor } from "./http.ts";
import { freePorts } from "./ports.ts";
import { Supervisor } from "./supervisor.ts";
import { fake, isAlive } from "./testing/processes.ts";

const PAGE_PORT = 8900;
const [port = 0, nowhere = 0] = freePorts(2);
const supervisor = new Supervisor([{ processes: [fake("alpha"), fake("beta")] }], {
  timings: { backoffMs: 1 },
});
let listening: Listening;

beforeAll(async () => {
  await supervisor.startAll();
  listening = await serveSupervisor({
    supervisor,
    urlOf: () => `http://127.0.0.1:${nowhere}`,
    kafka: { brokers: [`127.0.0.1:${nowhere}`], clientId: "test" },
    port,
    pagePort: PAGE_PORT,
  });
});
afterAll(async () => {
  await listening.stop(0);
  await supervisor.stopAll();
});

const request = (path: string, init: RequestInit = {}, host = "localhost") =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    ...init,
    headers: { host: `${host}:${port}`, ...init.headers },
  });
const act = (name: string, action: string) => request(`/processes/${name}/${action}`, { method: "POST" });
const codeOf = async (response: Response) => {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const { type, status } = (await response.json()) as { type: string; status: number };
  expect(status).toBe(response.status);
  return `${status} ${type.replace("urn:problem-type:", "")}`;
};
const state = (name: string) => supervisor.process(name).state;

describe("processes", () => {
  test("are listed with their state", async () => {
    const list = await (await request("/processes")).json();
    expect(list).toEqual([
      { name: "alpha", state: "ready", pid: supervisor.process("alpha").pid ?? 0, restarts: 0 },
      { name: "beta", state: "ready", pid: supervisor.process("beta").pid ?? 0, restarts: 0 },
    ]);
  });

  test("can be stopped and started; the others keep running", async () => {
    const stopped = await act("alpha", "stop");
    expect(stopped.status).toBe(200);
    expect(await stopped.json()).toMatchObject({ name: "alpha", state: "stopped", pid: null });
    expect(state("beta")).toBe("ready");
    expect(await (await act("alpha", "start")).json()).toMatchObject({ state: "ready", restarts: 0 });
  });

  test("can be killed, and are restarted", async () => {
    const pid = supervisor.process("beta").pid ?? 0;
    const { restarts } = supervisor.process("beta");
    expect((await act("beta", "kill")).status).toBe(200);
    expect(isAlive(pid)).toBe(false);
    await eventually(() => state("beta") === "ready");
    expect(supervisor.process("beta")).toMatchObject({ restarts: restarts + 1 });
  });

  test("can be paused and resumed", async () => {
    expect(await (await act("beta", "pause")).json()).toMatchObject({ state: "paused" });
    expect(await (await act("beta", "resume")).json()).toMatchObject({ state: "ready" });
  });
});

describe("a lease", () => {
  /** A page that holds the lease. `end` closes its connection. */
  const hold = async () => {
    const connection = new AbortController();
    const response = await request("/lease", { method: "POST", signal: connection.signal });
    if (!response.ok) return { refusal: await codeOf(response), lease: "", end: () => {} };
    const reader = response.body?.getReader();
    const line = new TextDecoder().decode((await reader?.read())?.value);
    return { refusal: undefined, lease: JSON.parse(line).lease as string, end: () => connection.abort() };
  };
  const actAs = (lease: string, name: string, action: string) =>
    request(`/processes/${name}/${action}?lease=${lease}`, { method: "POST" });

  test("ends with its connection: every process is brought back, and a late request is refused", async () => {
    const first = await hold();
    expect((await actAs(first.lease, "alpha", "stop")).status).toBe(200);
    expect((await actAs(first.lease, "beta", "pause")).status).toBe(200);
    first.end();
    await eventually(() => state("alpha") === "ready" && state("beta") === "ready", "both to run");
    expect(await codeOf(await actAs(first.lease, "alpha", "stop"))).toBe("409 lease-ended");
    expect(state("alpha")).toBe("ready");
  });

  test("has one holder at a time; the next one gets it when everything runs again", async () => {
    const first = await hold();
    expect((await hold()).refusal).toBe("409 lease-held");
    expect(await codeOf(await actAs("another", "alpha", "stop"))).toBe("409 lease-ended");
    await actAs(first.lease, "alpha", "stop");
    first.end();
    const next = await hold();
    expect({ refusal: next.refusal, alpha: state("alpha") }).toEqual({ refusal: undefined, alpha: "ready" });
    next.end();
  });

  test("is not needed for an action of the map or the admin panel", async () => {
    expect((await act("alpha", "stop")).status).toBe(200);
    expect(state("alpha")).toBe("stopped");
    await act("alpha", "start");
  });
});

test("the log of a process is shown", async () => {
  await act("beta", "kill");
  await eventually(() => state("beta") === "ready");
  expect(await (await request("/processes/beta/log")).json()).toContainEqual({
    at: expect.any(Number),
    source: "supervisor",
    line: expect.stringContaining("ended (SIGKILL)"),
  });
  expect(await codeOf(await request("/processes/gamma/log"))).toBe("404 process-not-found");
});

test("sources are shown, and no other file of the machine", async () => {
  const shown = await request("/sources/services/supervisor/http.test.ts");
  expect(shown.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect(await shown.text()).toContain("sources are shown, and no other file of the machine");
  for (const path of [
    "package.json",
    "services/package.json",
    "services/..%2fpackage.json",
    "services/%2e%2e/bunfig.toml",
    "services/../../../../etc/passwd.ts",
    "node_modules/elysia/index.ts",
    "services/node_modules/elysia/index.ts",
    "%2fetc%2fpasswd",
    "services//etc/passwd.ts",
    "services/.secret.ts",
    "services/nothing.ts",
    "services/supervisor/http.test.ts%00.ts",
  ]) {
    expect({ path, status: (await request(`/sources/${path}`)).status }).toEqual({ path, status: 404 });
  }
});

describe("an action that is not possible", () => {
  test("is a problem: unknown process, unknown action, wrong state", async () => {
    expect(await codeOf(await act("gamma", "stop"))).toBe("404 process-not-found");
    expect(await codeOf(await act("alpha", "explode"))).toBe("422 invalid-input");
    expect(await codeOf(await act("alpha", "resume"))).toBe("409 wrong-state");
    expect(await codeOf(await request("/processes/alpha/stop"))).toBe("405 method-not-allowed");
    await act("alpha", "stop");
    expect(await codeOf(await act("alpha", "kill"))).toBe("409 wrong-state");
    expect(await codeOf(await act("alpha", "pause"))).toBe("409 wrong-state");
    await act("alpha", "start");
  });
});

describe("foreign pages", () => {
  const stop = (headers: Record<string, string>, host?: string) =>
    request("/processes/alpha/stop", { method: "POST", headers }, host);

  test.each([
    "http://evil.example",
    "null",
    `https://localhost:${PAGE_PORT}`,
    `http://localhost:${PAGE_PORT + 1}`,
    `http://127.0.0.1:${PAGE_PORT}`,
    `http://localhost.evil.example:${PAGE_PORT}`,
    `http://127.0.0.1:${PAGE_PORT}.evil.example`,
  ])("of origin %s are refused and cannot read the answer", async (origin) => {
    const response = await stop({ origin });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(await codeOf(response)).toBe("403 foreign-origin");
    expect(state("alpha")).toBe("ready");
  });

  test("without an origin are refused when the browser marks them as cross-site", async () => {
    expect(await codeOf(await request("/processes", { headers: { "sec-fetch-site": "cross-site" } }))).toBe(
      "403 foreign-origin",
    );
  });

  test("whose host name resolves to this machine are refused", async () => {
    expect(await codeOf(await stop({}, "evil.example"))).toBe("403 foreign-host");
    // The loopback address as one number.
    expect(await codeOf(await stop({}, "2130706433"))).toBe("403 foreign-host");
    expect(await codeOf(await stop({ origin: `http://localhost:${PAGE_PORT}` }, "evil.example"))).toBe(
      "403 foreign-host",
    );
    expect(state("alpha")).toBe("ready");
  });

  test("get no preflight answer; the store's page gets one", async () => {
    const preflight = (origin: string) =>
      request("/processes/alpha/stop", {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST" },
      });
    expect(await codeOf(await preflight("http://evil.example"))).toBe("403 foreign-origin");
    const allowed = await preflight(`http://localhost:${PAGE_PORT}`);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe(`http://localhost:${PAGE_PORT}`);
    expect(allowed.headers.get("access-control-allow-methods")).toContain("POST");
  });

  test("are refused by name: the store's page may send requests, and read refusals too", async () => {
    for (const name of ["localhost", "127.0.0.1", "[::1]"]) {
      const origin = `http://${name}:${PAGE_PORT}`;
      const response = await request("/processes", { headers: { origin } }, name);
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe(origin);
      expect(response.headers.get("vary")).toBe("origin");
      const refusal = await request("/processes/gamma/stop", { method: "POST", headers: { origin } }, name);
      expect(refusal.headers.get("access-control-allow-origin")).toBe(origin);
      expect(await codeOf(refusal)).toBe("404 process-not-found");
    }
  });
});

test("it listens on one loopback address only", async () => {
  expect((await request("/processes")).status).toBe(200);
  // Another address of the same interface: a server that listens on all interfaces answers there too.
  expect(await fetch(`http://127.0.0.2:${port}/processes`).catch(() => "refused")).toBe("refused");
});
