import { expect, test } from "bun:test";
import type { ProcessState } from "@distributed-messaging/supervisor/reports";
import { RoundRobin } from "./round-robin.ts";

type Store = ConstructorParameters<typeof RoundRobin>[0];

/** A store with these instances. */
function storeOf(states: Record<string, ProcessState>): Store {
  const instances = Object.keys(states).map((name) => ({ name, service: name.replace(/-\d$/, "") }));
  const supervisor = { instances, process: (name: string) => ({ state: states[name] }) };
  return { supervisor } as unknown as Store;
}

test("requests go to one instance after the other, and to none that is not ready", () => {
  const states: Record<string, ProcessState> = {
    "api-gateway": "ready",
    "api-gateway-2": "ready",
    notification: "ready",
    "api-gateway-3": "starting",
  };
  const turns = new RoundRobin(storeOf(states), "api-gateway");
  const next = (count: number) =>
    Array.from({ length: count }, () => turns.next()?.name).toSorted((one = "", other = "") =>
      one < other ? -1 : 1,
    );
  expect(next(4)).toEqual(["api-gateway", "api-gateway", "api-gateway-2", "api-gateway-2"]);
  states["api-gateway-3"] = "ready";
  states["api-gateway-2"] = "paused";
  expect(next(3)).toEqual(["api-gateway", "api-gateway-2", "api-gateway-3"]);
  for (const state of ["starting", "backing-off", "stopping", "stopped"] as const) {
    states["api-gateway-2"] = state;
    expect(next(2)).toEqual(["api-gateway", "api-gateway-3"]);
  }
  states["api-gateway"] = "stopped";
  states["api-gateway-3"] = "stopped";
  expect(turns.next()).toBeUndefined();
});
