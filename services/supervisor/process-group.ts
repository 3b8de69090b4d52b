import { ManagedProcess } from "./process.ts";
import {
  defaultTimings,
  type ProcessLog,
  type ProcessSpec,
  type ProcessState,
  type ProcessTimings,
  StartFailed,
  UnknownProcess,
} from "./process-spec.ts";

/** Processes that are started together; `onReady` runs once they are all ready, before the next stage begins. */
export interface Stage {
  readonly processes: readonly ProcessSpec[];
  readonly onReady?: () => Promise<void>;
}

export interface ProcessStatus {
  readonly name: string;
  readonly state: ProcessState;
  /** `null` while there is none. */
  readonly pid: number | null;
  readonly restarts: number;
}

/** Processes that are started in stages and stopped in reverse. It holds nothing outside itself. */
export class ProcessGroup {
  readonly #stages: readonly { processes: ManagedProcess[]; onReady: () => Promise<void> }[];
  readonly #byName: ReadonlyMap<string, ManagedProcess>;
  /** Counts the calls of stopAll(): a start that was under way goes no further. */
  #stops = 0;

  constructor(options: {
    stages: readonly Stage[];
    onLog?: (log: ProcessLog) => void;
    timings?: Partial<ProcessTimings>;
  }) {
    const timings = { ...defaultTimings, ...options.timings };
    const onLog = options.onLog ?? (() => {});
    this.#stages = options.stages.map(({ processes, onReady }) => ({
      processes: processes.map((spec) => new ManagedProcess(spec, timings, onLog)),
      onReady: onReady ?? (async () => {}),
    }));
    const all = this.#stages.flatMap((stage) => stage.processes);
    this.#byName = new Map(all.map((process) => [process.spec.name, process]));
  }

  /**
   * Starts every process, stage by stage, and resolves once all are ready. If one cannot be started the others
   * are stopped again.
   *
   * @throws StartFailed, or what a stage's `onReady` throws
   */
  async startAll(): Promise<void> {
    const stops = this.#stops;
    const goOn = () => {
      if (this.#stops !== stops) throw new StartFailed("stopped before everything was ready");
    };
    try {
      for (const { processes, onReady } of this.#stages) {
        await Promise.all(processes.map((process) => process.start()));
        goOn();
        await onReady();
        goOn();
      }
    } catch (error) {
      await this.stopAll();
      throw error;
    }
  }

  /** Stops every process, the last stage first. Each gets its deadline, then SIGKILL. Never throws. */
  async stopAll(): Promise<void> {
    this.#stops += 1;
    for (const { processes } of this.#stages.toReversed()) {
      await Promise.all(processes.map((process) => process.stop()));
    }
  }

  /** SIGKILL to every process that still runs, at once, whatever stopAll() is doing. */
  async killAll(): Promise<void> {
    const stopping = [...this.#byName.values()].map((process) => process.stop());
    await Promise.allSettled([...this.#byName.values()].map((process) => process.kill()));
    await Promise.all(stopping);
  }

  /** Every process, in the order in which they are started. */
  processes(): ProcessStatus[] {
    return [...this.#byName.values()].map((process) => ({
      name: process.spec.name,
      state: process.state,
      pid: process.pid ?? null,
      restarts: process.restarts,
    }));
  }

  /** @throws UnknownProcess */
  process(name: string): ManagedProcess {
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    throw new UnknownProcess(
      `no process is called ${name}; there are ${[...this.#byName.keys()].join(", ")}`,
    );
  }
}
