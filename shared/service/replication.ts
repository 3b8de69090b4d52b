import {
  changesTopic,
  errorText,
  migrate,
  ownerTopic,
  Replica,
  type ReplicaState,
  type Role,
  type ServiceDatabase,
  systemRuntime,
  type Topic,
  type Transport,
} from "@distributed-messaging/messaging";
import type { AnyElysia } from "elysia";
import type { Composition } from "./composition.ts";
import type { CommonConfig, ReplicationConfig } from "./config.ts";
import { createHttpApp, type HttpAppOptions, type Listening } from "./http/app.ts";
import { forward } from "./http/forward.ts";
import type { HealthCheck, Problem } from "./http/health.ts";
import type { Logger } from "./log.ts";
import type { Lifecycle } from "./process.ts";
import { snapshotOptions } from "./snapshots.ts";
import { inStorage } from "./storage.ts";
import { addReadinessMetric, type Metrics } from "./telemetry/metrics.ts";

/*
 * A service that runs as several instances. Each answers for itself whether it is ready, and its metrics; every other
 * request is answered by the one that leads, whichever was asked.
 */

interface InstanceOptions {
  readonly composition: Pick<Composition, "name" | "migrations">;
  readonly config: CommonConfig & Partial<ReplicationConfig>;
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  /** Ends the process: what starts it again makes it a follower. */
  end(): void;
  readonly metrics: Metrics;
  /** Of the app that a follower serves. */
  readonly http: HttpAppOptions;
  /** Checks beside that of the replication. */
  readonly further: readonly HealthCheck[];
  connect(clientId: string, topics: readonly Topic[]): Transport;
  listen(app: AnyElysia): Promise<Listening>;
  /** Starts the work of the service, once this instance leads. */
  lead(database: ServiceDatabase, health: ReplicaHealth): Promise<AnyElysia>;
}

export interface ReplicaHealth {
  readonly check: HealthCheck;
  /** Whether the change log is read. */
  reads(): boolean;
}

/** Starts an instance, which follows until it leads. @returns its port */
export async function startInstance(options: InstanceOptions): Promise<{ readonly port: number }> {
  const { composition, config, log, lifecycle, end, metrics, http, further } = options;
  const { name, migrations } = composition;
  let replica: Replica | undefined;
  const state = () => replica?.state();
  const reads = () => replica?.healthy() ?? false;
  const check = replicationCheck(() => ({ state: state(), reads: reads() }));
  const transport = options.connect(`${name}-changes`, [changesTopic(name), ownerTopic(name)]);
  const checks = [check, ...further];
  addReadinessMetric(metrics, checks);
  const follower = followerApp({ ...http, checks }, state);
  const server = await options.listen(follower);
  lifecycle.add("http", server);
  const snapshots = snapshotOptions(config);
  const opened = inStorage(
    name,
    config,
    (path) =>
      new Replica({
        ...{ service: name, path, transport, runtime: systemRuntime, log, ownership: true },
        ...{
          synchronous: config.SQLITE_SYNCHRONOUS,
          address: config.ADVERTISED_URL ?? server.url,
          migrations,
        },
        ...(snapshots === undefined ? {} : { snapshots }),
        deposed: end,
      }),
  );
  replica = opened;
  lifecycle.add("replica", opened);
  addReplicationMetrics(metrics, opened, snapshots?.every ?? 0);
  const lead = async () => {
    const database = await opened.leads();
    migrate(database, name, migrations, log);
    await server.replace(await options.lead(database, { check, reads }));
    // Before the parts that answer them: what comes now waits for the next leader.
    const stop = async (remainingMs: number) => (await server.replace(follower)).answered(remainingMs);
    lifecycle.add("requests", { stop });
  };
  lead().catch((error: unknown) => {
    if (lifecycle.stopping) return;
    log.fatal({ err: error }, `this instance cannot lead: ${errorText(error)}`);
    end();
  });
  return { port: server.port };
}

/** What an instance answers itself. */
const OWN_PATHS: ReadonlySet<string> = new Set(["/liveness", "/readiness", "/metrics"]);

function followerApp(http: HttpAppOptions, state: () => ReplicaState | undefined): AnyElysia {
  return createHttpApp(http).onRequest(({ request }) => {
    if (OWN_PATHS.has(new URL(request.url).pathname)) return;
    return forward(request, http.app, () => leaderIn(state()));
  });
}

/** Roles in which an instance reads who leads. */
const READING: ReadonlySet<Role> = new Set<Role>(["following", "leading", "released"]);

/** @returns null where no other leader will be known */
function leaderIn(state: ReplicaState | undefined): string | undefined | null {
  if (state === undefined) return undefined;
  return state.leader ?? (READING.has(state.role) ? undefined : null);
}

/** @param every groups after which a snapshot is made; 0 where none are */
function addReplicationMetrics(metrics: Metrics, replica: Replica, every: number): void {
  metrics.gauge("replication_leads", "Whether this instance leads: 1 or 0", () =>
    Number(replica.state().role === "leading"),
  );
  metrics.gauge(
    "replication_epoch",
    "The epoch of the leader, as far as this instance knows",
    () => replica.state().epoch,
  );
  metrics.gauge(
    "replication_groups",
    "The last group of the change log that this instance has: all have the same one where nothing happens",
    () => replica.state().seq,
  );
  metrics.gauge(
    "replication_snapshot_groups",
    "The last group of the change log in the newest snapshot that this instance knows of: 0 where it knows of none",
    () => replica.state().snapshot?.seq ?? 0,
  );
  metrics.gauge(
    "replication_snapshot_every_groups",
    "After how many groups an instance that follows makes a snapshot, the one that leads after twice as many: 0 without a place for them",
    () => every,
  );
  metrics.gauge(
    "replication_snapshot_bytes",
    "The size of the newest snapshot that this instance knows of: 0 where it knows of none",
    () => replica.state().snapshot?.bytes ?? 0,
  );
}

function replicationCheck(read: () => { state: ReplicaState | undefined; reads: boolean }): HealthCheck {
  return {
    name: "replication",
    required: true,
    problems: () => {
      const { state, reads } = read();
      const problem = state === undefined ? STARTING : problemOf(state, reads);
      return problem === undefined ? [] : [problem];
    },
  };
}

const STARTING: Problem = { detail: "It starts.", remedy: "It goes on by itself." };

function problemOf(state: ReplicaState, reads: boolean): Problem | undefined {
  const { role, epoch, isCurrent, lacks, isForeign, isRestoring, outdated } = state;
  if (role === "refused") {
    return {
      detail: "Its database is not one of this change log. It does nothing.",
      remedy: "Set its DATA_DIR aside, and start it on an empty one: it is then built from the change log.",
    };
  }
  if (isForeign) {
    return {
      detail:
        "The service has another database, and no change log with its content. This instance does not lead.",
      remedy: "Start the instance that has that database. If it is lost for good: `bun run owner take-over`.",
    };
  }
  if (outdated !== undefined) {
    return {
      detail: `A newer version has changed the schema, and this one does not lead: ${outdated}.`,
      remedy: "Replace this instance by that version, or by a later one.",
    };
  }
  if (isRestoring && !lacks) {
    return {
      detail: "It looks for a snapshot to begin with.",
      remedy: "It goes on by itself, once the brokers and the store of snapshots answer.",
    };
  }
  if (!reads) {
    return {
      detail: "The change log cannot be read: nothing is confirmed, and nobody is answered.",
      remedy: "Start the broker, or correct KAFKA_BROKERS or the network. It goes on by itself.",
    };
  }
  if (role === "leading") return undefined;
  if (lacks) {
    return {
      detail: "The change log does not continue what this instance has. It does not lead.",
      remedy:
        "If the leader soon sends again what is missing, it goes on by itself; with SNAPSHOTS it begins with the next one. Else start it on a copy of the database of another instance that is stopped.",
    };
  }
  if (!isCurrent) {
    return {
      detail: "It has not read the change log to its end yet.",
      remedy: "It goes on by itself.",
    };
  }
  if (epoch > 0) return undefined;
  return { detail: "No instance has led yet.", remedy: "It goes on by itself." };
}
