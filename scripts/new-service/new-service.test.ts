import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { orderIdOf } from "@distributed-messaging/contracts";
import { copyRepository } from "@distributed-messaging/e2e/support/repository-copy";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { Environment } from "@distributed-messaging/service/config";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import type { ProcessReport } from "@distributed-messaging/supervisor/reports";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { UsageError } from "../command/command.ts";
import { StoreProcess, StoreSettings } from "../testing/store-process.ts";
import { planService, writeService } from "./create.ts";

const LIMIT_MS = 180_000;
/** Every test of the repository, on a busy machine. */
const SUITE_LIMIT_MS = 60 * 60_000;

/** The shell blocks of the page, a command a line. */
const [write = [], check = [], start = []] = [
  ...readFileSync(join(ROOT, "docs/a-fifth-service.md"), "utf8").matchAll(/^```sh\n([^`]*)```$/gm),
].map(([, block = ""]) => block.trim().split("\n"));

describe("planService", () => {
  test.each([
    ["Shipping", "expected lower-case letters"],
    ["../shipping", "expected lower-case letters"],
    ["shipping-", "expected lower-case letters"],
    ["x".repeat(31), "expected lower-case letters"],
    ["order", "the name order is taken"],
    ["supervisor", "the name supervisor is taken"],
    ["broker", "the name broker is taken"],
    ["order-2", "the name order-2 is taken"],
    ["messaging", "the name messaging is taken"],
    ["embedded-broker", "the name embedded-broker is taken"],
  ])("refuses the name %p", (name, reason) => {
    expect(() => planService({ name, port: 8950 }, ROOT)).toThrow(UsageError);
    expect(() => planService({ name, port: 8950 }, ROOT)).toThrow(reason);
  });

  test("uses the name in every spelling, and no other", () => {
    const plan = planService({ name: "gift-wrapping", port: 8950 }, ROOT);
    const own = [...plan].filter(([path]) => path.startsWith("services/gift-wrapping/"));
    expect(own.map(([path]) => path)).toContain("services/gift-wrapping/migrations/0001-gift-wrapping.sql");
    const text = own.map(([, content]) => content).join("");
    for (const spelling of ["GiftWrappingStore", "giftWrappingHandlers", "GIFT_WRAPPING_PORT: Port(8950"]) {
      expect(text).toContain(spelling);
    }
    expect(text).not.toMatch(/template|8999/i);
    expect(plan.get("docs/commands.md")).toMatch(
      /`start-service-[\w-]+`, `start-service-gift-wrapping` +\| one part by itself/,
    );
    expect(plan.get("docs/metrics.md")).toMatch(/^\| `tasks_open` \| gauge \| +\| gift-wrapping \|/m);
  });
});

test("writeService overwrites no file of a service", () => {
  const root = mkdtempSync(join(tmpdir(), "new-service-"));
  try {
    const plan = new Map([["services/shipping/main.ts", "// mine"]]);
    writeService("shipping", root, plan);
    expect(() =>
      writeService("shipping", root, new Map([...plan.keys()].map((path) => [path, ""]))),
    ).toThrow();
    expect(readFileSync(join(root, "services/shipping/main.ts"), "utf8")).toBe("// mine");
  } finally {
    rmSync(root, { recursive: true });
  }
});

// Only in a part of .ci/run of its own: two runs of all tests at once would slow each other down, and the one in the copy must not
// copy again.
describe.skipIf(process.env.WHOLE_COPY !== "true")("docs/a-fifth-service.md, in a copy", () => {
  const folder = mkdtempSync(join(tmpdir(), "a-fifth-service-"));
  const root = join(folder, "repository");
  const [port = 0] = freePorts(1);
  const settings = new StoreSettings({ SHIPPING_PORT: String(port), HOME: folder });
  const env = { ...settings.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };

  const run = (command: readonly string[], environment: Environment = env) =>
    runToEnd(command, { cwd: root, env: environment });

  /** Runs a line of the page. @throws with its output when it fails */
  async function shell(line: string, environment: Environment = env): Promise<void> {
    const { stdout, stderr, exitCode } = await run(["/bin/sh", "-c", line], environment);
    if (exitCode !== 0) throw new Error(`${line}: exit code ${exitCode}\n${stdout}${stderr}`);
  }

  beforeAll(async () => {
    copyRepository(root);
    // With the downloads of this repository, nothing has to be downloaded again.
    if (existsSync(join(ROOT, ".tools"))) symlinkSync(join(ROOT, ".tools"), join(root, ".tools"));
    for (const line of write) await shell(line);
  }, LIMIT_MS);
  afterAll(() => {
    settings.remove();
    rmSync(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  test.each(check)("%s", (line) => shell(line), LIMIT_MS);

  test(
    "it is in the containers, the AsyncAPI document and the commands",
    async () => {
      await shell(
        `"${process.execPath}" test --timeout=60000 scripts/compose scripts/asyncapi scripts/settings e2e/structure e2e/deployment`,
      );
      const usage = await run([process.execPath, "scripts/dead-letters.ts", "--help"]);
      expect(usage.stdout).toContain("shipping");
      const again = await run([process.execPath, "scripts/new-service.ts", "shipping"]);
      expect(again).toEqual({
        exitCode: 2,
        stdout: "",
        stderr: "new-service: the name shipping is taken (for help: bun run new-service --help)\n",
      });
    },
    LIMIT_MS,
  );

  test(
    "it runs in the simulation",
    async () => {
      const trace = await run([
        process.execPath,
        "scripts/simulate.ts",
        "--seeds",
        "1",
        "--orders",
        "5",
        "--trace",
      ]);
      const handles = /^\S+ shipping: handles store\./m.test(trace.stdout);
      expect({ exitCode: trace.exitCode, handles }).toEqual({ exitCode: 0, handles: true });
    },
    LIMIT_MS,
  );

  test(
    "npm start runs it, and it has a task for a confirmed order",
    async () => {
      expect(start).toEqual(["npm start"]);
      const store = new StoreProcess([process.execPath, "scripts/start.ts"], root, env);
      try {
        await store.line(/^ready in \d/);
        const ask = async (url: string, init: RequestInit = {}): Promise<unknown> =>
          (await fetch(url, { ...init, keepalive: false })).json();
        const processes = (await ask(
          `http://127.0.0.1:${settings.env.SUPERVISOR_PORT}/processes`,
        )) as ProcessReport[];
        expect(processes).toContainEqual(expect.objectContaining({ name: "shipping", state: "ready" }));
        expect((await run([process.execPath, "scripts/post-order.ts", "ORDER_001"])).stdout).toContain(
          "confirmed",
        );
        const signIn = {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ customerId: "ADMIN_001", role: "admin" }),
        };
        const { token } = (await ask(`${settings.url("api-gateway")}/sessions`, signIn)) as {
          token: string;
        };
        const headers = { authorization: `Bearer ${token}` };
        // The order is confirmed before the new service has handled that.
        const tasks = await eventually(async () => {
          const found = await ask(`http://127.0.0.1:${port}/tasks`, { headers });
          return Array.isArray(found) && found.length > 0 && found;
        }, "the task");
        expect(tasks).toMatchObject([
          { orderId: orderIdOf("CUSTOMER_001", "ORDER_001"), customerId: "CUSTOMER_001", status: "open" },
        ]);
      } finally {
        store.signal("SIGTERM");
        await store.exited;
      }
    },
    LIMIT_MS,
  );

  test(
    "every test of the repository passes",
    () => shell("bun run test", { ...process.env, SLOW_TESTS: "false", WHOLE_COPY: "false" }),
    SUITE_LIMIT_MS,
  );
});
