import { drainMicrotasks } from "bun:jsc";
import { messageTopics } from "@distributed-messaging/services/registry";
import { injectRecurringFaults } from "./fault-injection.ts";
import { checkAtCommit, checkAtRest } from "./invariants.ts";
import { ReplicatedService } from "./replicated-service.ts";
import type { Report } from "./report.ts";
import { Crashed } from "./scheduler.ts";
import { type RunOptions, World } from "./world.ts";

/** Faults go on for so long after the last order was placed. */
const FAULTS_AFTER_LAST_ORDER_MS = 5_000;
/** Without faults the system becomes quiescent within this time. */
const QUIESCENCE_TIMEOUT_MS = 15 * 60_000;
/** The kit deletes old claims every minute, from a minute after its partitions were assigned on. */
const PRUNED_AFTER_MS = 150_000;
const POLL_EVERY_MS = 500;
/** At so many polls in a row nothing must be pending. */
const QUIESCENT_POLLS = 4;
/** Five times the events of a long run. */
const MAX_STEPS = 50_000;
const MAX_STEPS_PER_ORDER = 1_000;
/** Ahead of what any clock has shown during the faults, so that every timer that was set is due. */
const CLOCK_OFFSET_AFTER_FAULTS_MS = 3 * 24 * 60 * 60 * 1000;
const TAIL_LINES = 60;

/** Runs the whole store in virtual time. Equal options give equal reports, on every machine. */
export async function simulate(options: RunOptions): Promise<Report> {
  const { seed, orders, replicas = 1, without = new Set(), mutant } = options;
  const world = new World(options, checkAtCommit);
  const onRejection = (error: unknown) => world.violation(`unhandled rejection: ${withStack(error)}`);
  process.on("unhandledRejection", onRejection);
  new Simulation(world, MAX_STEPS + MAX_STEPS_PER_ORDER * orders).run();
  // The engine reports unhandled rejections from its own event loop only.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", onRejection);
  return {
    seed,
    orders,
    replicas,
    without: [...without],
    ...(mutant === undefined ? {} : { mutant: mutant.name }),
    violations: world.violations,
    isAbandoned: world.isAbandoned,
    digest: world.trace.digest,
    accepted: world.workload.accepted.length,
    crashes: world.processes.reduce((sum, { crashes }) => sum + crashes, 0),
    leaders: world.replicated.reduce((sum, { leaders }) => sum + leaders, 0),
    steps: world.scheduler.steps,
    virtualMs: world.scheduler.nowMs,
    faults: [...world.faults.counts],
    tail: world.violations.length > 0 ? world.trace.tail(TAIL_LINES) : [],
  };
}

/** The phases of a run: faults; then quiescence with stock as it is; then quiescence with enough stock. */
class Simulation {
  readonly #world: World;
  readonly #maxSteps: number;
  #finished = false;
  /** Whether all machines of replicated services were lost after everything else had been checked. */
  #areLost = false;

  constructor(world: World, maxSteps: number) {
    this.#world = world;
    this.#maxSteps = maxSteps;
  }

  /** Runs to the end or to the first violation. */
  run(): void {
    const { processes, faults, scheduler, workload, violations } = this.#world;
    try {
      for (const process of processes) process.start();
      faults.enabled = true;
      injectRecurringFaults(this.#world);
      scheduler.after(workload.durationMs + FAULTS_AFTER_LAST_ORDER_MS, () => this.#endFaults());
      while (!this.#finished && violations.length === 0 && !this.#world.isAbandoned) this.#step();
    } finally {
      drainMicrotasks();
      for (const process of processes) process.close();
    }
  }

  #step(): void {
    const { scheduler, violation } = this.#world;
    try {
      if (!scheduler.step()) violation("deadlock: no event is scheduled");
      if (scheduler.steps > this.#maxSteps) violation(`livelock: more than ${this.#maxSteps} events`);
    } catch (error) {
      if (error instanceof Crashed) return;
      violation(`uncaught in ${scheduler.current?.process ?? "the simulation"}: ${withStack(error)}`);
    }
  }

  #endFaults(): void {
    const { faults, trace, broker, prng, processes } = this.#world;
    faults.enabled = false;
    trace.note("simulation", "faults end");
    if (!broker.up) broker.startUp();
    const restart = prng.chance(0.5);
    for (const process of processes) {
      process.endOthers();
      process.instrumented.repair();
      for (const clock of process.clocks) clock.offsetMs = CLOCK_OFFSET_AFTER_FAULTS_MS;
      if (restart) process.restart(0);
      if (process.running === undefined || process instanceof ReplicatedService) process.start();
    }
    this.#awaitQuiescence();
  }

  #awaitQuiescence(): void {
    const { scheduler, processes, operator, violation } = this.#world;
    const deadlineMs = scheduler.nowMs + QUIESCENCE_TIMEOUT_MS;
    let quiescentPolls = 0;
    const poll = () => {
      for (const process of processes) {
        operator.resolveFirst(process);
        operator.retryOutgoing(process);
        operator.retryEffects(process);
        operator.resolveStops(process);
        operator.restartRefused(process);
      }
      const pending = findPending(this.#world);
      quiescentPolls = pending === undefined ? quiescentPolls + 1 : 0;
      if (quiescentPolls === QUIESCENT_POLLS) this.#check();
      else if (pending === undefined || scheduler.nowMs <= deadlineMs) scheduler.after(POLL_EVERY_MS, poll);
      else {
        violation(`not quiescent: ${pending}`);
        // The invariants that are broken show the cause.
        if (processes.every(({ running }) => running !== undefined)) checkAtRest(this.#world);
      }
    };
    scheduler.after(POLL_EVERY_MS, poll);
  }

  #check(): void {
    const { scheduler, faults, replicated } = this.#world;
    checkAtRest(this.#world);
    if (this.#world.restocked && replicated.length > 0 && !this.#areLost) {
      this.#loseMachines();
      return;
    }
    this.#finished = this.#world.restocked;
    if (this.#finished) return;
    this.#world.restocked = true;
    if (!faults.injects("logTruncated")) this.#restock();
    else {
      // Time enough to delete old claims.
      scheduler.after(PRUNED_AFTER_MS, () => {
        this.#truncateAll();
        this.#restock();
      });
    }
  }

  #restock(): void {
    const { trace, workload, processes, operator, incomplete } = this.#world;
    trace.note("simulation", "restocks every product");
    workload.restockAll();
    for (const process of processes) operator.rebuild(process, incomplete.size === 0);
    this.#awaitQuiescence();
  }

  /** What is in the change logs is all that the services know. */
  #loseMachines(): void {
    this.#areLost = true;
    for (const service of this.#world.replicated) service.destroyAll(0);
    this.#awaitQuiescence();
  }

  /** Every log loses its last record, which everybody has read. */
  #truncateAll(): void {
    const { broker } = this.#world;
    for (const { name } of messageTopics) {
      for (const log of broker.partitionsOf(name)) if (log.records.length > 0) this.#world.truncate(log, 1);
    }
  }
}

/** What keeps the system from being quiescent; undefined if nothing does. */
function findPending(world: World): string | undefined {
  const { workload, broker, processes, backordersExpire } = world;
  if (workload.unfinished > 0) return `${workload.unfinished} client operations are not finished`;
  if (broker.inFlight > 0) return `${broker.inFlight} requests to the broker are in flight`;
  for (const process of processes) {
    const { running, name } = process;
    if (running === undefined || running.stopping) return `${name} is down`;
    const { disk } = process;
    const phase = running.rebuild?.status().phase;
    if (phase === "reading" || phase === "checking") return `${name} rebuilds its projections`;
    const stops = disk.count("partition_stops");
    if (stops > 0) return `${stops} partitions of ${name} are stopped`;
    const letters = disk.count("dead_letters");
    if (letters > 0) return `${letters} dead letters at ${name}`;
    // An order that may wait for a month does.
    const timers = disk.count(backordersExpire ? "timers" : "timers WHERE name <> 'backorder-expiry'");
    if (timers > 0) return `${timers} timers at ${name} have not fired`;
    const effects = disk.count("durable_effects");
    if (effects > 0) return `${effects} effects at ${name}`;
    const depth = disk.count("outbox");
    if (depth > 0) return `${depth} messages in the outbox of ${name}`;
    const parked = disk.count("parked_outgoing");
    if (parked > 0) return `${parked} outgoing messages of ${name} are parked`;
    for (const topic of messageTopics) {
      if (!process.hasRead(broker.partitionsOf(topic.name))) return `${name} has not read ${topic.name}`;
    }
  }
  return undefined;
}

function withStack(error: unknown): string {
  return (error instanceof Error && error.stack) || String(error);
}
