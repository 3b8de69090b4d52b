import type { Runtime } from "@distributed-messaging/messaging";
import type { Faults } from "./faults.ts";
import type { Incarnation } from "./incarnation.ts";
import type { Prng } from "./prng.ts";
import type { Scheduler } from "./scheduler.ts";

/** 2026-01-01T00:00:00Z: where the calendars of all runs begin. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);

/** The most that one look at the stopwatch can find to have gone by. */
const SLOW_MS = 40;
/** How long until "soon", at most. */
const SOON_MS = 1.5;

/** A process's clock on the wall: it may be wrong, and it may be set. */
export interface WallClock {
  /** Milliseconds that it is ahead of virtual time. */
  offsetMs: number;
}

/** The world as one life of a process sees it. Once it is dead, nothing that it planned happens. */
export class ProcessRuntime implements Runtime {
  readonly #scheduler: Scheduler;
  readonly #incarnation: Incarnation;
  readonly #clock: WallClock;
  readonly #faults: Faults;
  readonly #prng: Prng;
  #monotonicMs = 0;
  /** When the last thing planned for "soon" happens: they keep their order. */
  #soonMs = 0;

  constructor(options: {
    scheduler: Scheduler;
    incarnation: Incarnation;
    clock: WallClock;
    faults: Faults;
    prng: Prng;
  }) {
    this.#scheduler = options.scheduler;
    this.#incarnation = options.incarnation;
    this.#clock = options.clock;
    this.#faults = options.faults;
    this.#prng = options.prng;
  }

  now(): number {
    return EPOCH_MS + Math.floor(this.#scheduler.nowMs + this.#clock.offsetMs);
  }

  /** Events take no virtual time; slow work shows in that the stopwatch moves on while one happens. */
  monotonic(): number {
    const slow = this.#faults.strikes("slowWork") ? this.#prng.float() * SLOW_MS : 0;
    this.#monotonicMs = Math.max(this.#monotonicMs, this.#scheduler.nowMs) + slow;
    return this.#monotonicMs;
  }

  newId(): string {
    const time = this.now().toString(16).padStart(12, "0");
    const [a, b, c] = [this.#prng.bits(), this.#prng.bits(), this.#prng.bits()];
    const version = (0x7000 | (a & 0xfff)).toString(16);
    const variant = (0x8000 | ((a >>> 12) & 0x3fff)).toString(16);
    const rest = `${(b & 0xffff).toString(16).padStart(4, "0")}${c.toString(16).padStart(8, "0")}`;
    return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${variant}-${rest}`;
  }

  random(): number {
    return this.#prng.float();
  }

  soon(callback: () => void): void {
    const { nowMs } = this.#scheduler;
    const atMs = Math.max(this.#soonMs, nowMs + (this.#prng.chance(0.5) ? 0 : this.#prng.float() * SOON_MS));
    this.#soonMs = atMs;
    this.#scheduler.after(atMs - nowMs, callback, this.#incarnation);
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.#scheduler.after(delayMs, callback, this.#incarnation);
  }
}
