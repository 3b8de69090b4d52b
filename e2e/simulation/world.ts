import type { OrderView } from "@distributed-messaging/api-gateway/domain";
import type { QueuePolicy } from "@distributed-messaging/inventory/domain";
import type { IncomingRecord, OutgoingRecord } from "@distributed-messaging/messaging";
import { changeLogTopics, replicableServices, storeTopics } from "@distributed-messaging/services/registry";
import { type PartitionLog, SimulatedBroker } from "./broker.ts";
import { type FaultName, Faults } from "./faults.ts";
import type { Mutant } from "./mutants.ts";
import { Operator } from "./operator.ts";
import { Prng } from "./prng.ts";
import { Process } from "./process.ts";
import { ReplicatedService } from "./replicated-service.ts";
import { Scheduler, Trace } from "./scheduler.ts";
import * as services from "./services.ts";
import type { Environment, ServiceDefinition, SimulatedService } from "./simulated-service.ts";
import { drawProducts, Workload } from "./workload.ts";

export interface RunOptions {
  readonly seed: number;
  readonly orders: number;
  /** Instances of each service that can be replicated. @defaultValue 1: none is replicated */
  readonly replicas?: number;
  /** Faults that never occur in this run. */
  readonly without?: ReadonlySet<FaultName>;
  readonly mutant?: Mutant;
  /** Is given every line of the trace. */
  readonly print?: (line: string) => void;
}

/** How long an order waits for stock: in half of the runs short enough to expire. */
const MAX_SHORT_BACKORDER_MS = 40_000;
/** The least that the setting takes. */
const SHORT_RETENTION = "1m";
/** How long an order has priority: in some runs not at all, in some so shortly that it ends. */
const MAX_SHORT_PRIORITY_MS = 20_000;
/** Longer than the phase with faults, and short enough to end before the system must be quiescent. */
const LONG_PRIORITY_MS = 5 * 60 * 1000;
const LONG_BACKORDER_MS = 30 * 24 * 60 * 60 * 1000;

/** Everything in a run: broker, services, clients, and what has happened to them. */
export class World implements Environment {
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly prng: Prng;
  readonly faults: Faults;
  readonly broker: SimulatedBroker;
  readonly products: readonly services.StockedProduct[];
  readonly backordersExpire: boolean;
  readonly queuePolicy: QueuePolicy;
  readonly gateway: SimulatedService<services.GatewayParts>;
  readonly order: SimulatedService<services.OrderParts>;
  readonly inventory: SimulatedService<services.InventoryParts>;
  readonly notification: SimulatedService<services.NotificationParts>;
  readonly processes: readonly SimulatedService<unknown>[];
  /** Those with one process and one file. */
  readonly single: readonly Process<unknown>[];
  /** Those with several instances. */
  readonly replicated: readonly ReplicatedService<unknown>[];
  readonly workload: Workload;
  readonly operator: Operator;
  /** The poison that was put into topics. */
  readonly poison: OutgoingRecord[] = [];
  /** Topics that have lost superseded records. */
  readonly compacted = new Set<string>();
  /** Topics that have lost records that were handled: projections can no longer be rebuilt from them. */
  readonly incomplete = new Set<string>();
  /** Records that retention has removed, whether they were read or not. */
  readonly removed: IncomingRecord[] = [];
  /** Topics that have lost their last records, and are therefore read anew. */
  readonly truncated = new Set<string>();
  /** Claims are kept for so short a time that the inbox does not know many of the messages that are read anew. */
  readonly shortRetention: boolean;
  /** There is enough of every product for every order. */
  restocked = false;
  /** A copy of a file has taken a service over, whose owner did not answer in time: what that had handled since is lost. */
  isAbandoned = false;
  readonly violations: string[] = [];
  readonly violation = (text: string): void => {
    this.trace.note("VIOLATION", text);
    this.violations.push(text);
  };
  readonly committed: (service: string) => void;

  /** @param committed called after every COMMIT of a service */
  constructor(options: RunOptions, committed: (world: World, service: string) => void) {
    this.committed = (service) => committed(this, service);
    const prng = new Prng(`simulation ${options.seed}`);
    this.prng = prng.fork("world");
    this.trace = new Trace(this.scheduler, options.print);
    this.faults = new Faults(prng.fork("faults"), options.without ?? new Set());
    this.broker = new SimulatedBroker({ ...this, prng: prng.fork("broker") });
    this.broker.createTopics(storeTopics);
    this.products = drawProducts(prng.fork("products"), options.orders);
    this.shortRetention = prng.fork("retention").chance(0.4);
    const retention = this.shortRetention ? { INBOX_RETENTION: SHORT_RETENTION } : {};
    const { replicas = 1 } = options;
    if (replicas > 1) this.broker.createTopics(changeLogTopics);
    const create = <Parts>(definition: ServiceDefinition<Parts>): SimulatedService<Parts> => {
      const { name } = definition.composition;
      const withSettings = { ...definition, env: { ...definition.env, ...retention } };
      const environment = { ...this, prng: prng.fork(name) };
      const fault = options.mutant?.seed() ?? {};
      const isReplicated = replicas > 1 && replicableServices.some((service) => service === name);
      return isReplicated
        ? new ReplicatedService(withSettings, environment, fault, replicas)
        : new Process(withSettings, environment, fault);
    };
    const backorders = prng.fork("backorders");
    this.backordersExpire = backorders.chance(0.5);
    const backorderTtlMs = this.backordersExpire
      ? backorders.between(1_000, MAX_SHORT_BACKORDER_MS)
      : LONG_BACKORDER_MS;
    this.gateway = create(services.gateway);
    this.order = create(services.order(backorderTtlMs));
    const queue = prng.fork("queue");
    this.queuePolicy = {
      priorityMs: queue.pick([0, queue.between(1_000, MAX_SHORT_PRIORITY_MS), LONG_PRIORITY_MS]),
      priorityQuantity: queue.pick([10, 100, 1_000]),
      maxWaiting: queue.pick([2, 5, 1_000]),
    };
    this.inventory = create(services.inventory(this.products, this.queuePolicy));
    this.notification = create(services.notification);
    this.processes = [
      this.gateway,
      this.order,
      this.inventory,
      this.notification,
      ...services.others.map((definition) => create(definition)),
    ];
    this.single = this.processes.filter((process) => process instanceof Process);
    this.replicated = this.processes.filter((process) => process instanceof ReplicatedService);
    this.operator = new Operator(this, this.removed);
    const client = { environment: this, gateway: this.gateway, prng: prng.fork("workload") };
    this.workload = new Workload(options.orders, this.products, client);
  }

  abandon(): void {
    this.trace.note("simulation", "a copy takes over from an owner that does not answer");
    this.isAbandoned = true;
  }

  /** A partition loses its last records, which every service has read. */
  truncate(log: PartitionLog, records: number): void {
    this.broker.truncate(log, records);
    this.truncated.add(log.topic);
    this.incomplete.add(log.topic);
  }

  /** Retention removes what is before an offset. */
  trim(log: PartitionLog, start: number): void {
    this.removed.push(...this.broker.trim(log, start));
    this.incomplete.add(log.topic);
  }

  /** The offset up to which every service that reads a partition has handled it; undefined if one is not known to. */
  readUpTo(log: PartitionLog): number | undefined {
    const nexts = this.readersOf(log.topic).map((process) => process.nextIn(log));
    return nexts.includes(undefined) ? undefined : Math.min(...nexts.map((next) => next ?? 0));
  }

  readersOf(topic: string): SimulatedService<unknown>[] {
    return this.processes.filter(({ topics }) => topics.has(topic));
  }

  /** Whether every service that reads a topic has handled all of it. */
  isRead(topic: string): boolean {
    return this.processes.every((process) => process.hasRead(this.broker.partitionsOf(topic)));
  }

  /** Every order that the gateway has accepted, whether its client has received that or not. */
  orders(): OrderView[] {
    const { store } = partsOf(this.gateway);
    return this.gateway.disk.database.sql
      .query<{ id: string }, []>("SELECT order_id AS id FROM orders ORDER BY seq")
      .all()
      .flatMap(({ id }) => store.order(id) ?? []);
  }
}

/** The parts that a service is composed of. @throws if its process is down */
export function partsOf<Parts>({ name, running }: SimulatedService<Parts>): Parts {
  if (running === undefined) throw new Error(`${name} is down`);
  return running.parts;
}
