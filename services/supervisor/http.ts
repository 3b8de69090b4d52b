import { errorText, silentLogger } from "@distributed-messaging/messaging";
import { KafkaInspector, type KafkaSettings } from "@distributed-messaging/messaging/kafka";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { ServiceError } from "@distributed-messaging/service/errors";
import {
  type AllowedSources,
  createHttpApp,
  documented,
  isAllowedPage,
  type Listening,
  listen,
} from "@distributed-messaging/service/http";
import { createLogger } from "@distributed-messaging/service/log";
import { createMetrics } from "@distributed-messaging/service/metrics";
import { type ServiceName, serviceNames, storeTopics } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { FIGURES, FiguresAnswer, LogLineAnswer, PROCESSES, ProcessAnswer } from "./http/answers.ts";
import { brokerRoutes, coalesced } from "./http/broker.ts";
import { leaseRoutes, ProcessLease } from "./http/lease.ts";
import { type InstanceAddress, readFigures, serviceRoutes } from "./http/services.ts";
import { sourceRoutes } from "./http/sources.ts";
import { trafficRoutes } from "./http/traffic.ts";
import { WrongState } from "./process.ts";
import { type LogLine, type ProcessAction, type ProcessReport, processActions } from "./reports.ts";
import type { StoreSupervisor } from "./store.ts";
import { type Supervisor, UnknownProcess } from "./supervisor.ts";

/** An action that takes longer is answered with 202 while it is in progress. */
const ACTION_ANSWER_MS = 5_000;
const FIGURES_MAX_AGE_MS = 500;
/** How long, in seconds, a browser may cache the answer to a preflight. */
const PREFLIGHT_MAX_AGE_S = 600;

/** The headers of the answer to a preflight of the page (Fetch standard). */
const preflightHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": "authorization, content-type",
  "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
};

interface SupervisorHttpOptions {
  readonly supervisor: Pick<Supervisor, "report" | "process" | "bringBackAll">;
  /** The address of a service: of several instances, of one that is ready. */
  readonly urlOf: (name: ServiceName) => string;
  /** All its instances; unless given, it has one. */
  readonly instancesOf?: (name: ServiceName) => readonly InstanceAddress[];
  /** The consumer groups of all instances; unless given, each service has that of its name. */
  readonly groups?: readonly string[];
  readonly kafka: KafkaSettings;
  readonly port: number;
  /** The port of the page whose scripts may send requests. */
  readonly pagePort: number;
}

/**
 * Serves the admin panel of a running store, with the Kafka settings of this process's environment.
 *
 * @param port on the loopback address
 * @throws StartError when the port is in use
 */
export function serveAdminPanel(store: StoreSupervisor, port: number): Promise<Listening> {
  const env = { ...process.env, KAFKA_BROKERS: store.brokers };
  const config = loadConfig(Type.Object(commonSettings), env, "supervisor");
  return serveSupervisor({
    supervisor: store,
    urlOf: (name) => store.url(name),
    instancesOf: (name) => store.instances.filter(({ service }) => service === name),
    groups: [...new Set(store.instances.map(({ group }) => group))],
    kafka: kafkaSettings("supervisor", config),
    port,
    pagePort: store.ports["api-gateway"],
  });
}

/**
 * Serves the supervisor's HTTP interface. It listens on the loopback address whatever HOST is: its clients can stop
 * the store.
 *
 * @throws StartError when the port is in use
 */
export async function serveSupervisor(options: SupervisorHttpOptions): Promise<Listening> {
  const { supervisor, urlOf, kafka, port, pagePort } = options;
  const { instancesOf = (name: ServiceName) => [{ name, url: urlOf(name) }], groups = serviceNames } =
    options;
  const allowed: AllowedSources = { pagePort };
  const app = createHttpApp({
    app: "supervisor",
    allowed,
    license: "MIT",
    description: "Controls the processes of a store on one machine and shows what they do",
    log: createLogger("supervisor", "error"),
    metrics: createMetrics("supervisor"),
  });
  app.onRequest(({ request, set }) => {
    set.headers.vary = "origin";
    // The page, and no other, reads the answers.
    if (isAllowedPage(request, allowed)) {
      set.headers["access-control-allow-origin"] = request.headers.get("origin") ?? "";
    }
    if (request.method !== "OPTIONS") return;
    return new Response(null, { status: 204, headers: preflightHeaders });
  });
  const inspector = new KafkaInspector(kafka, storeTopics, groups, silentLogger);
  const figures = coalesced(() => {
    // Of a broker that it runs, the page shows the state already.
    const known = supervisor.report().some(({ name }) => name === "broker") ? "broker" : undefined;
    return readFigures(instancesOf, () => inspector.topics(), known);
  }, FIGURES_MAX_AGE_MS);
  const lease = new ProcessLease(supervisor);
  app.use(processRoutes(supervisor, lease));
  app.use(leaseRoutes(lease));
  app.use(
    brokerRoutes(
      inspector,
      storeTopics.map(({ name }) => name),
    ),
  );
  app.use(serviceRoutes(urlOf));
  app.get("/figures", () => figures(), {
    detail: documented("Outbox, dead letters and lag of every service", {
      tag: FIGURES,
      answers: { 200: FiguresAnswer },
    }),
  });
  app.use(trafficRoutes(inspector));
  app.use(sourceRoutes());
  const listening = await listen(app, { host: "127.0.0.1", port, setting: "SUPERVISOR_PORT" });
  return {
    ...listening,
    stop: async (deadlineMs) => {
      lease.close();
      await listening.stop(deadlineMs);
      await inspector.close();
    },
  };
}

function processRoutes(supervisor: SupervisorHttpOptions["supervisor"], lease: ProcessLease) {
  return new Elysia()
    .get("/processes", (): ProcessReport[] => supervisor.report(), {
      detail: documented("The state of every process of the store", {
        tag: PROCESSES,
        answers: { 200: Type.Array(ProcessAnswer) },
      }),
    })
    .get(
      "/processes/:name/log",
      ({ params: { name } }): readonly LogLine[] => found(supervisor, name).lines,
      {
        params: Type.Object({ name: Type.String({ maxLength: 64 }) }),
        detail: documented("The last lines of a process and about it, oldest first", {
          tag: PROCESSES,
          answers: { 200: Type.Array(LogLineAnswer) },
          problems: [404],
        }),
      },
    )
    .post(
      "/processes/:name/:action",
      async ({ params: { name, action }, query, set }) => {
        lease.assertHeld(query.lease);
        const done = await perform(supervisor, name, action);
        set.status = done ? 200 : 202;
        return supervisor.report().find((process) => process.name === name);
      },
      {
        params: Type.Object({
          name: Type.String({ maxLength: 64 }),
          action: Type.Unsafe<ProcessAction>(Type.Union(processActions.map((name) => Type.Literal(name)))),
        }),
        query: Type.Object({ lease: Type.Optional(Type.String({ maxLength: 64 })) }),
        detail: documented(
          "stop, start, kill (it is restarted), pause or resume a process, or destroy an instance",
          {
            tag: PROCESSES,
            answers: { 200: ProcessAnswer, 202: ProcessAnswer },
            problems: [404, 409, 503],
          },
        ),
      },
    );
}

/** @throws ServiceError not-found: process-not-found */
function found(supervisor: SupervisorHttpOptions["supervisor"], name: string) {
  try {
    return supervisor.process(name);
  } catch (error) {
    if (!(error instanceof UnknownProcess)) throw error;
    throw new ServiceError("not-found", "process-not-found", error.message);
  }
}

/**
 * @returns whether the action is completed; otherwise it is in progress, and a failure shows in the process's state
 * @throws ServiceError not-found: process-not-found; conflict: wrong-state; unavailable: not-started
 */
async function perform(
  supervisor: SupervisorHttpOptions["supervisor"],
  name: string,
  action: ProcessAction,
): Promise<boolean> {
  const limit = Promise.withResolvers<false>();
  const timer = setTimeout(() => limit.resolve(false), ACTION_ANSWER_MS);
  const work = (async () => found(supervisor, name)[action]())().then(() => true);
  work.catch(() => {});
  try {
    return await Promise.race([work, limit.promise]);
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    if (error instanceof WrongState) throw new ServiceError("conflict", "wrong-state", error.message);
    throw new ServiceError("unavailable", "not-started", errorText(error));
  } finally {
    clearTimeout(timer);
  }
}
