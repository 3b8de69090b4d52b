import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ServiceName } from "@distributed-messaging/services/registry";
import type { ProcessSpec } from "./process-spec.ts";

/** The port of the embedded broker that `npm start` runs; KAFKA_BROKERS names a broker that runs elsewhere. */
export const broker = { setting: "BROKER_PORT", port: 9092 } as const;

/** Where `npm start` lets the page stop and start processes. Always on the loopback address. */
export const supervisor = { setting: "SUPERVISOR_PORT", port: 8909 } as const;

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A process of the store, and everything by itself that a port is needed for. */
export type Ports = Readonly<Record<ServiceName | "broker", number>>;

/** How to run the embedded broker. `shared` is the environment that all processes of the store have in common. */
export function brokerProcess(shared: Readonly<Record<string, string>>, port: number): ProcessSpec {
  return {
    name: "broker",
    entry: join(ROOT, "redpanda/embedded/main.ts"),
    env: { ...shared, ...brokerLogLevel(shared.LOG_LEVEL) },
    // Its line that says so depends on LOG_LEVEL.
    ready: { kind: "port", host: "127.0.0.1", port },
  };
}

/** The broker has fewer levels than the services: the nearest one. */
function brokerLogLevel(level: string | undefined): Record<string, string> {
  if (level === "trace") return { LOG_LEVEL: "debug" };
  return level === "fatal" ? { LOG_LEVEL: "error" } : {};
}

/** How to run a service. */
export function serviceProcess(
  name: ServiceName,
  shared: Readonly<Record<string, string>>,
  url: string,
): ProcessSpec {
  return {
    name,
    entry: join(ROOT, "services", name, "main.ts"),
    env: shared,
    ready: { kind: "http", url: `${url}/readiness` },
  };
}

/** `localhost` spelled as an address that can be put into a URL, for hosts that mean "every interface" too. */
export function urlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
