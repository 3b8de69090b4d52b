import { drainMicrotasks } from "bun:jsc";
import type { OutgoingRecord } from "@distributed-messaging/messaging";
import { storeTopics } from "@distributed-messaging/services/registry";
import { BrokerLog } from "./broker-log.ts";
import { unleash } from "./chaos.ts";
import { type FaultName, Faults } from "./faults.ts";
import { Crashed, Incarnation } from "./incarnation.ts";
import { checkAtCommit, checkAtRest } from "./invariants.ts";
import type { Mutation } from "./mutation.ts";
import { Network } from "./network.ts";
import { Operator } from "./operator.ts";
import { Prng } from "./prng.ts";
import { Process, type ServiceDefinition, type Surroundings } from "./process.ts";
import { unfinished } from "./quiescence.ts";
import { Scheduler } from "./scheduler.ts";
import * as services from "./services.ts";
import { Trace } from "./trace.ts";
import { drawProducts, Workload } from "./workload.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly orders: number;
  /** Faults that never strike in this run. */
  readonly without?: ReadonlySet<FaultName>;
  /** A kit with one protection less. */
  readonly mutation?: Mutation;
  /** Takes every line of the trace. */
  readonly tell?: (line: string) => void;
}

/** How long things go on going wrong after the last order was placed. */
const STORM_AFTER_MS = 5_000;
/** How long everything may take to come to rest once nothing goes wrong any more. */
const REST_DEADLINE_MS = 15 * 60_000;
const LOOK_EVERY_MS = 500;
/** Ten times what it takes. */
const MOST_STEPS = 20_000;
const MOST_STEPS_AN_ORDER = 1_000;

const CLOCKS_AFTER_MS = 3 * 24 * 60 * 60 * 1000;

/** For how long orders wait: in half of the runs so short that some expire, in the others until they are served. */
const SHORT_WAIT_MS = 40_000;
const LONG_WAIT_MS = 30 * 24 * 60 * 60 * 1000;

/** The whole store, the broker, the customers and the weather. */
export class World implements Surroundings {
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly prng: Prng;
  readonly faults: Faults;
  readonly network: Network;
  readonly products: readonly services.StockedProduct[];
  /** Whether orders wait until they are served, for as long as that takes. */
  readonly patient: boolean;
  readonly gateway: Process<services.GatewayParts>;
  readonly order: Process<services.OrderParts>;
  readonly inventory: Process<services.InventoryParts>;
  readonly notification: Process<services.NotificationParts>;
  readonly processes: readonly Process<unknown>[];
  readonly workload: Workload;
  readonly operator: Operator;
  /** What was put into the topics that does not belong there. */
  readonly poisons: OutgoingRecord[] = [];
  /** Topics that have lost records that were superseded, and those that were made anew. */
  readonly compacted = new Set<string>();
  readonly recreated = new Set<string>();
  readonly violations: string[] = [];
  readonly violation = (text: string): void => {
    this.trace.note("VIOLATION", text);
    this.violations.push(text);
  };
  readonly committed = (service: string): void => checkAtCommit(this, service);
  readonly #mostSteps: number;
  /** There is so much of everything that nobody has to wait. */
  plenty = false;
  #over = false;

  constructor(options: WorldOptions) {
    this.#mostSteps = MOST_STEPS + MOST_STEPS_AN_ORDER * options.orders;
    const prng = new Prng(`simulation ${options.seed}`);
    this.prng = prng.fork("chaos");
    this.trace = new Trace(() => this.scheduler.nowMs, options.tell);
    this.faults = new Faults(prng.fork("faults"), options.without ?? new Set());
    this.network = new Network({
      log: new BrokerLog(storeTopics),
      scheduler: this.scheduler,
      faults: this.faults,
      prng: prng.fork("network"),
      trace: this.trace,
    });
    this.products = drawProducts(prng.fork("products"), options.orders);
    const make = <Parts>(definition: ServiceDefinition<Parts>) =>
      new Process(
        definition,
        { ...this, prng: prng.fork(definition.composition.name) },
        options.mutation?.create(definition.composition.name) ?? {},
      );
    this.gateway = make(services.gateway);
    const ttl = prng.fork("backorder time to live");
    this.patient = ttl.chance(0.5);
    this.order = make(services.order(this.patient ? LONG_WAIT_MS : ttl.between(1_000, SHORT_WAIT_MS)));
    this.inventory = make(services.inventory(this.products));
    this.notification = make(services.notification);
    this.processes = [
      this.gateway,
      this.order,
      this.inventory,
      this.notification,
      ...services.others.map((definition) => make(definition)),
    ];
    this.operator = new Operator(this);
    const town = { surroundings: this, gateway: this.gateway };
    this.workload = new Workload(options.orders, this.products, town, prng.fork("workload"));
  }

  /** Runs to the end, or to the first violation. */
  run(): void {
    try {
      for (const service of this.processes) service.start();
      this.faults.enabled = true;
      unleash(this);
      this.scheduler.after(this.workload.lastsMs + STORM_AFTER_MS, () => this.#heal());
      while (!this.#over && this.violations.length === 0) this.#step();
    } finally {
      drainMicrotasks();
      for (const service of this.processes) service.close();
    }
  }

  /** Whether every service that reads a topic has handled all of it. */
  everybodyHasRead(topic: string): boolean {
    return this.processes.every((service) => service.hasRead(this.network.log.partitionsOf(topic)));
  }

  #step(): void {
    try {
      if (!this.scheduler.step()) this.violation("nothing will ever happen again");
      if (this.scheduler.steps > this.#mostSteps) this.violation("something goes round in circles");
    } catch (error) {
      if (error instanceof Crashed) return;
      const { current } = this.scheduler;
      const where = current instanceof Incarnation ? current.process : "the simulation";
      this.violation(`uncaught in ${where}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }

  #heal(): void {
    this.faults.enabled = false;
    this.trace.note("world", "nothing goes wrong any more");
    if (!this.network.up) this.network.comeBack();
    const restart = this.prng.chance(0.5);
    for (const service of this.processes) {
      service.handlerWatch.mend();
      // Ahead of whatever they showed in the storm: every deadline that was set then has come.
      service.clock.offsetMs = CLOCKS_AFTER_MS;
      if (restart) service.restart(0);
      if (service.running === undefined) service.start();
    }
    this.#watch(this.scheduler.nowMs + REST_DEADLINE_MS, 0);
  }

  /** Looks now and then whether all is at rest, and has been for a while. */
  #watch(deadlineMs: number, restingFor: number): void {
    this.scheduler.after(LOOK_EVERY_MS, () => {
      for (const service of this.processes) this.operator.tidyUp(service);
      const left = unfinished(this);
      if (left === undefined && restingFor > 2) this.#rest();
      else if (left !== undefined && this.scheduler.nowMs > deadlineMs) {
        this.violation(`no rest: ${left}`);
        // What is wrong then says why.
        if (this.processes.every(({ running }) => running !== undefined)) checkAtRest(this);
      } else this.#watch(deadlineMs, left === undefined ? restingFor + 1 : 0);
    });
  }

  /** Once with what there is, and once more when there is enough for everybody. */
  #rest(): void {
    checkAtRest(this);
    if (this.plenty) this.#over = true;
    else {
      this.plenty = true;
      this.trace.note("world", "there is plenty of everything");
      this.workload.bringPlenty();
      for (const service of this.processes) this.operator.rebuild(service, this.recreated.size === 0);
      this.#watch(this.scheduler.nowMs + REST_DEADLINE_MS, 0);
    }
  }
}
