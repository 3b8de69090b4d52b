import { expect, test } from "bun:test";
import { join } from "node:path";
import { freePorts, whyUnusable } from "./ports.ts";

test("free ports are different and usable", () => {
  const ports = freePorts(5);
  expect(new Set(ports).size).toBe(5);
  expect(ports.map((port) => whyUnusable("127.0.0.1", port))).toEqual(Array(5).fill(undefined));
});

test("a port is chosen once, although nobody listens on it yet", () => {
  const ports = Array.from({ length: 15 }, () => freePorts(40)).flat();
  expect(new Set(ports).size).toBe(ports.length);
});

test("workers of one test run never choose the same port", async () => {
  const program = `
    const { freePorts } = await import(${JSON.stringify(join(import.meta.dir, "ports.ts"))});
    console.log(JSON.stringify(Array.from({ length: 15 }, () => freePorts(40)).flat()));
  `;
  const chosenBy = async (worker: string): Promise<number[]> => {
    const child = Bun.spawn([process.execPath, "-e", program], {
      env: { ...process.env, BUN_TEST_WORKER_ID: worker },
      stdout: "pipe",
    });
    return JSON.parse(await new Response(child.stdout).text());
  };
  const ports = (await Promise.all(["1", "2", "3", "4"].map(chosenBy))).flat();
  expect(ports).toHaveLength(2_400);
  expect(new Set(ports).size).toBe(ports.length);
});

test("a port in use", () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  expect(whyUnusable("127.0.0.1", listener.port)).toBe("is used by another program");
  listener.stop(true);
  expect(whyUnusable("127.0.0.1", listener.port)).toBeUndefined();
});

test("a host that is no address of this machine", () => {
  expect(whyUnusable("192.0.2.1", 20_000)).toContain("cannot be opened on 192.0.2.1");
});
