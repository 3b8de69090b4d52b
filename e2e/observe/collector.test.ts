import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { buildGoModule, ClientMissing } from "../clients/toolchains.ts";
import { OwnStore } from "../support/own-store.ts";
import { isRunningElsewhere } from "../support/store.ts";
import { OBSERVE } from "./prometheus.ts";

/* The collector is built from OpenTelemetry's Go modules, the first time for minutes. */
const BUILD_LIMIT_MS = 1_800_000;
const LIMIT_MS = 120_000;
const hasGo = Bun.which("go") !== null;
const isSlow = process.env.SLOW_TESTS === "true" && !isRunningElsewhere;
if (isSlow && !hasGo) console.warn("skipped the traces at a real collector: Go is not installed");

(isSlow && hasGo ? describe : describe.skip)("a real OpenTelemetry Collector", () => {
  const folder = join(tmpdir(), `collector-${crypto.randomUUID()}`);
  const [port = 0] = freePorts(1);
  const log = join(folder, "collector.log");
  const store = new OwnStore({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` } });
  let program: string | undefined;
  let collector: Bun.Subprocess | undefined;

  beforeAll(async () => {
    try {
      program = await buildGoModule(join(import.meta.dir, "collector"));
    } catch (error) {
      if (!(error instanceof ClientMissing)) throw error;
      console.warn(`skipped the traces at a real collector: ${error.message}`);
      return;
    }
    mkdirSync(folder);
    const config = Bun.YAML.parse(readFileSync(join(OBSERVE, "collector.yaml"), "utf8")) as object;
    // That of deploy/observe with a free port, and with the log in place of Tempo.
    writeFileSync(
      join(folder, "collector.yaml"),
      JSON.stringify({
        ...config,
        receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
        exporters: { debug: { verbosity: "detailed" } },
        service: {
          telemetry: { metrics: { level: "none" } },
          pipelines: {
            traces: { receivers: ["otlp"], processors: ["memory_limiter", "batch"], exporters: ["debug"] },
          },
        },
      }),
    );
    const output = Bun.file(log);
    collector = Bun.spawn([program, `--config=${join(folder, "collector.yaml")}`], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: output,
    });
    const answers = async () => (await fetch(`http://127.0.0.1:${port}/v1/traces`)).status === 405;
    await eventually(answers, "the collector to listen", LIMIT_MS);
    await store.startAll();
    await store.seed();
  }, BUILD_LIMIT_MS);

  afterAll(async () => {
    await store.dispose();
    collector?.kill();
    await collector?.exited;
    rmSync(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  test(
    "gets the spans of the services, and reads the configuration of deploy/observe",
    async () => {
      if (program === undefined) return;
      const file = join(OBSERVE, "collector.yaml");
      const checked = Bun.spawn([program, "validate", `--config=${file}`], { stderr: "pipe" });
      expect([await new Response(checked.stderr).text(), await checked.exited]).toEqual(["", 0]);
      const customer = await store.signIn("CUSTOMER_trace");
      const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
      await customer.until(orderId, "confirmed");
      await eventually(
        () => {
          const seen = readFileSync(log, "utf8");
          return /service\.name: Str\(api-gateway\)/.test(seen) && /Name +: .*orders/.test(seen);
        },
        "the collector to have the span of the order",
        LIMIT_MS,
      );
    },
    LIMIT_MS,
  );
});
