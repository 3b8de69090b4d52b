import { join } from "node:path";
import { allMessages, allTopics } from "@distributed-messaging/contracts";
import {
  acquireLock,
  deadLetterTopic,
  errorText,
  type Handler,
  Messaging,
  type Migration,
  migrate,
  openDatabase,
  type ServiceDatabase,
  systemRuntime,
  type TimerHandler,
} from "@distributed-messaging/messaging";
import { type KafkaSettings, kafkaTransport } from "@distributed-messaging/messaging/kafka";
import { type Static, Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { deadLetterRoutes } from "./admin/dead-letters.ts";
import { commonSettings } from "./config.ts";
import { ensureDataDir } from "./data-dir.ts";
import { StartError } from "./errors.ts";
import { createHttpApp, listen } from "./http/app.ts";
import type { HealthCheck } from "./http/health.ts";
import type { TokenVerifier } from "./identity.ts";
import type { Service, Started } from "./run.ts";
import { addMessagingMetrics } from "./telemetry/messaging-metrics.ts";
import { createMetrics, type Metrics } from "./telemetry/metrics.ts";
import { createTracer } from "./telemetry/span-export.ts";

const CommonConfig = Type.Object(commonSettings);
export type CommonConfig = Static<typeof CommonConfig>;

/**
 * Opens `<DATA_DIR>/<service>.sqlite` with the service's schema in it, for this process alone; closed when the service
 * stops. A second process would have a relay of its own, and send what the first one is sending in another order.
 *
 * @throws StartError when the file cannot be used, or another process of the service uses it
 */
export function openStorage(
  service: Service,
  config: CommonConfig,
  migrations: readonly Migration[],
): ServiceDatabase {
  ensureDataDir(config.DATA_DIR);
  try {
    const lock = acquireLock(join(config.DATA_DIR, `${service.name}.lock`));
    if (lock === undefined) throw new Error("another process of the service uses it");
    service.lifecycle.add("data directory", { stop: () => lock.release() });
    const database = openDatabase(join(config.DATA_DIR, `${service.name}.sqlite`), config.SQLITE_SYNCHRONOUS);
    service.lifecycle.add("database", { stop: () => database.close() });
    migrate(database, service.name, migrations);
    return database;
  } catch (error) {
    throw new StartError(
      `DATA_DIR: the database in '${config.DATA_DIR}' cannot be used: ${errorText(error)}`,
    );
  }
}

/** Connects a service to the broker and starts it consuming and sending; stopped, and finished, with the service. */
export function startMessaging(
  service: Service,
  config: CommonConfig,
  database: ServiceDatabase,
  handlers: readonly Handler[],
  timers: readonly TimerHandler[] = [],
): Messaging {
  const transport = kafkaTransport(
    kafkaSettings(service.name, config),
    [...allTopics, deadLetterTopic(service.name)],
    systemRuntime,
    service.log,
  );
  service.lifecycle.add("broker connection", { stop: () => transport.close() });
  const messaging = new Messaging({
    service: service.name,
    database,
    transport,
    definitions: allMessages,
    handlers,
    timers,
    deadLetterTopic: deadLetterTopic(service.name).name,
    runtime: systemRuntime,
    log: service.log,
    inboxRetentionMs: config.INBOX_RETENTION,
  });
  service.lifecycle.add("messaging", messaging);
  messaging.start();
  return messaging;
}

/** The broker's address and credentials, as the settings name them. */
export function kafkaSettings(clientId: string, config: CommonConfig): KafkaSettings {
  const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_USERNAME: username } = config;
  const password = config.KAFKA_SASL_PASSWORD;
  return {
    clientId,
    brokers: config.KAFKA_BROKERS,
    ssl: config.KAFKA_SSL,
    ...(mechanism === undefined || username === undefined || password === undefined
      ? {}
      : { sasl: { mechanism, username, password } }),
  };
}

export interface AppOptions {
  readonly description: string;
  readonly config: CommonConfig;
  readonly database: ServiceDatabase;
  readonly messaging: Messaging;
  /** Verifies the tokens of the requests. */
  readonly verifier: TokenVerifier;
  /** Whether the service is of no use while the broker is away. */
  readonly brokerRequired: boolean;
}

/** An HTTP app with the health, the figures, the dead letters and the refusals that every service has. */
export function createServiceApp(service: Service, options: AppOptions): { app: Elysia; metrics: Metrics } {
  const { database, messaging, config } = options;
  const metrics = createMetrics(service.name);
  addMessagingMetrics(metrics, messaging);
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  const tracer =
    endpoint === undefined
      ? undefined
      : service.lifecycle.add(
          "tracing",
          createTracer({ app: service.name, endpoint, log: service.log, metrics }),
        );
  const checks: readonly HealthCheck[] = [
    { name: "database", required: true, check: () => database.sql.query("SELECT 1").get() !== null },
    { name: "broker", required: options.brokerRequired, check: () => messaging.healthy() },
  ];
  const app = createHttpApp({
    app: service.name,
    description: options.description,
    log: service.log,
    metrics,
    checks,
    ...(tracer === undefined ? {} : { tracer }),
  });
  app.use(deadLetterRoutes(messaging.deadLetterAdmin, options.verifier));
  return { app, metrics };
}

/** Serves the app; when the service stops, that is the first thing to end. @throws StartError */
export async function serve(
  service: Service,
  app: Elysia,
  options: { host: string; port: number; setting: string },
): Promise<Started> {
  const listening = await listen(app, options);
  service.lifecycle.add("http", { stop: (remainingMs) => listening.stop(remainingMs) });
  return { port: listening.port };
}
