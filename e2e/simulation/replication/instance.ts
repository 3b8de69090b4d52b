import { join } from "node:path";
import type { Replica } from "@distributed-messaging/messaging";
import type { SimulatedBroker } from "../broker.ts";
import type { Prng } from "../prng.ts";
import { Incarnation, type Scheduler, type Trace } from "../scheduler.ts";

/** What the instances of a run share. */
interface Surroundings {
  /** Each has files of its own in it. */
  readonly directory: string;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly broker: SimulatedBroker;
  readonly prng: Prng;
  violation(text: string): void;
}

/** Mean time until a process that has ended is started again. */
const DOWN_MS = 500;

/** A machine with an instance of a replicated service: its file, and its process, which is started again whenever it has ended. */
export abstract class Instance {
  readonly name: string;
  readonly #world: Surroundings;
  #incarnation: Incarnation | undefined;
  #replica: Replica | undefined;
  #disks = 0;
  #cancelStart = () => {};

  constructor(name: string, world: Surroundings) {
    this.name = name;
    this.#world = world;
  }

  /** Its file. */
  get path(): string {
    return join(this.#world.directory, `${this.name}-${this.#disks}.sqlite`);
  }

  /** Where it would answer requests. */
  get address(): string {
    return `http://${this.name}`;
  }

  /** Its process; undefined while that is down. */
  protected get incarnation(): Incarnation | undefined {
    return this.#incarnation;
  }

  /** Of its process; undefined while that is down. */
  get replica(): Replica | undefined {
    return this.#replica;
  }

  start(): void {
    this.#cancelStart();
    if (this.#incarnation !== undefined) return;
    const incarnation = new Incarnation(this.name, (cause) => this.crash(cause));
    this.#incarnation = incarnation;
    this.#world.trace.note(this.name, "starts");
    this.#replica = this.follow(incarnation);
  }

  /** Opens its file, and does the work of the service once it leads. */
  protected abstract follow(incarnation: Incarnation): Replica;

  /** Ends the work of the service, if it leads, in good order. */
  protected abstract finish(): Promise<unknown>;

  /** Its process has ended. */
  protected abstract ended(): void;

  /** Closes its file, as the end of its process does that was not stopped. */
  protected close(replica: Replica): void {
    replica.close();
  }

  /** Ends the process and what it had not committed. */
  crash(cause: string, downMs = this.#world.prng.exponential(DOWN_MS)): void {
    if (this.#incarnation === undefined) return;
    this.#world.trace.note(this.name, `crashes: ${cause}`);
    this.#end();
    this.#startAfter(downMs);
  }

  /** Ends the process, and loses its disk. */
  destroy(downMs: number): void {
    this.crash("with its disk", downMs);
    this.#disks += 1;
  }

  /** The process does nothing for some time, and does not know of it. */
  pause(forMs: number): void {
    if (this.#incarnation === undefined) return;
    this.#world.trace.note(this.name, `is paused for ${Math.round(forMs)} ms`);
    this.#incarnation.pausedUntilMs = this.#world.scheduler.nowMs + forMs;
  }

  /** Stops the process in good order. */
  stop(downMs: number): void {
    const incarnation = this.#incarnation;
    const replica = this.#replica;
    if (incarnation === undefined || replica === undefined) return;
    this.#world.trace.note(this.name, "stops");
    const work = this.finish();
    const stopped = async () => {
      await work;
      await replica.stop();
      if (!incarnation.alive) return;
      this.#world.trace.note(this.name, "stopped");
      this.#replica = undefined;
      this.#end();
      this.#startAfter(downMs);
    };
    stopped().catch((error: unknown) => {
      if (incarnation.alive) this.#world.violation(`${this.name} does not stop: ${String(error)}`);
    });
  }

  end(): void {
    this.#cancelStart();
    this.#end();
  }

  #startAfter(downMs: number): void {
    this.#cancelStart = this.#world.scheduler.after(downMs, () => this.start());
  }

  #end(): void {
    if (this.#incarnation !== undefined) {
      this.#incarnation.alive = false;
      this.#world.broker.disconnect(this.#incarnation);
    }
    this.#incarnation = undefined;
    if (this.#replica !== undefined) this.close(this.#replica);
    this.#replica = undefined;
    this.ended();
  }
}
