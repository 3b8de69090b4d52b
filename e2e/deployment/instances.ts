import { type ServiceName, serviceNames } from "@distributed-messaging/services/registry";
import { StoreSupervisor } from "@distributed-messaging/supervisor/store";

interface DeployedInstance {
  readonly service: ServiceName;
  /** From 0. */
  readonly index: number;
  /** The settings that make it one of several, with the values that they have on one machine. */
  readonly settings: ReadonlyMap<string, string>;
}

/**
 * Every instance of each service that may have several, as `npm start -- --replicas` runs them: what containers and manifests
 * have to give theirs, each in its own way.
 */
export function instancesOf(replicas: number): DeployedInstance[] {
  const given = { dataDir: "/data", brokers: "127.0.0.1:1", env: { DEMO_SIGN_IN: "true" } };
  const several = new StoreSupervisor({ ...given, replicas });
  const one = new StoreSupervisor({ ...given, ports: several.ports });
  return serviceNames.flatMap((service) => {
    const alone = one.process(service).spec.env;
    const all = several.instances.filter((instance) => instance.service === service);
    if (all.length < 2) return [];
    return all.map(({ name }, index) => {
      const { env } = several.process(name).spec;
      const isOwn = ([setting, value]: [string, string]) =>
        alone[setting] !== value && !setting.endsWith("_PORT");
      return { service, index, settings: new Map(Object.entries(env).filter(isOwn)) };
    });
  });
}
