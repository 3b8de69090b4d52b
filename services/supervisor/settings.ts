import {
  ConfigError,
  commonSettings,
  type Environment,
  type Exposure,
  loadConfig,
  Port,
} from "@distributed-messaging/service/config";
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
  ...commonSettings,
  ...servicePorts,
  SUPERVISOR_PORT: Port(8909),
});

/**
 * Reads the settings that `npm start` and the commands for a running store have in common.
 *
 * @throws ConfigError
 */
export function readSettings(env: Environment): Settings {
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

/**
 * Also checks the settings that only one service has, so that all that are wrong are named at once.
 *
 * @throws ConfigError
 */
export async function readStoreSettings(env: Environment): Promise<Settings> {
  const problems = new Set<string>();
  const collect = <Result>(read: () => Result): Result | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.add(problem);
      return undefined;
    }
  };
  const settings = collect(() => readSettings(env));
  // The supervisor gives the services what it chose in place of a free port, which is 0.
  const chosen = {
    ...(env.BROKER_PORT?.trim() === "0" ? { BROKER_PORT: undefined } : {}),
    ...(env.SUPERVISOR_PORT?.trim() === "0" ? { SUPERVISOR_PORT: undefined } : {}),
  };
  for (const name of serviceNames) {
    const { service } = await services[name].load();
    collect(() => loadConfig(service.config, { ...env, ...chosen }, name));
  }
  if (settings === undefined || problems.size > 0) throw new ConfigError([...problems]);
  return settings;
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
