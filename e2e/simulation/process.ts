import type { PartitionLog } from "./broker.ts";
import type { SeededFault } from "./mutants.ts";
import { Incarnation } from "./scheduler.ts";
import {
  Clock,
  DOWN_MS,
  type Environment,
  type Running,
  type ServiceDefinition,
  SimulatedService,
} from "./simulated-service.ts";
import { Disk } from "./storage.ts";

/** A process is paused for so long at a time, while another one takes its place. */
const HOLD_MS = 100;

/** A service with one process, and its database file. */
export class Process<Parts> extends SimulatedService<Parts> {
  /** The one that is the service. */
  disk: Disk;
  readonly #clock = new Clock();
  readonly clocks = [this.#clock];
  /** Whether the process that runs has owned the service. */
  owns = false;
  /** The process that runs or starts. */
  #incarnation: Incarnation | undefined;
  #running: Running<Parts> | undefined;
  #cancelStart = () => {};
  /** Processes whose place another one has taken while they were paused. */
  readonly #former = new Map<Incarnation, Disk>();
  /** Files that are not the service, whether a process runs on them or not. */
  readonly #left = new Set<Disk>();
  /** Second processes beside the one that runs. */
  readonly #others = new Map<Incarnation, Disk>();

  constructor(definition: ServiceDefinition<Parts>, environment: Environment, mutant: SeededFault) {
    super(definition, environment, mutant);
    this.disk = this.emptyDisk();
  }

  /** Its file as it is now, in another place. */
  copyDisk(): Disk {
    const copy = this.disk.copy();
    this.#left.add(copy);
    return copy;
  }

  get running(): Running<Parts> | undefined {
    const isPaused = (this.#incarnation?.pausedUntilMs ?? 0) > this.environment.scheduler.nowMs;
    return isPaused ? undefined : this.#running;
  }

  emptyDisk(): Disk {
    return Disk.create(this.name, this.definition.composition.migrations, this.mutant);
  }

  start(): void {
    this.#cancelStart();
    if (this.#incarnation !== undefined) return;
    this.environment.trace.note(this.name, "starts");
    const incarnation: Incarnation = new Incarnation(this.name, (cause) => this.#crashOf(incarnation, cause));
    this.#incarnation = incarnation;
    this.owns = false;
    const running = this.#run(incarnation, this.disk, () => {
      if (incarnation === this.#incarnation) this.owns = true;
    });
    if (incarnation === this.#incarnation) this.#running = running;
  }

  #run(incarnation: Incarnation, disk: Disk, owned: () => void): Running<Parts> | undefined {
    return this.run({
      ...{ incarnation, disk, owned, runtime: this.runtime(incarnation, this.#clock) },
      committed: () => {
        if (incarnation === this.#incarnation) this.environment.committed(this.name);
      },
    });
  }

  crash(cause: string, downMs = this.environment.prng.exponential(DOWN_MS)): void {
    if (this.#incarnation === undefined) return;
    this.crashes += 1;
    this.environment.trace.note(this.name, `crashes: ${cause}`);
    this.#end(this.#incarnation);
    this.disk.rollBack();
    this.#startAfter(downMs);
  }

  #crashOf(incarnation: Incarnation, cause: string): void {
    const disk = this.#others.get(incarnation) ?? this.#former.get(incarnation);
    if (incarnation === this.#incarnation) this.crash(cause);
    else if (disk !== undefined) this.#endOther(incarnation, disk);
  }

  pause(forMs: number): void {
    const { scheduler, trace } = this.environment;
    if (this.#incarnation === undefined || this.#running?.stopping === true) return;
    trace.note(this.name, `is paused for ${Math.round(forMs)} ms`);
    this.#incarnation.pausedUntilMs = scheduler.nowMs + forMs;
    this.expireSessionsOf(this.#incarnation);
    this.endOthers();
  }

  /**
   * The process is paused, and another one takes its place, on a copy of its file in another place. The paused one is woken
   * once the other owns the service.
   *
   * @param wokenAfterMs from then on
   */
  replace(wokenAfterMs: number): void {
    const { scheduler, trace } = this.environment;
    const paused = this.#incarnation;
    if (paused === undefined) return;
    trace.note(this.name, "is paused, and its file goes on elsewhere");
    this.#forget();
    this.#former.set(paused, this.disk);
    this.expireSessionsOf(paused);
    this.disk = this.disk.copy();
    const hold = (untilMs: number) => {
      paused.pausedUntilMs = untilMs;
      if (untilMs <= scheduler.nowMs) return;
      scheduler.after(HOLD_MS / 2, () => {
        if (!this.owns || this.#incarnation === paused) hold(scheduler.nowMs + HOLD_MS);
        else {
          trace.note(this.name, "the paused process is woken");
          paused.pausedUntilMs = scheduler.nowMs + wokenAfterMs;
        }
      });
    };
    hold(scheduler.nowMs + HOLD_MS);
    this.start();
  }

  /** The process ends, and its file goes on in another place. @returns what is left in the former one */
  move(downMs: number): Disk {
    const left = this.disk;
    this.crash("its file goes on elsewhere", downMs);
    this.#left.add(left);
    this.disk = left.copy();
    return left;
  }

  /**
   * Starts a second process of the service, on another file. It ends when the first one stops, or is paused: nobody would
   * answer it, and its file may be an old one.
   *
   * @param owned called if it owns the service
   */
  startOther(disk: Disk, owned: () => void): void {
    const name = `${this.name} (second)`;
    const incarnation: Incarnation = new Incarnation(name, (cause) => this.#crashOf(incarnation, cause));
    this.#others.set(incarnation, disk);
    this.environment.trace.note(name, "starts");
    this.#run(incarnation, disk, owned);
  }

  override endOthers(): void {
    for (const [incarnation, disk] of this.#others) this.#endOther(incarnation, disk);
  }

  #endOther(incarnation: Incarnation, disk: Disk): void {
    if (!incarnation.alive) return;
    this.environment.trace.note(incarnation.process, "ends");
    incarnation.alive = false;
    this.environment.broker.disconnect(incarnation);
    disk.rollBack();
  }

  restart(downMs: number): void {
    const { running } = this;
    if (running === undefined || running.stopping) return;
    const { trace, violation } = this.environment;
    const { incarnation } = running;
    running.stopping = true;
    trace.note(this.name, "stopping");
    // It says that it has ended: a copy would take its place at once.
    this.endOthers();
    const cancelLimit = this.limitStop(this.name, incarnation);
    const stop = async () => {
      await running.rebuild?.stop();
      await running.messaging.stop();
      cancelLimit();
      if (!incarnation.alive) return;
      trace.note(this.name, "stopped");
      this.#end(incarnation);
      this.#startAfter(downMs);
    };
    stop().catch((error: unknown) => violation(`${this.name} failed to stop: ${String(error)}`));
  }

  nextIn(log: PartitionLog): number | undefined {
    return this.disk.nextIn(log);
  }

  protected hasHandled(log: PartitionLog): boolean {
    return this.disk.hasHandled(log);
  }

  close(): void {
    if (this.#incarnation !== undefined) this.#end(this.#incarnation);
    this.endOthers();
    for (const [incarnation, disk] of this.#former) this.#endOther(incarnation, disk);
    const disks = [this.disk, ...this.#left, ...this.#former.values(), ...this.#others.values()];
    for (const disk of new Set(disks)) disk.close();
  }

  #end(incarnation: Incarnation): void {
    incarnation.alive = false;
    this.#forget();
    this.environment.broker.disconnect(incarnation);
  }

  #forget(): void {
    this.#incarnation = undefined;
    this.#running = undefined;
    this.owns = false;
    this.endOthers();
  }

  #startAfter(downMs: number): void {
    this.#cancelStart();
    this.#cancelStart = this.environment.scheduler.after(downMs, () => this.start());
  }
}
