import { type ProcessName, processNames } from "@distributed-messaging/supervisor/store";
import type { Prng } from "../simulation/prng.ts";
import type { OwnStore } from "../support/own-store.ts";

/** Longer than the session timeout of the consumer groups, which is six seconds. */
const LONG_PAUSE_MS = [7_000, 12_000] as const;
const SHORT_PAUSE_MS = [100, 3_000] as const;
const OUTAGE_MS = [500, 8_000] as const;
/** Far longer than the longest restart delay. */
const RECOVERY_LIMIT_MS = 90_000;
const INTERVAL_MS = [200, 4_000] as const;

type Kind = "kill" | "pause" | "long pause" | "outage";
const kinds: readonly Kind[] = ["kill", "kill", "kill", "pause", "long pause", "outage"];

/** Injects random faults into the processes of a store. */
export class Faults {
  readonly #store: OwnStore;
  readonly #prng: Prng;
  readonly #log: (line: string) => void;
  readonly #counts = new Map<Kind, number>();
  readonly #busy = new Set<ProcessName>();

  constructor(store: OwnStore, prng: Prng, log: (line: string) => void) {
    this.#store = store;
    this.#prng = prng;
    this.#log = log;
  }

  /** Injects faults for a time, two at once; resolves when every process is ready again. */
  async injectFor(durationMs: number): Promise<void> {
    const until = performance.now() + durationMs;
    const injector = async () => {
      while (performance.now() < until) {
        await this.#injectOne();
        await Bun.sleep(this.#between(INTERVAL_MS));
      }
    };
    await Promise.all([injector(), injector()]);
    for (const name of processNames) await this.#untilReady(name);
  }

  summary(): string {
    return [...this.#counts].map(([kind, count]) => `${count} × ${kind}`).join(", ");
  }

  async #injectOne(): Promise<void> {
    const free = processNames.filter((name) => !this.#busy.has(name));
    const victim = this.#prng.pick(free);
    const kind = this.#prng.pick(kinds);
    this.#busy.add(victim);
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#log(`${kind}: ${victim}`);
    try {
      await this.#inject(victim, kind);
    } finally {
      this.#busy.delete(victim);
    }
  }

  async #inject(victim: ProcessName, kind: Kind): Promise<void> {
    switch (kind) {
      case "kill":
        await this.#store.process(victim).kill();
        await this.#untilReady(victim);
        return;
      case "pause":
      case "long pause":
        this.#store.process(victim).pause();
        await Bun.sleep(this.#between(kind === "pause" ? SHORT_PAUSE_MS : LONG_PAUSE_MS));
        this.#store.process(victim).resume();
        return;
      case "outage":
        await this.#store.process(victim).stop();
        await Bun.sleep(this.#between(OUTAGE_MS));
        await this.#store.process(victim).start();
        return;
      default:
        kind satisfies never;
    }
  }

  /** @throws with the last lines of a process that does not become ready */
  async #untilReady(name: ProcessName): Promise<void> {
    const late = Bun.sleep(RECOVERY_LIMIT_MS).then(() => {
      throw new Error(`${name} is not ready again: ${this.#store.log(name).slice(-5).join("\n")}`);
    });
    await Promise.race([this.#store.process(name).ready(), late]);
  }

  #between([least, most]: readonly [number, number]): number {
    return this.#prng.between(least, most);
  }
}
