import { expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

async function run(...args: string[]) {
  const child = Bun.spawn([process.execPath, join(ROOT, "scripts/sbom.ts"), ...args], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, out, error };
}

test("bun run sbom prints the bill of materials, or the licences; it refuses what it does not know", async () => {
  const bill = await run();
  expect(JSON.parse(bill.out)).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" });
  expect((await run("--licences")).out).toMatch(/^elysia +\S+ +required +MIT$/m);
  expect(await run("--help")).toMatchObject({
    exitCode: 0,
    out: expect.stringContaining("usage: bun run sbom"),
  });
  expect(await run("--licenses")).toMatchObject({
    exitCode: 1,
    error: "sbom: Unknown option '--licenses'\n",
  });
  expect((await run("x")).exitCode).toBe(1);
});
