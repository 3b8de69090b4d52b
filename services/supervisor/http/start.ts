import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import type { Listening } from "@distributed-messaging/service/http/app";
import { Type } from "@sinclair/typebox";
import type { Supervisor } from "../supervisor.ts";
import { serveSupervisor } from "./http.ts";

/**
 * Lets the page look behind the counter of a store that runs.
 *
 * @param port on the loopback address
 * @throws StartError when the port is taken
 */
export function openCounter(supervisor: Supervisor, port: number): Promise<Listening> {
  const env = { ...process.env, KAFKA_BROKERS: supervisor.brokers };
  const config = loadConfig(Type.Object(commonSettings), env, "supervisor");
  return serveSupervisor({
    processes: supervisor,
    urlOf: (name) => supervisor.url(name),
    kafka: kafkaSettings("supervisor", config),
    port,
    pagePort: supervisor.ports["api-gateway"],
  });
}
