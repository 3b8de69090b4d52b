import { parseArgs } from "node:util";
import { errorText, type Logger, makePrivate, systemRuntime } from "@distributed-messaging/messaging";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import type { AnyElysia } from "elysia";
import { deadLetterRoutes } from "./admin/dead-letters.ts";
import { effectRoutes } from "./admin/effects.ts";
import { outboxRoutes } from "./admin/outbox.ts";
import { partitionRoutes } from "./admin/partitions.ts";
import { rebuildRoutes } from "./admin/rebuild.ts";
import { type Assembled, assemble, type Composition } from "./composition.ts";
import { type CommonConfig, kafkaSettings, loadConfig, portOf, portSetting } from "./config.ts";
import { StartError } from "./errors.ts";
import { allowedSources, createHttpApp, listen } from "./http/app.ts";
import type { HealthCheck } from "./http/health.ts";
import { ensureOperatorKey, operatorKeyPath } from "./operator.ts";
import { runProcess } from "./process.ts";
import { openStorage } from "./storage.ts";
import { addMessagingMetrics, createMetrics } from "./telemetry/metrics.ts";
import { createTracer } from "./telemetry/spans.ts";

/** A running service, as its routes see it. */
export interface Running<Config extends CommonConfig, Parts> extends Assembled<Parts> {
  readonly config: Config;
  readonly log: Logger;
}

/**
 * Runs a service as this process: its database, its messages and its HTTP server, until a signal stops it.
 *
 * @param routes what the service serves beside the routes of every service: health, metrics, OpenAPI, dead letters,
 *   outbox, stopped partitions, dead effects, and `/rebuild` where there are projections
 */
export function runService<Config extends CommonConfig, Parts>(
  composition: Composition<Config, Parts>,
  routes?: (running: Running<Config, Parts>) => AnyElysia,
): Promise<void> {
  const { name, description } = composition;
  if (process.argv.length > 2) return answerArguments(name, description, process.argv.slice(2));
  return runProcess(name, async ({ env, log, lifecycle }) => {
    const config: Config = loadConfig(composition.config, env, name);
    const database = openStorage(composition, config, lifecycle, { log });

    const operatorKey = operatorKeyPath(config);
    await ensureOperatorKey(operatorKey).catch((error: unknown) => {
      throw new StartError(`OPERATOR_KEY_FILE: '${operatorKey}' cannot be created: ${errorText(error)}`);
    });

    if (config.OPERATOR_KEY_FILE === undefined) makePrivate(operatorKey, log);

    const service = assemble(composition, config, {
      database,
      connect: (clientId, topics) => {
        const transport = kafkaTransport(kafkaSettings(clientId, config), topics, systemRuntime, log);
        lifecycle.add(`broker connection ${clientId}`, { stop: () => transport.close() });
        return transport;
      },
      runtime: systemRuntime,
      log,
    });
    const { messaging, rebuild, verifier, gauges = [] } = service;
    lifecycle.add("messaging", messaging);
    messaging.start();
    if (rebuild !== undefined) {
      lifecycle.add("rebuild", rebuild);
      rebuild.resume();
    }
    if (service.retention !== undefined) {
      lifecycle.add("retention", service.retention);
      service.retention.start();
    }
    await service.started?.(messaging.unitOfWork);

    const metrics = createMetrics(name);
    addMessagingMetrics(metrics, messaging);
    for (const gauge of gauges) metrics.gauge(gauge.name, gauge.help, () => gauge.read());
    const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
    const tracer = endpoint === undefined ? undefined : createTracer({ app: name, endpoint, log, metrics });
    if (tracer !== undefined) lifecycle.add("tracing", tracer);

    const checks: readonly HealthCheck[] = [
      { name: "database", required: true, check: () => database.sql.query("SELECT 1").get() !== null },
      { name: "broker", required: composition.brokerRequired, check: () => messaging.healthy() },
      {
        name: "partitions",
        required: composition.brokerRequired,
        check: () => messaging.partitionStops.list().length === 0,
      },
      // Only shown: the messages flow, but a promise may not hold.
      {
        name: "topics",
        required: false,
        check: () => messaging.topicFindings().every(({ severity }) => severity !== "error"),
      },
      // Only shown: what the broker refuses concerns some messages, and the service does all else.
      { name: "outbox", required: false, check: () => !messaging.refused() },
    ];
    const app = createHttpApp({
      app: name,
      description,
      log,
      metrics,
      checks,
      allowed: allowedSources(name, config, composition.pagePort?.(config)),
      ...(tracer === undefined ? {} : { tracer }),
    });
    app.use(deadLetterRoutes(messaging.deadLetterAdmin, verifier));
    app.use(partitionRoutes(messaging, verifier));
    app.use(outboxRoutes(messaging.outboxAdmin, verifier));
    app.use(effectRoutes(messaging.effectAdmin, verifier));
    if (rebuild !== undefined) app.use(rebuildRoutes(rebuild, verifier, log));
    if (routes !== undefined) app.use(routes({ ...service, config, log }));

    const server = await listen(app, {
      host: config.HOST,
      port: portOf(name, config),
      setting: portSetting(name),
    });
    lifecycle.add("http", server);
    return { port: server.port };
  });
}

/** A service has settings and no arguments: `--help` says so with exit code 0, any other is refused with exit code 2. */
function answerArguments(name: string, description: string, args: string[]): never {
  try {
    parseArgs({ args, options: { help: { type: "boolean", short: "h" } } });
  } catch (error) {
    // The first sentence names the argument; the others explain how to quote it.
    process.stderr.write(`${name}: ${errorText(error).split(". ")[0]} (for help: --help)\n`);
    process.exit(2);
  }
  process.stdout.write(
    `The service ${name}: ${description}\n\n` +
      "It runs until SIGTERM or SIGINT, and takes no arguments. Its settings are environment variables: docs/settings.md.\n",
  );
  process.exit(0);
}
