import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  activeActiveServices,
  replicableServices,
  serviceNames,
  services,
} from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { documentedMetrics } from "../support/metrics.ts";
import { alertNames, alertRules, OBSERVE, withShortTimes } from "./prometheus.ts";

const promtool = process.env.PROMTOOL_PATH || Bun.which("promtool");
if (promtool === null) console.warn("skipped the checks of the rules: promtool is not installed");

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

// The files are ours; what they must hold is what the tests check.
const parsed = <Shape>(text: string) => Bun.YAML.parse(text) as Shape;
const { groups } = parsed<{ groups: { rules: Rule[] }[] }>(alertRules());
const rules = groups.flatMap((group) => group.rules);

async function check(...args: string[]): Promise<string> {
  const child = Bun.spawn([promtool ?? "promtool", ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout, child.stderr].map((s) => new Response(s).text()));
  return (await child.exited) === 0 ? "" : `${out}${err}`;
}

describe("the alerts", () => {
  test("each says what is wrong, how bad it is, and where its remedy is described", () => {
    for (const { alert, labels, annotations } of rules) {
      expect([alert, labels.severity]).toEqual([alert, expect.stringMatching(/^(warning|critical)$/)]);
      expect(annotations).toMatchObject({
        summary: expect.stringMatching(/\S/),
        description: expect.stringMatching(/\.$/),
        runbook_url: `docs/operations.md#${alert.toLowerCase()}`,
      });
    }
    expect(rules.map(({ alert }) => alert)).toEqual([...new Set(alertNames())]);
  });

  test("each asks for metrics that the services have", () => {
    const known = new Set(documentedMetrics().map(({ name }) => name));
    for (const { alert, expr } of rules) {
      const names = [...expr.matchAll(/\b[a-z]+(?:_[a-z0-9]+)+\b(?=[{[ )]|$)|\bup\b/g)].map(([name]) =>
        name.replace(/_(bucket|count|sum)$/, ""),
      );
      const metrics = names.filter((name) => !["histogram_quantile", "up"].includes(name));
      expect([alert, names.length > 0, metrics.filter((name) => !known.has(name))]).toEqual([
        alert,
        true,
        [],
      ]);
    }
  });

  test("the test on a real Prometheus has the same expressions, but for the time that rates are taken over", () => {
    const short = parsed<{ groups: { rules: Rule[] }[] }>(withShortTimes(alertRules()));
    const without = (list: readonly Rule[]) => list.map(({ expr }) => expr.replaceAll(/\[\d+[ms]\]/g, "[]"));
    expect(without(short.groups.flatMap((group) => group.rules))).toEqual(without(rules));
  });

  test.skipIf(promtool === null)(
    "promtool finds nothing wrong, and each rule's unit test holds",
    async () => {
      expect(await check("check", "config", join(OBSERVE, "prometheus.yaml"))).toBe("");
      expect(await check("test", "rules", join(import.meta.dir, "rules.yaml"))).toBe("");
    },
  );

  test("Prometheus scrapes every service, and Alertmanager names no alert that there is not", () => {
    const { scrape_configs } = parsed<{
      scrape_configs: {
        job_name: string;
        static_configs: { targets: string[] }[];
        file_sd_configs?: { files: string[] }[];
      }[];
    }>(readFileSync(join(OBSERVE, "prometheus.yaml"), "utf8"));
    const store = scrape_configs.find(({ job_name }) => job_name === "store");
    expect(store?.static_configs.flatMap(({ targets }) => targets).sort()).toEqual(
      serviceNames.map((name) => `${name}:${services[name].port}`).sort(),
    );
    const second = parsed<{ targets: string[] }[]>(
      readFileSync(join(OBSERVE, "second-instances.yaml"), "utf8"),
    ).flatMap(({ targets }) => targets);
    const plural = [...activeActiveServices, ...replicableServices];
    expect(second.sort()).toEqual(plural.map((name) => `${name}-2:${services[name].port}`).sort());
    const [{ files: [pattern = ""] = [] } = {}] = store?.file_sd_configs ?? [];
    const [, mounted = ""] =
      /^SECOND_INSTANCES=(.*)$/m.exec(readFileSync(join(ROOT, "redpanda/cluster.env"), "utf8")) ?? [];
    expect(new Bun.Glob(pattern).match(mounted)).toBe(true);
    const { inhibit_rules } = parsed<{
      inhibit_rules: { source_matchers: string[]; target_matchers: string[] }[];
    }>(readFileSync(join(OBSERVE, "alertmanager.yaml"), "utf8"));
    const named = inhibit_rules
      .flatMap(({ source_matchers, target_matchers }) => [...source_matchers, ...target_matchers])
      .flatMap((matcher) => matcher.replace(/^alertname=~?"(.*)"$/, "$1").split("|"));
    expect(alertNames()).toContainValues(named);
  });

  test("compose.yaml's profile observe mounts what is there", async () => {
    const compose = parsed<{
      services: Record<string, { profiles?: string[]; volumes?: string[]; command?: string[] }>;
    }>(readFileSync(join(ROOT, "compose.yaml"), "utf8"));
    const observed = Object.entries(compose.services).filter(([, { profiles }]) =>
      profiles?.includes("observe"),
    );
    expect(observed.map(([name]) => name).sort()).toEqual(
      ["alertmanager", "collector", "grafana", "prometheus", "tempo"].sort(),
    );
    for (const [name, { volumes = [], command = [] }] of observed) {
      const files = volumes.filter((volume) => volume.startsWith("./")).map((volume) => volume.split(":"));
      for (const [source = ""] of files) {
        const found = await Bun.$`test -e ${join(ROOT, source)}`.nothrow().quiet();
        expect([name, source, found.exitCode]).toEqual([name, source, 0]);
      }
      const config = command.find((argument) => argument.includes("config"))?.split("=")[1];
      if (config !== undefined)
        expect([name, files.map(([, target]) => target)]).toEqual([name, expect.arrayContaining([config])]);
    }
  });
});
