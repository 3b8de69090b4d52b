import { expect } from "bun:test";
import { join } from "node:path";
import { runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { ROOT } from "@distributed-messaging/supervisor/store";

function run(...args: string[]) {
  const command = [process.execPath, join(ROOT, "scripts/sbom.ts"), ...args];
  return runToEnd(command, { cwd: ROOT, env: { PATH: process.env.PATH } });
}

slowTest(
  "bun run sbom prints the bill of materials, or the licences; it refuses what it does not know",
  async () => {
    const bill = await run();
    expect(JSON.parse(bill.stdout)).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" });
    expect((await run("--licences")).stdout).toMatch(/^elysia +\S+ +required +MIT$/m);
    expect(await run("--help")).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("usage: bun run sbom"),
    });
    expect(await run("--licenses")).toMatchObject({
      exitCode: 2,
      stderr: "sbom: Unknown option '--licenses' (for help: bun run sbom --help)\n",
    });
    expect((await run("x")).exitCode).toBe(2);
  },
);
