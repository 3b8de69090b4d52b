import { commonSettings, type Exposure, loadConfig, Port } from "@distributed-messaging/service/config";
import { operatorKeyPath } from "@distributed-messaging/service/operator";
import { forEachService, serviceNames, services } from "@distributed-messaging/services/registry";
import { type TInteger, Type } from "@sinclair/typebox";
import type { Ports, ProcessName } from "./store.ts";

/** Where a store on this machine listens, and where its data is. */
export interface Settings {
  readonly host: string;
  readonly dataDir: string;
  /** The file of the operators' key. */
  readonly operatorKeyFile: string;
  /** 0 stands for a free port. */
  readonly ports: Ports;
  /** 0 stands for a free port. */
  readonly supervisorPort: number;
  /** KAFKA_BROKERS when it is set: the store then uses that broker instead of its own. */
  readonly brokers: string | undefined;
  readonly exposure: Exposure;
}

const servicePorts: Readonly<Record<string, TInteger>> = Object.fromEntries(
  serviceNames.map((name) => [services[name].setting, Port(services[name].port)]),
);

const Schema = Type.Object({
  HOST: commonSettings.HOST,
  NODE_ENV: commonSettings.NODE_ENV,
  ALLOW_INSECURE: commonSettings.ALLOW_INSECURE,
  DATA_DIR: commonSettings.DATA_DIR,
  OPERATOR_KEY_FILE: commonSettings.OPERATOR_KEY_FILE,
  BROKER_PORT: Port(9092),
  ...servicePorts,
  SUPERVISOR_PORT: Port(8909),
});

/**
 * Reads the settings that `npm start` and the commands for a running store have in common. Each process reads and
 * checks its other settings itself.
 *
 * @throws ConfigError
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const brokers = env.KAFKA_BROKERS?.trim() || undefined;
  const config = loadConfig(Schema, env, "start", [
    (ports) => sharedPorts(ports, brokers === undefined ? [] : ["BROKER_PORT"]),
  ]);
  const values: Readonly<Record<string, unknown>> = config;
  return {
    host: config.HOST,
    dataDir: config.DATA_DIR,
    operatorKeyFile: operatorKeyPath(config),
    ports: {
      broker: config.BROKER_PORT,
      ...forEachService((name) => Number(values[services[name].setting])),
    },
    supervisorPort: config.SUPERVISOR_PORT,
    brokers,
    exposure: config,
  };
}

/** The setting that names the port of a process. */
export function portSetting(name: ProcessName | "supervisor"): string {
  if (name === "supervisor") return "SUPERVISOR_PORT";
  return name === "broker" ? "BROKER_PORT" : services[name].setting;
}

function sharedPorts(values: Readonly<Record<string, unknown>>, unused: readonly string[]): string[] {
  const names = Object.keys(values).filter(
    (name) => name.endsWith("_PORT") && values[name] !== 0 && !unused.includes(name),
  );
  return [...Map.groupBy(names, (name) => values[name])]
    .filter(([, sharing]) => sharing.length > 1)
    .map(([port, sharing]) => `port ${port} is the value of ${sharing.join(" and ")}`);
}
