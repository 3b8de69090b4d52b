import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { demoOrders } from "../support/customer.ts";
import { queriesOf, readDashboards } from "../support/dashboards.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { runsSlowTests } from "../support/slow-test.ts";

const prometheus = process.env.PROMETHEUS_PATH || Bun.which("prometheus");
if (prometheus === null) console.warn("skipped the dashboards on a real Prometheus: it is not installed");

/** Panels of what goes wrong, which have nothing to show while nothing does. */
const EMPTY_WITHOUT_FAULT = [
  "Requests with a fault, by route",
  "Messages not handled",
  "Dead letters by reason",
];

describeOwn("the dashboards", () => {
  const store = useOwnStore();

  test.skipIf(!runsSlowTests || prometheus === null)(
    "every query of the store's and the kit's finds something, at a Prometheus that scrapes the store",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "prometheus-"));
      const targets = serviceNames.map((name) => new URL(store.url(name)).host);
      const config = {
        global: { scrape_interval: "1s" },
        scrape_configs: [{ job_name: "store", static_configs: [{ targets }] }],
      };
      // JSON is YAML.
      writeFileSync(join(folder, "prometheus.yaml"), JSON.stringify(config));
      const [port = 0] = freePorts(1);
      const url = `http://127.0.0.1:${port}`;
      const server = Bun.spawn(
        [
          prometheus ?? "prometheus",
          `--config.file=${join(folder, "prometheus.yaml")}`,
          `--storage.tsdb.path=${join(folder, "data")}`,
          `--web.listen-address=127.0.0.1:${port}`,
        ],
        { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
      );
      try {
        const ask = async (expr: string) => {
          const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expr)}`);
          const body = (await answer.json()) as {
            status: string;
            error?: string;
            data?: { result: unknown[] };
          };
          return { fault: body.error, results: body.data?.result.length ?? 0 };
        };
        await eventually(
          async () =>
            (await ask(`count(up == 1) == ${targets.length}`).catch(() => ({ results: 0 }))).results === 1,
          "Prometheus to have scraped every service",
        );
        await store.seed();
        const customer = await store.signIn("CUSTOMER_001");
        await customer.place(demoOrders.ORDER_001);
        await customer.until(demoOrders.ORDER_001.orderId, "confirmed");
        const all = readDashboards();
        const queries = ["store.json", "kit.json"].flatMap((file) => {
          const dashboard = all.get(file);
          return dashboard === undefined ? [] : queriesOf(dashboard, "1m");
        });
        const shown = queries.filter(({ panel }) => !EMPTY_WITHOUT_FAULT.includes(panel));
        expect(shown.length).toBeGreaterThan(40);
        await eventually(async () => {
          const answers = await Promise.all(
            shown.map(async (query) => ({ ...query, ...(await ask(query.expr)) })),
          );
          expect(answers.filter(({ fault, results }) => fault !== undefined || results === 0)).toEqual([]);
          return true;
        }, "every panel to have something to show");
        const others = queries.filter(({ panel }) => EMPTY_WITHOUT_FAULT.includes(panel));
        for (const { expr } of others) expect((await ask(expr)).fault).toBeUndefined();
      } finally {
        server.kill();
        await server.exited;
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});
