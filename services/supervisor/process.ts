import { rmSync } from "node:fs";
import { connect } from "node:net";
import { errorText } from "@distributed-messaging/messaging";
import { type Child, spawnChild } from "./child.ts";
import type { LogLine, ProcessState } from "./reports.ts";

export interface ProcessSpec {
  readonly name: string;
  /** Path of the TypeScript file that Bun runs. */
  readonly entry: string;
  /** The whole environment of the process: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly ready: Readiness;
  /** Its database, where it is one of several instances: its machine may be lost. */
  readonly file?: string;
}

/** How to find out whether a process is ready. */
type Readiness =
  /** It answers 200 at this URL. */
  | { readonly kind: "http"; readonly url: string }
  /** It accepts connections. */
  | { readonly kind: "port"; readonly host: string; readonly port: number };

/** A line that a process printed, or that the supervisor adds about it. */
export interface ProcessLog {
  readonly process: string;
  readonly source: LogLine["source"];
  readonly line: string;
}

export interface ProcessTimings {
  /** How long the first start may take until the process is ready. */
  readonly readyTimeoutMs: number;
  /** From SIGTERM to SIGKILL: longer than the services' own deadline. */
  readonly stopTimeoutMs: number;
  /** The delay before the first restart; it doubles with every crash in a row, up to the maximum. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** After it was ready for this long, the crashes of a process are counted from zero again. */
  readonly backoffResetMs: number;
}

export const defaultTimings: ProcessTimings = {
  readyTimeoutMs: 30_000,
  stopTimeoutMs: 12_000,
  backoffMs: 200,
  maxBackoffMs: 10_000,
  backoffResetMs: 10_000,
};

/** How many of its last lines are kept of a process, over all restarts, and how many characters of each. */
const KEPT_LINES = 200;
const KEPT_CHARACTERS = 1_000;

const PROBE_INTERVAL_MS = 25;
const PROBE_TIMEOUT_MS = 2_000;

/** The state of the process does not allow what was requested. */
export class WrongState extends Error {
  override readonly name = "WrongState";
}

/** A process ended, was stopped, or took too long, before it was ready. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";
}

/**
 * One supervised process. After it has been ready once, it is restarted whenever it ends without having been
 * stopped. A process that has never been ready is not restarted, so that its first error is seen.
 */
export class ManagedProcess {
  #state: ProcessState = "stopped";
  #stateBeforePause: ProcessState = "starting";
  #child: Child | undefined;
  #restarts = 0;
  #wasReady = false;
  #readyAt: number | undefined;
  #crashesInARow = 0;
  #restartTimer: Timer | undefined;
  #lastLine = "";
  readonly #lines: LogLine[] = [];
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

  /** How often the process was restarted after it had ended by itself or by kill(). */
  get restarts(): number {
    return this.#restarts;
  }

  /** The last lines of the process and about it, oldest first. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  /**
   * Starts the process unless it runs, and resolves when it is ready.
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

  /** Resolves when the process is ready. @throws StartFailed when it is stopped instead; WrongState when it is stopped already */
  async ready(): Promise<void> {
    if (this.#state === "ready") return;
    if (this.#state === "stopped") throw new WrongState(`${this.spec.name} is stopped`);
    const waiting = Promise.withResolvers<void>();
    this.#waiting.add(waiting);
    await waiting.promise;
  }

  /** SIGTERM, then SIGKILL after the stop timeout. Resolves when the process has ended; it stays down until start(). */
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
      this.#log(`still runs ${this.timings.stopTimeoutMs} ms after SIGTERM; sending SIGKILL`);
      child.signal("SIGKILL");
    }, this.timings.stopTimeoutMs);
    await child.ended;
    clearTimeout(deadline);
  }

  /** SIGKILL. Resolves when the process has ended. It is restarted, unless it was stopping. @throws WrongState */
  async kill(): Promise<void> {
    const child = this.#running();
    // A requested kill says nothing about the stability of the process.
    this.#crashesInARow = 0;
    child.signal("SIGKILL");
    await child.ended;
  }

  /**
   * SIGKILL, and its database is deleted: the loss of its machine. Resolves when that is done; it is restarted, unless it was
   * stopping. @throws WrongState, also when it has no database of its own that others could replace
   */
  async destroy(): Promise<void> {
    const { name, file } = this.spec;
    if (file === undefined) throw new WrongState(`${name} is the only instance of its service`);
    await this.kill();
    for (const end of ["", "-wal", "-shm"]) rmSync(file + end, { force: true });
    this.#log("its database was deleted");
  }

  /** SIGSTOP: the process keeps its connections and does nothing. @throws WrongState */
  pause(): void {
    const child = this.#running();
    if (this.#state !== "starting" && this.#state !== "ready") {
      throw new WrongState(`${this.spec.name} is ${this.#state}`);
    }
    this.#stateBeforePause = this.#state;
    this.#state = "paused";
    child.pause();
  }

  /** SIGCONT, after pause(). @throws WrongState */
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
    const { ready } = this.spec;
    this.#lastLine = "";
    this.#readyAt = undefined;
    const child = spawnChild(this.spec, (source, line) => {
      if (line.trim() !== "") this.#lastLine = line;
      this.#log(line, source);
    });
    this.#child = child;
    this.#state = "starting";
    const ended = new AbortController();
    // The first callback of this promise: later ones find the state that follows from the end.
    void child.ended.then((how) => {
      ended.abort();
      if (this.#child === child) this.#onEnd(how);
    });
    if (!this.#wasReady) this.#limitFirstStart(child, ended.signal);
    void untilReady(ready, ended.signal).then((isReady) => isReady && this.#becomeReady(child));
  }

  #limitFirstStart(child: Child, ended: AbortSignal): void {
    const timer = setTimeout(() => {
      if (this.#wasReady || this.#state === "stopping") return;
      this.#lastLine = `not ready after ${this.timings.readyTimeoutMs} ms; last line: ${this.#lastLine}`;
      child.signal("SIGKILL");
    }, this.timings.readyTimeoutMs);
    ended.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  #becomeReady(child: Child): void {
    if (this.#child !== child) return;
    this.#wasReady = true;
    this.#readyAt = performance.now();
    if (this.#state === "starting") this.#settle("ready");
    else if (this.#state === "paused") this.#stateBeforePause = "ready";
  }

  #onEnd(how: string): void {
    this.#child = undefined;
    const reason = this.#lastLine === "" ? "" : `: ${this.#lastLine}`;
    if (this.#state === "stopping") this.#settle("stopped", `${this.spec.name} was stopped`);
    else if (this.#wasReady) this.#restartLater(how);
    else this.#settle("stopped", `${this.spec.name} did not start (${how})${reason}`);
  }

  #restartLater(how: string): void {
    const { backoffMs, maxBackoffMs, backoffResetMs } = this.timings;
    const upMs = this.#readyAt === undefined ? 0 : performance.now() - this.#readyAt;
    if (upMs >= backoffResetMs) this.#crashesInARow = 0;
    const delayMs = Math.min(maxBackoffMs, backoffMs * 2 ** this.#crashesInARow);
    this.#crashesInARow += 1;
    this.#state = "backing-off";
    this.#log(`ended (${how}); restart in ${delayMs} ms`);
    this.#restartTimer = setTimeout(() => {
      this.#restarts += 1;
      try {
        this.#spawn();
      } catch (error) {
        // The system cannot start a process at the moment.
        this.#restartLater(errorText(error));
      }
    }, delayMs);
  }

  /** Enters a state that ready() waits for, or that precludes it. */
  #settle(state: "ready" | "stopped", reason?: string): void {
    this.#state = state;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { resolve, reject } of waiting) {
      if (reason === undefined) resolve();
      else reject(new StartFailed(reason));
    }
  }

  #log(line: string, source: LogLine["source"] = "supervisor"): void {
    this.#lines.push({ at: Date.now(), source, line: line.slice(0, KEPT_CHARACTERS) });
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    this.onLog({ process: this.spec.name, source, line });
  }
}

/** Probes until the process is ready. @returns false when `ended` is aborted first */
async function untilReady(readiness: Readiness, ended: AbortSignal): Promise<boolean> {
  while (!ended.aborted) {
    const isReady =
      readiness.kind === "http"
        ? await answersOk(readiness.url, ended)
        : await acceptsConnections(readiness.host, readiness.port);
    if (isReady && !ended.aborted) return true;
    await Bun.sleep(PROBE_INTERVAL_MS);
  }
  return false;
}

async function answersOk(url: string, ended: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([ended, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
      keepalive: false,
    });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    // Not listening yet, or no answer in time.
    return false;
  }
}

function acceptsConnections(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(false));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
