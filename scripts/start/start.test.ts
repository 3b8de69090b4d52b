import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runsSlowTests, slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { processesLock } from "@distributed-messaging/supervisor/data-dir";
import { freePorts, whyUnusable } from "@distributed-messaging/supervisor/ports";
import { portSetting } from "@distributed-messaging/supervisor/settings";
import { processNames, ROOT } from "@distributed-messaging/supervisor/store";
import { type StoreProcess, StoreSettings } from "../testing/store-process.ts";

/* `npm start` and the commands for a running store, as processes. */

const START_TIMEOUT_MS = 120_000;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function settings(env?: Record<string, string>): StoreSettings {
  const made = new StoreSettings(env);
  cleanups.push(() => made.remove());
  return made;
}

function start(store: StoreSettings, args?: string[]): StoreProcess {
  const running = store.start(args);
  cleanups.push(() => {
    running.signal("SIGKILL");
    return running.exited;
  });
  return running;
}

async function available(store: StoreSettings, productId: string): Promise<number> {
  const response = await fetch(`${store.url("inventory")}/stock/${productId}`);
  const stock: { available: number } = await response.json();
  return stock.available;
}

/** Lines that somebody would have to look into. */
function alarms(lines: readonly string[]): string[] {
  return lines.filter((line) => /\b(?:warn|error|fatal|crashed|SIGKILL)\b|^\s+at /i.test(line));
}

/** Stops, starts or pauses a process through the supervisor. */
async function ask(store: StoreSettings, name: string, action: "stop" | "start" | "pause"): Promise<number> {
  const url = `http://127.0.0.1:${store.env.SUPERVISOR_PORT}/processes/${name}/${action}`;
  return (await fetch(url, { method: "POST" })).status;
}

const PORTS = processNames.map(portSetting);

function freed(store: StoreSettings): boolean {
  return PORTS.every((name) => whyUnusable("127.0.0.1", Number(store.env[name])) === undefined);
}

test(
  "one command, then orders: placed once, confirmed, shown by topics; Ctrl-C stops everything",
  async () => {
    const store = settings();
    const running = start(store);
    await running.line(/^ready in \d/);
    for (const name of PORTS.slice(1)) expect(running.lines.join("\n")).toContain(`:${store.env[name]}`);

    const first = await store.run("post-order.ts", ["ORDER_001"]);
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(first.stdout).toStartWith("ORDER_001 accepted\n");
    expect(first.stdout).toEndWith("ORDER_001 confirmed, 40.00 EUR\n");
    expect((await store.run("post-order.ts", ["ORDER_001"])).stdout).toBe(
      "ORDER_001 accepted before; it is placed once\nORDER_001 confirmed, 40.00 EUR\n",
    );
    expect((await store.run("post-order.ts", ["ORDER_002"])).stdout).toEndWith("confirmed, 20.00 EUR\n");
    expect([await available(store, "PRODUCT_001"), await available(store, "PRODUCT_002")]).toEqual([5, 13]);

    const { stdout } = await store.run("topics.ts");
    expect(stdout).toMatch(/^order\.commands +2 /m);
    // The services commit their offsets after they have handled the messages.
    await eventually(
      async () => /^order +order\.commands +0$/m.test((await store.run("topics.ts")).stdout),
      "the order service's lag to be 0",
    );

    const persistence = await store.run("start-persistence.ts");
    expect(persistence.exitCode).toBe(0);
    expect(persistence.stdout.match(/ ok, \d+ KiB /g)).toHaveLength(serviceNames.length);

    const page = `http://localhost:${store.env.API_GATEWAY_PORT}/`;
    const twice = { exitCode: 1, stdout: "", stderr: `start: The store already runs here: ${page}\n` };
    const otherPorts = settings({ DATA_DIR: store.env.DATA_DIR ?? "" });
    const otherData = { DATA_DIR: join(store.env.DATA_DIR ?? "", "other") };
    expect(await store.run("start.ts")).toEqual(twice);
    expect(await otherPorts.run("start.ts", ["--fresh"])).toEqual(twice);
    expect(await store.run("start.ts", ["--fresh"], otherData)).toEqual(twice);

    const before = running.lines.length;
    expect(await ask(store, "notification", "stop")).toBeLessThan(300);
    await running.line(/notification +info +stopping/);
    await eventually(async () => (await ask(store, "notification", "start")) < 300, "the service to start");
    running.signal("SIGINT");
    expect(await running.exited).toBe(0);
    expect(running.lines.slice(before).join("\n")).toContain("\nstopping … (Ctrl-C again");
    expect(alarms(running.lines.slice(before))).toEqual([]);
    expect(freed(store)).toBe(true);
    expect((await store.run("post-order.ts", ["ORDER_001"])).stderr).toMatch(
      /^post-order: no answer from .*\n$/,
    );
  },
  START_TIMEOUT_MS,
);

slowTest(
  "killed, and started again at once with the same settings, it waits for its processes and has its data; with --fresh, none",
  async () => {
    const store = settings();
    const first = start(store);
    await first.line(/^ready in \d/);
    await store.run("post-order.ts", ["ORDER_001"]);
    first.signal("SIGKILL");
    await first.exited;
    // Its processes have not ended yet: the next one waits for them.

    const second = start(store);
    await second.line(/^ready in \d/);
    expect(await available(store, "PRODUCT_001")).toBe(7);
    second.signal("SIGTERM");
    expect(await second.exited).toBe(0);

    const third = start(store, ["--fresh"]);
    await third.line(/^ready in \d/);
    expect(await available(store, "PRODUCT_001")).toBe(10);
    third.signal("SIGHUP");
    expect(await third.exited).toBe(0);
  },
  START_TIMEOUT_MS,
);

test.skipIf(process.env.SLOW_TESTS !== "true")(
  "killed, and started again, it waits for a process that does not end by itself",
  async () => {
    const store = settings();
    const first = start(store);
    await first.line(/^ready in \d/);
    // As each process of the store does. One that is paused instead is resumed when its supervisor ends (child.ts).
    const held = new Database(processesLock(store.env.DATA_DIR ?? ""));
    cleanups.push(() => held.close());
    held.run("BEGIN");
    held.query("SELECT count(*) FROM sqlite_master").get();
    await first.kill();

    const second = start(store);
    await second.line(/^waiting for the processes of a store that was killed to end/);
    expect(second.lines).toHaveLength(1);
    held.close();
    await second.line(/^ready in \d/);
    second.signal("SIGTERM");
    expect(await second.exited).toBe(0);
  },
  START_TIMEOUT_MS,
);

const npm = Bun.which("npm");

test.skipIf(npm === null || !runsSlowTests)(
  "Ctrl-C in a terminal, which npm forwards too, is one Ctrl-C: everything stops in order",
  async () => {
    const store = settings();
    let output = "";
    const decoder = new TextDecoder();
    const data = (_: unknown, chunk: Uint8Array) => {
      output += decoder.decode(chunk, { stream: true });
    };
    const child = Bun.spawn([npm ?? "", "start"], {
      cwd: ROOT,
      env: { ...process.env, ...store.env },
      terminal: { cols: 160, rows: 50, data },
    });
    cleanups.push(() => {
      child.kill("SIGKILL");
      return child.exited;
    });
    await eventually(() => /^ready in \d/m.test(output) || child.exitCode !== null, "the store to be ready");
    child.terminal?.write("\x03");
    await child.exited;
    await eventually(() => freed(store), "the ports to be free");
    await eventually(() => /broker .*stopped/.test(Bun.stripANSI(output)), "the broker's last line");
  },
  START_TIMEOUT_MS,
);

test("all invalid settings of all processes are named at once, and nothing is started", async () => {
  const wrong = { OUTBOX_LIMIT: "many", BACKORDER_TTL: "long", MAX_WAITING_ORDERS: "0", ORDER_PORT: "x" };
  const store = settings({ ...wrong, KAFKA_BROKERS: "nowhere" });
  const { exitCode, stdout, stderr } = await store.run("start.ts");
  expect([exitCode, stdout]).toEqual([1, ""]);
  const named = stderr
    .trim()
    .split("\n")
    .map((line) => /^start: (\w+): expected /.exec(line)?.[1]);
  expect(named.sort()).toEqual([...Object.keys(wrong), "KAFKA_BROKERS"].sort());
  expect(existsSync(store.env.DATA_DIR ?? "")).toBe(false);
});

test.each([
  [
    { HOST: "0.0.0.0" },
    "HOST is 0.0.0.0, not a loopback address",
    ["demo-sign-in", "automation-testing", "supervisor"],
  ],
  [
    { NODE_ENV: "production" },
    "NODE_ENV is production",
    ["demo-sign-in", "automation-testing", "supervisor"],
  ],
  [
    { HOST: "0.0.0.0", DEMO_SIGN_IN: "false", ALLOW_INSECURE: "automation-testing" },
    "HOST is 0.0.0.0, not a loopback address",
    ["supervisor"],
  ],
])("where others could reach the store, it says what to do: %p", async (env, where, features) => {
  const store = settings(env);
  const { exitCode, stdout, stderr } = await store.run("start.ts");
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toStartWith(`start: ${where}, and whoever reaches this store could `);
  expect(stderr).toEndWith(` set ALLOW_INSECURE=${features.join()}\n`);
  expect(existsSync(store.env.DATA_DIR ?? "")).toBe(false);
});

test("invalid ports, and a port of two processes, are one line each", async () => {
  const store = settings({ API_GATEWAY_PORT: "http", ORDER_PORT: "27000", NOTIFICATION_PORT: "27000" });
  expect(await store.run("start.ts")).toEqual({
    exitCode: 1,
    stdout: "",
    stderr:
      "start: API_GATEWAY_PORT: expected an integer from 0 to 65535, got 'http'\n" +
      "start: port 27000 is the value of ORDER_PORT and NOTIFICATION_PORT\n",
  });
});

test.each([
  [["--frehs"], 2, "Unknown option '--frehs'"],
  [["--broker", "kafka"], 2, "--broker: expected embedded or redpanda, got 'kafka'"],
  [["--replicas", "0"], 2, "--replicas: expected a number from 1 to 5, got '0'"],
  [["--replicas", "two"], 2, "--replicas: expected a number from 1 to 5, got 'two'"],
])("%p is refused", async (args, code, message) => {
  const store = settings();
  const { exitCode, stderr } = await store.run("start.ts", args);
  expect([exitCode, stderr]).toEqual([code, expect.stringContaining(`start: ${message}`)]);
  expect(existsSync(store.env.DATA_DIR ?? "")).toBe(false);
});

slowTest(
  "--replicas runs several instances on the data of one, later starts do the same, and --fresh goes back to one",
  async () => {
    const store = settings();
    const untilReady = async (args: string[]) => {
      const running = start(store, args);
      await running.line(/^ready in \d/);
      const instances = async () => {
        const url = `http://127.0.0.1:${store.env.SUPERVISOR_PORT}/processes`;
        const processes: { name: string }[] = await (await fetch(url)).json();
        return processes.map(({ name }) => name).filter((name) => name.endsWith("-2"));
      };
      const stop = async () => {
        running.signal("SIGINT");
        expect(await running.exited).toBe(0);
      };
      return { instances, stop };
    };
    const single = await untilReady([]);
    await store.run("post-order.ts", ["ORDER_001"]);
    expect(await single.instances()).toEqual([]);
    await single.stop();

    const several = await untilReady(["--replicas", "2"]);
    const all = ["api-gateway-2", "inventory-2", "order-2", "notification-2"];
    expect(await several.instances()).toEqual(all);
    expect(await available(store, "PRODUCT_001")).toBe(7);
    expect((await store.run("post-order.ts", ["ORDER_002"])).stdout).toEndWith("confirmed, 20.00 EUR\n");
    const url = `http://127.0.0.1:${store.env.SUPERVISOR_PORT}/processes`;
    expect((await fetch(`${url}/order/destroy`, { method: "POST" })).status).toBeLessThan(300);
    expect((await fetch(`${url}/notification/destroy`, { method: "POST" })).status).toBeLessThan(300);
    expect((await fetch(`${url}/broker/destroy`, { method: "POST" })).status).toBe(409);
    const third = await store.run("post-order.ts", ["ORDER_003", "--item", "PRODUCT_002=1"]);
    expect(third.stdout).toEndWith("ORDER_003 confirmed, 5.00 EUR\n");
    await several.stop();

    const again = await untilReady([]);
    expect(await again.instances()).toEqual(all);
    expect(await available(store, "PRODUCT_001")).toBe(5);
    await again.stop();

    const fresh = await untilReady(["--fresh"]);
    expect(await fresh.instances()).toEqual([]);
    expect(await available(store, "PRODUCT_001")).toBe(10);
    await fresh.stop();
  },
  4 * START_TIMEOUT_MS,
);

slowTest("commands that need Docker say so when it is not installed", async () => {
  const store = settings({ PATH: "/nowhere" });
  const missing = "needs Docker, and there is no docker command on PATH\n";
  expect((await store.run("start.ts", ["--broker", "redpanda"])).stderr).toBe(
    `start: --broker redpanda ${missing}`,
  );
  expect((await store.run("compose-all.ts")).stderr).toBe(`compose-all: ${missing}`);
});

slowTest(
  "with a setting KAFKA_BROKERS where no broker answers, it says so and serves the page meanwhile",
  async () => {
    const [port = 0] = freePorts(1);
    const store = settings({ KAFKA_BROKERS: `127.0.0.1:${port}` });
    const running = start(store);
    const line = await running.line(/^not ready yet: waiting for the broker at /);
    const page = `http://localhost:${store.env.API_GATEWAY_PORT}/`;
    expect(line).toEndWith(`127.0.0.1:${port} (KAFKA_BROKERS); orders are kept. The page: ${page}`);
    await eventually(async () => (await fetch(page).catch(() => undefined))?.status === 200, "the page");
    expect(running.lines.filter((other) => /^\s+at /.test(other) || other.includes("stack"))).toEqual([]);
    running.signal("SIGINT");
    expect(await running.exited).toBe(0);
    const stopping = running.lines.findIndex((other) => other.startsWith("stopping … (Ctrl-C again"));
    expect(stopping).toBeGreaterThan(0);
    expect(alarms(running.lines.slice(stopping))).toEqual([]);
  },
  START_TIMEOUT_MS,
);

test("--broker redpanda starts Redpanda and its Console, and fails when they do not start", async () => {
  const folder = mkdtempSync(join(tmpdir(), "docker-"));
  const called = join(folder, "called");
  const docker = `#!/bin/sh\necho "$*" >> ${called}\ncase "$*" in *" up "*) exit 1;; esac\n`;
  writeFileSync(join(folder, "docker"), docker, { mode: 0o755 });
  const store = settings({ PATH: `${folder}:${process.env.PATH}` });
  const { exitCode, stderr } = await store.run("start.ts", ["--broker", "redpanda"]);
  expect([exitCode, stderr]).toEqual([
    1,
    "start: --broker redpanda: the containers did not start, see above\n",
  ]);
  expect(readFileSync(called, "utf8")).toContain("compose.yaml up --detach --wait redpanda console\n");
  rmSync(folder, { recursive: true });
});

test("KAFKA_BROKERS and --broker redpanda exclude each other", async () => {
  const store = settings({ KAFKA_BROKERS: "127.0.0.1:1" });
  const { stderr } = await store.run("start.ts", ["--broker", "redpanda"]);
  expect(stderr).toStartWith("start: --broker redpanda and KAFKA_BROKERS exclude each other (for help");
});
