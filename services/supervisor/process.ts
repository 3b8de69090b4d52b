import { errorText } from "@distributed-messaging/messaging";
import { type Child, spawnChild } from "./child.ts";
import {
  type ProcessLog,
  type ProcessSpec,
  type ProcessState,
  type ProcessTimings,
  StartFailed,
  WrongState,
} from "./process-spec.ts";
import { probeUntilReady } from "./readiness.ts";

/**
 * One process that is kept running. Once it has been ready, it is started again whenever it ends without having
 * been told to; a process that has never been ready is not, since its first error is the one to be seen.
 */
export class ManagedProcess {
  #state: ProcessState = "stopped";
  #stateBeforePause: ProcessState = "starting";
  #child: Child | undefined;
  #restarts = 0;
  #everReady = false;
  #readyAt: number | undefined;
  #crashesInARow = 0;
  #restartTimer: Timer | undefined;
  #lastLine = "";
  readonly #waiting = new Set<PromiseWithResolvers<void>>();

  constructor(
    readonly spec: ProcessSpec,
    private readonly timings: ProcessTimings,
    private readonly onLog: (log: ProcessLog) => void,
  ) {}

  get state(): ProcessState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** How often it was started again after it had ended by itself. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Starts it, if it does not run, and resolves once it is ready.
   *
   * @throws StartFailed when it has never been ready and ends, or is not ready in time
   * @throws WrongState while it is stopping
   */
  async start(): Promise<void> {
    if (this.#state === "stopping") throw new WrongState(`${this.spec.name} is stopping`);
    clearTimeout(this.#restartTimer);
    if (this.#child === undefined) this.#spawn();
    await this.ready();
  }

  /** Resolves once it is ready. @throws StartFailed when it is stopped instead, WrongState when it is already */
  async ready(): Promise<void> {
    if (this.#state === "ready") return;
    if (this.#state === "stopped") throw new WrongState(`${this.spec.name} is stopped`);
    const waiting = Promise.withResolvers<void>();
    this.#waiting.add(waiting);
    await waiting.promise;
  }

  /** SIGTERM, and SIGKILL when the deadline has passed. Resolves when it has ended; it stays so until start(). */
  async stop(): Promise<void> {
    clearTimeout(this.#restartTimer);
    const child = this.#child;
    if (child === undefined) {
      this.#settle("stopped", `${this.spec.name} was stopped`);
      return;
    }
    if (this.#state !== "stopping") {
      this.#state = "stopping";
      child.signal("SIGTERM");
      child.resume();
    }
    const deadline = setTimeout(() => {
      this.#say(`has not stopped after ${this.timings.stopTimeoutMs} ms, killing it`);
      child.signal("SIGKILL");
    }, this.timings.stopTimeoutMs);
    await child.gone;
    clearTimeout(deadline);
  }

  /** SIGKILL. Resolves when it has ended; unless it was stopping, it is started again like after any crash. */
  async kill(): Promise<void> {
    const child = this.#running();
    // Somebody asked for it: that says nothing about whether the process would go on by itself.
    this.#crashesInARow = 0;
    child.signal("SIGKILL");
    await child.gone;
  }

  /** SIGSTOP: it stays there, with its connections, and does nothing. @throws WrongState */
  pause(): void {
    const child = this.#running();
    if (this.#state !== "starting" && this.#state !== "ready") {
      throw new WrongState(`${this.spec.name} is ${this.#state}`);
    }
    this.#stateBeforePause = this.#state;
    this.#state = "paused";
    child.pause();
  }

  /** SIGCONT, after pause(). @throws WrongState when it is not paused */
  resume(): void {
    const child = this.#running();
    if (this.#state !== "paused") throw new WrongState(`${this.spec.name} is not paused`);
    child.resume();
    if (this.#stateBeforePause === "ready") this.#settle("ready");
    else this.#state = this.#stateBeforePause;
  }

  #running(): Child {
    if (this.#child === undefined) throw new WrongState(`${this.spec.name} is not running`);
    return this.#child;
  }

  #spawn(): void {
    const { name, ready } = this.spec;
    this.#lastLine = "";
    this.#readyAt = undefined;
    const child = spawnChild(this.spec, (source, line) => {
      if (line.trim() !== "") this.#lastLine = line;
      this.onLog({ process: name, source, line });
      if (ready.kind === "line" && ready.pattern.test(line)) this.#becomeReady(child);
    });
    this.#child = child;
    this.#state = "starting";
    const ended = new AbortController();
    // The first of all who wait for this end: whoever else does sees the state that follows from it.
    void child.gone.then((how) => {
      ended.abort();
      if (this.#child === child) this.#onEnd(how);
    });
    if (!this.#everReady) this.#limitFirstStart(child, ended.signal);
    if (ready.kind === "line") return;
    void probeUntilReady(ready, ended.signal).then((is) => is && this.#becomeReady(child));
  }

  #limitFirstStart(child: Child, ended: AbortSignal): void {
    const timer = setTimeout(() => {
      if (this.#everReady || this.#state === "stopping") return;
      this.#lastLine = `not ready after ${this.timings.readyTimeoutMs} ms; its last line: ${this.#lastLine}`;
      child.signal("SIGKILL");
    }, this.timings.readyTimeoutMs);
    ended.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  #becomeReady(child: Child): void {
    if (this.#child !== child) return;
    this.#everReady = true;
    this.#readyAt ??= performance.now();
    if (this.#state === "starting") this.#settle("ready");
    else if (this.#state === "paused") this.#stateBeforePause = "ready";
  }

  #onEnd(how: string): void {
    this.#child = undefined;
    const because = this.#lastLine === "" ? "" : `: ${this.#lastLine}`;
    if (this.#state === "stopping") this.#settle("stopped", `${this.spec.name} was stopped`);
    else if (this.#everReady) this.#restartLater(how);
    else this.#settle("stopped", `${this.spec.name} did not start (${how})${because}`);
  }

  #restartLater(how: string): void {
    const { backoffMs, maxBackoffMs, backoffResetMs } = this.timings;
    const upMs = this.#readyAt === undefined ? 0 : performance.now() - this.#readyAt;
    if (upMs >= backoffResetMs) this.#crashesInARow = 0;
    const delayMs = Math.min(maxBackoffMs, backoffMs * 2 ** this.#crashesInARow);
    this.#crashesInARow += 1;
    this.#state = "backing-off";
    this.#say(`ended (${how}), starting it again in ${delayMs} ms`);
    this.#restartTimer = setTimeout(() => {
      this.#restarts += 1;
      try {
        this.#spawn();
      } catch (error) {
        // The system could not start a process just now: it may later.
        this.#restartLater(errorText(error));
      }
    }, delayMs);
  }

  /** Goes to a state in which nobody needs to wait any longer. */
  #settle(state: "ready" | "stopped", reason?: string): void {
    this.#state = state;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { resolve, reject } of waiting) {
      if (reason === undefined) resolve();
      else reject(new StartFailed(reason));
    }
  }

  #say(line: string): void {
    this.onLog({ process: this.spec.name, source: "supervisor", line });
  }
}
