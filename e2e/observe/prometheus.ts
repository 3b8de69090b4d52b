import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";

export const OBSERVE = join(ROOT, "deploy/observe");
/** For a slow machine; what is waited for usually takes seconds. */
const WAIT_MS = 240_000;

/**
 * The rules with shorter times, so that a test need not wait for minutes: alerts are pending for a second, and rates are
 * those of ten or twenty seconds. What is compared with what stays as it is.
 */
export function withShortTimes(rules: string): string {
  return rules
    .replaceAll(/^( +for:) \w+$/gm, "$1 1s")
    .replaceAll("[5m]", "[10s]")
    .replaceAll("[10m]", "[20s]");
}

export const alertRules = () => readFileSync(join(OBSERVE, "alerts.yaml"), "utf8");

/** The names of the alerts, in the order of the file. */
export function alertNames(): string[] {
  return [...alertRules().matchAll(/^ +- alert: (\w+)$/gm)].map(([, name = ""]) => name);
}

interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly state: string;
}

/** A real Prometheus with the rules of deploy/observe, and a real Alertmanager with its configuration. */
export class Monitoring {
  #folder = "";
  readonly #ports = freePorts(2);
  readonly #processes: Bun.Subprocess[] = [];
  readonly #cleared = new Set<string>();

  /** @param targets `host:port` of everything that is scraped as a service of the store */
  start(prometheus: string, alertmanager: string, targets: readonly string[]): void {
    this.#folder = mkdtempSync(join(tmpdir(), "monitoring-"));
    const [port = 0, alertPort = 0] = this.#ports;
    const write = (name: string, text: string) => {
      writeFileSync(join(this.#folder, name), text);
      return join(this.#folder, name);
    };
    write("alerts.yaml", withShortTimes(alertRules()));
    const config = write(
      "prometheus.yaml",
      // JSON is YAML.
      JSON.stringify({
        global: { scrape_interval: "2s", scrape_timeout: "2s", evaluation_interval: "1s" },
        rule_files: ["alerts.yaml"],
        alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertPort}`] }] }] },
        scrape_configs: [{ job_name: "store", static_configs: [{ targets }] }],
      }),
    );
    this.#run([
      ...[alertmanager, `--config.file=${join(OBSERVE, "alertmanager.yaml")}`, "--cluster.listen-address="],
      ...[`--storage.path=${join(this.#folder, "alerts")}`, `--web.listen-address=127.0.0.1:${alertPort}`],
    ]);
    this.#run([
      ...[prometheus, `--config.file=${config}`, `--storage.tsdb.path=${join(this.#folder, "data")}`],
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
  }

  async stop(): Promise<void> {
    for (const child of this.#processes) child.kill();
    await Promise.all(this.#processes.map(({ exited }) => exited));
    if (this.#folder !== "") rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Those that were seen to fire and then to be over. */
  get cleared(): ReadonlySet<string> {
    return this.#cleared;
  }

  /** Waits until the alert fires. @param app the service; for ServiceDown, which has none, its address */
  async fires(alert: string, app?: string): Promise<void> {
    await eventually(() => this.#isFiring(alert, app), `${alert} of ${app} to fire`, WAIT_MS);
  }

  /** Waits until an alert that has fired does not any more. */
  async clears(alert: string, app?: string): Promise<void> {
    const isOver = async () => !(await this.#isFiring(alert, app));
    await eventually(isOver, `${alert} of ${app} to be over`, WAIT_MS);
    this.#cleared.add(alert);
  }

  /** Waits until the Alertmanager has an alert. */
  async isReceived(alert: string): Promise<void> {
    const url = `http://127.0.0.1:${this.#ports[1]}/api/v2/alerts`;
    await eventually(
      async () =>
        ((await (await fetch(url)).json()) as Alert[]).some((one) => one.labels.alertname === alert),
      `the Alertmanager to have ${alert}`,
      WAIT_MS,
    );
  }

  async #isFiring(alert: string, app: string | undefined): Promise<boolean> {
    const answer = await fetch(`http://127.0.0.1:${this.#ports[0]}/api/v1/alerts`);
    const { data } = (await answer.json()) as { data: { alerts: readonly Alert[] } };
    return data.alerts.some(
      ({ labels, state }) =>
        labels.alertname === alert &&
        state === "firing" &&
        (app === undefined || labels.app === app || labels.instance === app),
    );
  }

  #run(command: string[]): void {
    this.#processes.push(Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }));
  }
}
