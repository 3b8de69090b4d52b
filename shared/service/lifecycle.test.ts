import { describe, expect, test } from "bun:test";
import { Lifecycle } from "./process.ts";
import { captureLogger } from "./testing/http.ts";

describe("Lifecycle", () => {
  test("stops its parts in reverse order, one after the other, each with the remaining time", async () => {
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

  test("stops each part once, however often it is called", async () => {
    const lifecycle = new Lifecycle(captureLogger().log);
    let stops = 0;
    lifecycle.add("part", { stop: () => void stops++ });
    await Promise.all([lifecycle.stopAll(1000), lifecycle.stopAll(1000)]);
    await lifecycle.stopAll(1000);
    expect(stops).toBe(1);
  });

  test("stops the other parts when one throws, rejects or hangs, and returns the names of those", async () => {
    const { log, lines } = captureLogger();
    const lifecycle = new Lifecycle(log);
    const remaining: number[] = [];
    lifecycle.add("database", { stop: (remainingMs) => void remaining.push(remainingMs) });
    lifecycle.add("throws", {
      stop() {
        throw new Error("no");
      },
    });
    lifecycle.add("rejects", { stop: () => Promise.reject(new Error("no")) });
    lifecycle.add("hangs", { stop: () => new Promise(() => {}) });
    expect(await lifecycle.stopAll(10)).toEqual(["hangs", "rejects", "throws"]);
    expect(remaining).toEqual([0]);
    expect(lines.join("")).toContain("rejects failed to stop: no");
  });

  test("stops a part that is added during the stop", async () => {
    const lifecycle = new Lifecycle(captureLogger().log);
    const late: string[] = [];
    lifecycle.add("first", {
      stop: () => void lifecycle.add("late", { stop: () => void late.push("stopped") }),
    });
    await lifecycle.stopAll(1000);
    expect(late).toEqual(["stopped"]);
  });
});
