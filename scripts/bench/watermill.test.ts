import { expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ClientMissing } from "@distributed-messaging/e2e/clients/toolchains";
import { eventually } from "@distributed-messaging/messaging/testing";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { measureHighestRate } from "./scenarios.ts";
import { provideWatermill, WatermillSystem, type WatermillTools } from "./watermill.ts";

const tools = process.env.SLOW_TESTS === "true" ? await toolsOfThisMachine() : undefined;

/** @throws when the services do not compile */
async function toolsOfThisMachine(): Promise<WatermillTools | undefined> {
  try {
    return await provideWatermill();
  } catch (error) {
    const isMissing = error instanceof ClientMissing && !/\.go:\d+/.test(error.message);
    if (!isMissing) throw error;
    process.stderr.write(`skipped the tests with Watermill: ${error.message}\n`);
    return undefined;
  }
}

test.skipIf(tools === undefined)(
  "every order is confirmed with Watermill and PostgreSQL, and nothing is left of either",
  async () => {
    if (tools === undefined) return;
    const lengths = { orders: 60, atOnce: 10, rates: [], seconds: 1, outage: 1, arriving: 1 };
    let folders: readonly string[] = [];
    let pids: readonly number[] = [];
    {
      await using system = await WatermillSystem.start(tools);
      ({ folders, pids } = system);
      const figures = await measureHighestRate({ system, lengths, onLimit: () => {} });
      expect(figures.find(({ name }) => name === "orders")?.value).toBeGreaterThan(0);
      expect(figures.map(({ name }) => name)).toContain("CPU of an order, postgresql");
    }
    expect(folders.filter((folder) => existsSync(folder))).toEqual([]);
    expect(pids).toHaveLength(5);
    await eventually(() => !pids.some((pid) => existsSync(`/proc/${pid}`)), "the processes are gone");
  },
  120_000,
);

test.skipIf(tools === undefined)(
  "a benchmark that is killed leaves no process",
  async () => {
    const program = `
      import { provideWatermill, WatermillSystem, type WatermillTools } from "./scripts/bench/watermill.ts";
      const { folders, pids } = await WatermillSystem.start(await provideWatermill());
      console.log(JSON.stringify({ folders, pids }));`;
    const child = Bun.spawn([process.execPath, "-e", program], {
      cwd: ROOT,
      stdin: "ignore",
      stdout: "pipe",
    });
    let started: { readonly folders: string[]; readonly pids: number[] } | undefined;
    for await (const chunk of child.stdout) {
      started = JSON.parse(Buffer.from(chunk).toString());
      child.kill("SIGKILL");
    }
    expect(started?.pids).toHaveLength(5);
    await eventually(
      () => !started?.pids.some((pid) => existsSync(`/proc/${pid}`)),
      "the processes are gone",
    );
    for (const folder of started?.folders ?? []) rmSync(folder, { recursive: true });
  },
  120_000,
);

test("where something is missing, one line says what, and nothing is measured", async () => {
  const child = Bun.spawn([process.execPath, "scripts/bench.ts", "watermill"], {
    cwd: ROOT,
    env: { PATH: join(ROOT, "docs") },
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(stderr).toBe("");
  expect(stdout).toContain("\nleft out the store beside Watermill: setpriv (util-linux) is not installed\n");
  expect(stdout).not.toContain("round 1");
  expect(await child.exited).toBe(0);
});
