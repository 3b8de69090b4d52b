import { parseArgs } from "node:util";
import {
  errorText,
  type Logger,
  type Messaging,
  makePrivate,
  type ServiceDatabase,
  systemRuntime,
  type Topic,
} from "@distributed-messaging/messaging";
import { kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { type AnyElysia, Elysia } from "elysia";
import { deadLetterRoutes } from "./admin/dead-letters.ts";
import { effectRoutes } from "./admin/effects.ts";
import { outboxRoutes } from "./admin/outbox.ts";
import { partitionRoutes } from "./admin/partitions.ts";
import { rebuildRoutes } from "./admin/rebuild.ts";
import { type Assembled, assemble, asyncApiOf, type Composition } from "./composition.ts";
import {
  type CommonConfig,
  instanceOf,
  isReplicated,
  kafkaSettings,
  loadConfig,
  portOf,
  portSetting,
  recordsSpans,
} from "./config.ts";
import { StartError } from "./errors.ts";
import { allowedSources, createHttpApp, type HttpAppOptions, listen } from "./http/app.ts";
import type { TokenVerifier } from "./identity.ts";
import { ensureOperatorKey, operatorKeyPath } from "./operator.ts";
import { runProcess } from "./process.ts";
import { drainCheck, readinessChecks } from "./readiness.ts";
import { type ReplicaHealth, startInstance } from "./replication.ts";
import { ensureDataDir, openStorage } from "./storage.ts";
import {
  addMessagingMetrics,
  addReadinessMetric,
  addStorageMetrics,
  createMetrics,
} from "./telemetry/metrics.ts";

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
  return runProcess(name, async ({ env, log, lifecycle, end }) => {
    const config: Config = loadConfig(composition.config, env, name);
    const only = isReplicated(config) ? undefined : openStorage(composition, config, lifecycle, { log });
    if (only === undefined) ensureDataDir(config.DATA_DIR, log);

    const operatorKey = operatorKeyPath(config);
    await ensureOperatorKey(operatorKey).catch((error: unknown) => {
      throw new StartError(`OPERATOR_KEY_FILE: '${operatorKey}' cannot be created: ${errorText(error)}`);
    });

    if (config.OPERATOR_KEY_FILE === undefined) makePrivate(operatorKey, log);

    const metrics = createMetrics(name);
    // OpenTelemetry's SDK takes a fifth of a start to load: only where it is used.
    const tracing = recordsSpans(config)
      ? (await import("./telemetry/tracing.ts")).createTracing(name, config, { log, metrics })
      : undefined;
    // Before what emits spans, so that it is stopped after that.
    if (tracing !== undefined) lifecycle.add("tracing", tracing);

    const tracer = tracing === undefined ? {} : { tracer: tracing.tracer };

    const connect = (clientId: string, topics: readonly Topic[]) => {
      const transport = kafkaTransport(kafkaSettings(clientId, config), topics, systemRuntime, log);
      lifecycle.add(`broker connection ${clientId}`, { stop: () => transport.close() });
      return transport;
    };
    const http: HttpAppOptions = {
      app: name,
      description,
      ...(composition.license === undefined ? {} : { license: composition.license }),
      log,
      metrics,
      allowed: allowedSources(name, config, composition.pagePort?.(config)),
      ...tracer,
    };
    const drain = drainCheck();
    const listenWith = async (app: AnyElysia) => {
      const server = await listen(app, {
        ...{ host: config.HOST, port: portOf(name, config), setting: portSetting(name) },
      });
      lifecycle.drain = async () => {
        drain.begin();
        server.drain();
        if (config.DRAIN > 0) await Bun.sleep(config.DRAIN);
      };
      return server;
    };

    /** Starts the work on a database. @param replica of a replicated service */
    const work = async (database: ServiceDatabase, replica?: ReplicaHealth): Promise<AnyElysia> => {
      const service = assemble(composition, config, {
        ...{ database, connect, runtime: systemRuntime, log },
        ...tracer,
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

      addMessagingMetrics(metrics, messaging);
      addStorageMetrics(metrics, database.path, config.DATA_DIR);
      for (const gauge of gauges) metrics.gauge(gauge.name, gauge.help, () => gauge.read());
      service.measure?.(metrics);

      const { migrations, brokerRequired } = composition;
      const checks = readinessChecks({
        ...{ name, database, migrations, messaging, brokerRequired, gaps: config.GAPS },
        isOneOfSeveral: instanceOf(config) !== undefined,
        ...(replica === undefined ? {} : { reachesBroker: replica.reads }),
      }).concat(replica?.check ?? [], drain.check);
      addReadinessMetric(metrics, checks);
      const app = serviceApp(
        { ...http, checks, asyncApi: asyncApiOf(composition, service) },
        messaging,
        verifier,
        routes?.({ ...service, config, log }) ?? new Elysia(),
      );
      if (rebuild !== undefined) app.use(rebuildRoutes(rebuild, verifier, log));
      return app;
    };

    if (only === undefined) {
      return startInstance({
        ...{ composition, config, log, lifecycle, end, metrics, http, connect },
        ...{ listen: listenWith, lead: work, further: [drain.check] },
      });
    }
    const server = await listenWith(await work(only));
    lifecycle.add("http", server);
    return { port: server.port };
  });
}

/** What every service serves, and its own routes. */
function serviceApp<Own extends AnyElysia>(
  options: HttpAppOptions,
  messaging: Messaging,
  verifier: TokenVerifier,
  own: Own,
) {
  return createHttpApp(options)
    .use(deadLetterRoutes(messaging.deadLetterAdmin, verifier))
    .use(partitionRoutes(messaging, verifier))
    .use(outboxRoutes(messaging.outboxAdmin, verifier))
    .use(effectRoutes(messaging.effectAdmin, verifier))
    .use(own);
}

/** The HTTP interface of a service, as a type for clients such as Eden's. @template Own the routes given to `runService` */
export type ServiceApp<Own extends AnyElysia = Elysia> = ReturnType<typeof serviceApp<Own>>;

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
