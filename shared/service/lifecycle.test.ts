import { describe, expect, test } from "bun:test";
import { Lifecycle } from "./lifecycle.ts";
import { captureLogger } from "./testing.ts";

describe("Lifecycle", () => {
  test("stops its parts in reverse, one after the other, each told what is left", async () => {
    const lifecycle = new Lifecycle(captureLogger().log);
    const order: string[] = [];
    for (const name of ["database", "broker", "http"]) {
      lifecycle.add(name, {
        async stop(remainingMs) {
          expect(remainingMs).toBeGreaterThan(0);
          expect(remainingMs).toBeLessThanOrEqual(5000);
          order.push(`${name} begins`);
          await Bun.sleep(1);
          order.push(`${name} ends`);
        },
      });
    }
    expect(lifecycle.stopping).toBe(false);
    expect(await lifecycle.stopAll(5000)).toEqual([]);
    expect(lifecycle.stopping).toBe(true);
    expect(order).toEqual([
      "http begins",
      "http ends",
      "broker begins",
      "broker ends",
      "database begins",
      "database ends",
    ]);
  });

  test("stops each part once, however often it is asked", async () => {
    const lifecycle = new Lifecycle(captureLogger().log);
    let stops = 0;
    lifecycle.add("part", { stop: () => void stops++ });
    await Promise.all([lifecycle.stopAll(1000), lifecycle.stopAll(1000)]);
    await lifecycle.stopAll(1000);
    expect(stops).toBe(1);
  });

  test("goes on past a part that throws, rejects or hangs, and names them", async () => {
    const { log, lines } = captureLogger();
    const lifecycle = new Lifecycle(log);
    const told: number[] = [];
    lifecycle.add("database", { stop: (remainingMs) => void told.push(remainingMs) });
    lifecycle.add("throws", {
      stop() {
        throw new Error("no");
      },
    });
    lifecycle.add("rejects", { stop: () => Promise.reject(new Error("no")) });
    lifecycle.add("hangs", { stop: () => new Promise(() => {}) });
    expect(await lifecycle.stopAll(10)).toEqual(["hangs", "rejects", "throws"]);
    expect(told).toEqual([0]);
    expect(lines.join("")).toContain("rejects failed to stop: no");
  });

  test("gives a part back, and stops also one that is added while it stops", async () => {
    const lifecycle = new Lifecycle(captureLogger().log);
    const part = { name: "x", stop: () => {} };
    expect(lifecycle.add("part", part)).toBe(part);
    const late: string[] = [];
    lifecycle.add("first", {
      stop: () => void lifecycle.add("late", { stop: () => void late.push("stopped") }),
    });
    await lifecycle.stopAll(1000);
    expect(late).toEqual(["stopped"]);
  });
});
