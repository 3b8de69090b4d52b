import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { metricsIn, queriesOf, readDashboards } from "../support/dashboards.ts";
import { documentedMetrics } from "../support/metrics.ts";

const promtool = process.env.PROMTOOL_PATH || Bun.which("promtool");
if (promtool === null) console.warn("skipped the check of the dashboards: promtool is not installed");

const dashboards = readDashboards();
const page = readFileSync(join(ROOT, "docs/metrics.md"), "utf8");

/** The names of series: those of histograms have three each. */
const known = new Set(
  documentedMetrics().flatMap(({ name, type }) =>
    type === "histogram" ? ["bucket", "sum", "count"].map((part) => `${name}_${part}`) : [name],
  ),
);
const ofRedpanda = [...page.matchAll(/^\| `(redpanda_\w+)` /gm)].map(([, name = ""]) => name);

test("there is one for the store, the kit and the broker, each with an id of its own", () => {
  expect([...dashboards.keys()]).toEqual(["broker.json", "kit.json", "store.json"]);
  expect(new Set([...dashboards.values()].map(({ uid }) => uid)).size).toBe(dashboards.size);
});

test("the names of metrics are found in expressions", () => {
  expect(
    metricsIn('histogram_quantile(0.95, sum by (le, app) (rate(a_seconds_bucket{app=~"x"}[5m]))) > 1'),
  ).toEqual(["a_seconds_bucket"]);
  expect(metricsIn("max by (t) (a_b) - on (t, p) group_right max by (g) (c_d) or vector(0)")).toEqual([
    "a_b",
    "c_d",
  ]);
});

test.each([...dashboards])("%s asks for metrics that docs/metrics.md describes", (file, dashboard) => {
  const names = new Set(queriesOf(dashboard).flatMap(({ expr }) => metricsIn(expr)));
  expect(names.size).toBeGreaterThan(5);
  const isKnown = (name: string) =>
    file === "broker.json"
      ? ofRedpanda.includes(name.replace(/_bucket$/, "")) || known.has(name)
      : known.has(name);
  expect([...names].filter((name) => !isKnown(name))).toEqual([]);
});

test("every metric of Redpanda on the page is on the dashboard of the broker", () => {
  const broker = dashboards.get("broker.json");
  const asked = broker === undefined ? [] : queriesOf(broker).flatMap(({ expr }) => metricsIn(expr));
  expect(ofRedpanda.filter((name) => !asked.some((one) => one.replace(/_bucket$/, "") === name))).toEqual([]);
});

test.each([...dashboards])("the panels of %s are whole, and none lies on another", (_, { panels }) => {
  const ids = panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { type, title, targets = [], gridPos } of panels) {
    expect(title).not.toBe("");
    expect(type === "row" ? targets.length === 0 : targets.length > 0).toBe(true);
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  }
  const overlaps = panels.flatMap(({ title, gridPos: a }, index) =>
    panels.slice(index + 1).flatMap(({ title: other, gridPos: b }) => {
      const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
      return apart ? [] : [`${title}, ${other}`];
    }),
  );
  expect(overlaps).toEqual([]);
});

test.skipIf(promtool === null)("promtool parses every query", async () => {
  const rules = [...dashboards.values()]
    .flatMap((dashboard) => queriesOf(dashboard))
    .map(({ expr }, index) => ({ record: `dashboard:query_${index}`, expr }));
  const check = async (groups: unknown) => {
    const folder = mkdtempSync(join(tmpdir(), "dashboards-"));
    try {
      // JSON is YAML.
      const file = join(folder, "rules.yaml");
      writeFileSync(file, JSON.stringify({ groups }));
      const checked = Bun.spawn([promtool ?? "promtool", "check", "rules", file], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [, problems] = await Promise.all([
        new Response(checked.stdout).text(),
        new Response(checked.stderr).text(),
      ]);
      return { code: await checked.exited, problems };
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  expect(rules.length).toBeGreaterThan(40);
  expect(await check([{ name: "dashboards", rules }])).toEqual({ code: 0, problems: "" });
  const wrong = [{ record: "a", expr: "sum by (le) rate(a_total[5m])" }];
  expect(await check([{ name: "dashboards", rules: wrong }])).toMatchObject({ code: 1 });
});
