import {
  defaultTimings,
  ManagedProcess,
  type ProcessLog,
  type ProcessSpec,
  type ProcessTimings,
  StartFailed,
} from "./process.ts";
import type { ProcessReport } from "./reports.ts";

/** How often a process that the system cannot start is tried again by bringBackAll(), and the delay. */
const BRING_BACK_ATTEMPTS = 5;
const BRING_BACK_DELAY_MS = 1_000;

/** Processes that are started together. `onReady` runs when all of them are ready, before the next stage starts. */
export interface Stage {
  readonly processes: readonly ProcessSpec[];
  readonly onReady?: () => Promise<void>;
}

export interface SupervisorOptions {
  readonly onLog?: (log: ProcessLog) => void;
  readonly timings?: Partial<ProcessTimings>;
}

/** The supervisor has no process of this name. */
export class UnknownProcess extends Error {
  override readonly name = "UnknownProcess";
}

/** Starts processes in stages, restarts those that crash, and stops them in reverse order. */
export class Supervisor {
  readonly #stages: readonly { processes: ManagedProcess[]; onReady: () => Promise<void> }[];
  readonly #byName: Map<string, ManagedProcess>;
  readonly #newProcess: (spec: ProcessSpec) => ManagedProcess;
  /** Counts the calls of stopAll(): a start in progress does not continue after one. */
  #stops = 0;

  constructor(stages: readonly Stage[], { onLog = () => {}, timings = {} }: SupervisorOptions = {}) {
    this.#newProcess = (spec) => new ManagedProcess(spec, { ...defaultTimings, ...timings }, onLog);
    this.#stages = stages.map(({ processes, onReady = async () => {} }) => ({
      processes: processes.map(this.#newProcess),
      onReady,
    }));
    const all = this.#stages.flatMap((stage) => stage.processes);
    this.#byName = new Map(all.map((process) => [process.spec.name, process]));
  }

  /**
   * Starts every process that does not run, stage by stage, and resolves when all are ready. If one does not start,
   * all are stopped.
   *
   * @throws StartFailed, or the error of a stage's `onReady`
   */
  async startAll(): Promise<void> {
    const stops = this.#stops;
    const assertNotStopped = () => {
      if (this.#stops !== stops) throw new StartFailed("stopped before every process was ready");
    };
    try {
      for (const { processes, onReady } of this.#stages) {
        await Promise.all(processes.map((process) => process.start()));
        assertNotStopped();
        await onReady();
        assertNotStopped();
      }
    } catch (error) {
      await this.stopAll();
      throw error;
    }
  }

  /**
   * Resumes what is paused and starts what is stopped; resolves when all of it is ready. Leaves down what somebody
   * stops meanwhile, and everything after a stopAll(). Never throws.
   */
  async bringBackAll(): Promise<void> {
    const stops = this.#stops;
    const bringBack = async (process: ManagedProcess) => {
      for (let attempt = 1; this.#stops === stops && attempt <= BRING_BACK_ATTEMPTS; attempt++) {
        if (process.state === "stopping") await process.stop();
        if (this.#stops !== stops) return;
        try {
          if (process.state === "paused") process.resume();
          return await process.start();
        } catch (error) {
          if (error instanceof StartFailed) return;
        }
        await Bun.sleep(BRING_BACK_DELAY_MS);
      }
    };
    await Promise.all([...this.#byName.values()].map(bringBack));
  }

  /** Stops every process, the last stage first. Never throws. */
  async stopAll(): Promise<void> {
    this.#stops += 1;
    for (const { processes } of this.#stages.toReversed()) {
      await Promise.all(processes.map((process) => process.stop()));
    }
  }

  /** SIGKILL to every process at once, also while stopAll() is in progress. They stay down. */
  async killAll(): Promise<void> {
    const all = [...this.#byName.values()];
    const stopped = all.map((process) => process.stop());
    await Promise.allSettled(all.map((process) => process.kill()));
    await Promise.all(stopped);
  }

  /** One more process of the last stage. It does not run yet. */
  protected addProcess(spec: ProcessSpec): void {
    const process = this.#newProcess(spec);
    this.#stages.at(-1)?.processes.push(process);
    this.#byName.set(spec.name, process);
  }

  /** @throws UnknownProcess */
  process(name: string): ManagedProcess {
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    throw new UnknownProcess(
      `there is no process ${name}; the processes are ${[...this.#byName.keys()].join(", ")}`,
    );
  }

  /** Every process, in the order in which they are started. */
  report(): ProcessReport[] {
    return [...this.#byName].map(([name, { state, pid = null, restarts }]) => ({
      name,
      state,
      pid,
      restarts,
    }));
  }
}
