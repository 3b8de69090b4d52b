import { forEachService, serviceNames, services } from "@distributed-messaging/services/registry";
import { broker, type Ports, supervisor } from "@distributed-messaging/supervisor/store";

/** Something the user asked for cannot be done. The message has one line for each reason. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What `npm start` itself reads; the processes read the rest, and check it. */
export interface StartSettings {
  readonly host: string;
  readonly dataDir: string;
  /** 0 stands for a free port. */
  readonly ports: Ports;
  /** 0 stands for a free port. */
  readonly supervisorPort: number;
  /** KAFKA_BROKERS, if it is set: the store then uses that broker and runs none. */
  readonly brokers: string | undefined;
}

/** @throws UsageError naming every port that is none, or that is given twice */
export function readSettings(env: Environment): StartSettings {
  const problems: string[] = [];
  const brokers = env.KAFKA_BROKERS?.trim() || undefined;
  const port = (setting: string, fallback: number): number => {
    const raw = env[setting]?.trim() || String(fallback);
    const value = /^\d{1,5}$/.test(raw) ? Number(raw) : Number.NaN;
    if (value <= 65_535) return value;
    problems.push(`${setting}: expected an integer from 0 to 65535, got '${raw}'`);
    return 0;
  };
  const ports: Ports = {
    broker: brokers === undefined ? port(broker.setting, broker.port) : 0,
    ...forEachService((name) => port(services[name].setting, services[name].port)),
  };
  const supervisorPort = port(supervisor.setting, supervisor.port);
  problems.push(...givenTwice({ ...ports, supervisor: supervisorPort }));
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  return {
    host: env.HOST?.trim() || "127.0.0.1",
    dataDir: env.DATA_DIR?.trim() || ".data",
    ports,
    supervisorPort,
    brokers,
  };
}

type Listener = keyof Ports | "supervisor";

/** The setting that names the port of a process. */
export function settingOf(name: Listener): string {
  if (name === "supervisor") return supervisor.setting;
  return name === "broker" ? broker.setting : services[name].setting;
}

function givenTwice(ports: Readonly<Record<Listener, number>>): string[] {
  const names = (["broker", ...serviceNames, "supervisor"] as const).filter((name) => ports[name] !== 0);
  return [...Map.groupBy(names, (name) => ports[name])]
    .filter(([, sharing]) => sharing.length > 1)
    .map(([port, sharing]) => `port ${port} is given to ${sharing.map(settingOf).join(" and ")}`);
}
