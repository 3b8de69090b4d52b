import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import {
  activeActiveServices,
  replicableServices,
  type ServiceName,
  serviceNames,
  services,
} from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** The configuration of the proxy of compose.yaml's profile cluster. */
export const proxyConfig = readFileSync(join(ROOT, "deploy/proxy/haproxy.cfg"), "utf8");

/** The services that it is in front of. */
export const proxied: readonly ServiceName[] = serviceNames.filter(
  (name) => activeActiveServices.includes(name) || replicableServices.includes(name),
);

/** HAProxy with that configuration, at free ports, in front of instances elsewhere than in containers. */
export class ReverseProxy {
  readonly #folder = mkdtempSync(join(tmpdir(), "proxy-"));
  readonly #ports = new Map<ServiceName | "health", number>();
  readonly #log = join(this.#folder, "log");
  readonly #process: Bun.Subprocess;

  /**
   * Starts it. A gateway or another instance need not be there yet.
   *
   * @param instances the two addresses of each service, `host:port`
   */
  constructor(program: string, instances: (name: ServiceName) => readonly string[]) {
    const [health = 0, ...ports] = freePorts(proxied.length + 1);
    this.#ports.set("health", health);
    let text = replaced(proxyConfig, "127.0.0.1:8404", `127.0.0.1:${health}`);
    for (const [index, name] of proxied.entries()) {
      const { port } = services[name];
      const own = ports[index] ?? 0;
      this.#ports.set(name, own);
      text = replaced(text, `bind :${port}\n`, `bind 127.0.0.1:${own}\n`);
      const [one = "", other = ""] = instances(name);
      text = replaced(text, `server 1 ${name}:${port}\n`, `server 1 ${one}\n`);
      text = replaced(text, `server 2 ${name}-2:${port}\n`, `server 2 ${other}\n`);
    }
    const file = join(this.#folder, "haproxy.cfg");
    writeFileSync(file, text);
    this.#process = Bun.spawn([program, "-db", "-f", file], {
      stdin: "ignore",
      stdout: Bun.file(this.#log),
      stderr: "ignore",
    });
  }

  url(name: ServiceName | "health"): string {
    return `http://127.0.0.1:${this.#ports.get(name)}`;
  }

  /** Resolves when each service has an instance that is ready. */
  async ready(): Promise<void> {
    await eventually(
      async () => (await fetch(this.url("health"), { keepalive: false })).ok,
      "the proxy to find the instances",
    );
  }

  /** Resolves when both instances of a service are ready, as far as the proxy knows. */
  async hasBoth(name: ServiceName): Promise<void> {
    await eventually(() => {
      const changes = readFileSync(this.#log, "utf8").matchAll(/Server (\S+)\/(\d) is (UP|DOWN)/g);
      const last = new Map([...changes].map(([, service, number, state]) => [`${service} ${number}`, state]));
      return [1, 2].every((number) => last.get(`${name} ${number}`) !== "DOWN");
    }, `the proxy to find both instances of ${name}`);
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** @throws unless the text is there once */
function replaced(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2)
    throw new Error(`deploy/proxy/haproxy.cfg: expected one '${from.trim()}'`);
  return text.replace(from, to);
}
