import { expect, test } from "bun:test";
import type { ProcessState } from "@distributed-messaging/supervisor/reports";
import { Balancer } from "./balancer.ts";

type Balanced = ConstructorParameters<typeof Balancer>[0];

/** A store of which the balancer sees these instances. */
function storeOf(states: Record<string, ProcessState>): Balanced {
  const instances = Object.keys(states).map((name) => ({ name, service: name.replace(/-\d$/, "") }));
  const supervisor = { instances, process: (name: string) => ({ state: states[name] }) };
  return { supervisor } as unknown as Balanced;
}

test("requests go to one instance after the other, and to none that is not ready", () => {
  const states: Record<string, ProcessState> = {
    "api-gateway": "ready",
    "api-gateway-2": "ready",
    notification: "ready",
    "api-gateway-3": "starting",
  };
  const balancer = new Balancer(storeOf(states), "api-gateway");
  const next = (count: number) =>
    Array.from({ length: count }, () => balancer.next()?.name).toSorted((one = "", other = "") =>
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
  expect(balancer.next()).toBeUndefined();
});
