import { errorText, silentLogger } from "@distributed-messaging/messaging";
import { KafkaInspector, type KafkaSettings } from "@distributed-messaging/messaging/kafka";
import { ServiceError } from "@distributed-messaging/service/errors";
import { createHttpApp, type Listening, listen } from "@distributed-messaging/service/http/app";
import { createLogger } from "@distributed-messaging/service/log";
import { createMetrics } from "@distributed-messaging/service/telemetry/metrics";
import { type ServiceName, serviceNames, storeTopics } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { UnknownProcess, WrongState } from "../process-spec.ts";
import { type ProcessAction, type ProcessReport, processActions } from "../reports.ts";
import type { Supervisor } from "../supervisor.ts";
import { askedOnce } from "./cache.ts";
import { readFigures } from "./figures.ts";
import { corsHeaders, type Guard, preflightHeaders, refuseForeign } from "./guard.ts";
import { promiseRoutes } from "./promises.ts";
import { serviceRoutes } from "./services.ts";
import { brokerRoutes } from "./topics.ts";

/** A start that waits for a broker, or a stop that waits for its deadline, is answered before it is done. */
const ACTION_ANSWER_MS = 5_000;
/** However many pages look, the services are asked no more often. */
const FIGURES_AGE_MS = 500;

/** What is shown and stopped: the store's processes, or those of a test. */
export type Processes = Pick<Supervisor, "processes" | ProcessAction>;

export interface SupervisorHttpOptions {
  readonly processes: Processes;
  /** The address of a service. */
  readonly urlOf: (name: ServiceName) => string;
  readonly kafka: KafkaSettings;
  readonly port: number;
  /** Where the page is served whose scripts may ask. */
  readonly pagePort: number;
}

/**
 * Serves what the page shows behind the counter. On the loopback address, whatever HOST says: who can talk to it
 * can stop the store.
 *
 * @throws StartError when the port is taken
 */
export async function serveSupervisor(options: SupervisorHttpOptions): Promise<Listening> {
  const app = createHttpApp({
    app: "supervisor",
    description: "Shows and stops the processes of a store that runs on one machine",
    log: createLogger("supervisor", "error"),
    metrics: createMetrics("supervisor"),
  });
  const { port, pagePort } = options;
  const guard: Guard = { port, pagePort };
  app.onRequest(({ request, set }) => {
    refuseForeign(request, guard);
    Object.assign(set.headers, corsHeaders(request, guard));
    if (request.method !== "OPTIONS") return;
    return new Response(null, { status: 204, headers: preflightHeaders });
  });
  const inspector = new KafkaInspector(options.kafka, storeTopics, serviceNames, silentLogger);
  const figures = askedOnce(() => readFigures(options.urlOf, () => inspector.topics()), FIGURES_AGE_MS);
  app.use(processRoutes(options.processes));
  app.use(
    brokerRoutes(
      inspector,
      storeTopics.map(({ name }) => name),
    ),
  );
  app.use(serviceRoutes(options.urlOf));
  app.use(promiseRoutes());
  app.get("/figures", () => figures(), {
    detail: { summary: "Outboxes, dead letters and lag of every service" },
  });
  const listening = await listen(app, { host: "127.0.0.1", port, setting: "SUPERVISOR_PORT" });
  return {
    ...listening,
    stop: async (deadlineMs) => {
      await listening.stop(deadlineMs);
      await inspector.close();
    },
  };
}

function processRoutes(processes: Processes) {
  return new Elysia()
    .get("/processes", (): ProcessReport[] => processes.processes(), {
      detail: { summary: "Every process of the store, and how it is" },
    })
    .post(
      "/processes/:name/:action",
      async ({ params: { name, action }, set }) => {
        const done = await carryOut(processes, name, action);
        set.status = done ? 200 : 202;
        return processes.processes().find((process) => process.name === name);
      },
      {
        params: Type.Object({
          name: Type.String({ maxLength: 64 }),
          action: Type.Unsafe<ProcessAction>(Type.Union(processActions.map((name) => Type.Literal(name)))),
        }),
        detail: { summary: "stop, start, kill (it is started again), pause or resume a process" },
      },
    );
}

/**
 * Does what is asked of a process.
 *
 * @returns whether it is done; otherwise it is under way
 * @throws ServiceError not-found: process-not-found; conflict: wrong-state
 */
async function carryOut(processes: Processes, name: string, action: ProcessAction): Promise<boolean> {
  const limit = Promise.withResolvers<false>();
  const timer = setTimeout(() => limit.resolve(false), ACTION_ANSWER_MS);
  // A start that fails later is seen in the state that it leaves behind.
  const work = (async () => processes[action](name))().then(() => true);
  work.catch(() => {});
  try {
    return await Promise.race([work, limit.promise]);
  } catch (error) {
    if (error instanceof UnknownProcess)
      throw new ServiceError("not-found", "process-not-found", error.message);
    if (error instanceof WrongState) throw new ServiceError("conflict", "wrong-state", error.message);
    const detail = errorText(error);
    throw new ServiceError("unavailable", "not-started", detail);
  } finally {
    clearTimeout(timer);
  }
}
