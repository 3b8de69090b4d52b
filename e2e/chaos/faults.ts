import type { Prng } from "../simulation/prng.ts";
import { type OwnStore, type ProcessName, processNames } from "../support/own-store.ts";

/** Longer than the six seconds after which a broker takes a silent member of a group for dead. */
const LONG_FREEZE_MS = [7_000, 12_000] as const;
const SHORT_FREEZE_MS = [100, 3_000] as const;
const OUTAGE_MS = [500, 8_000] as const;
/** Far longer than any backoff: a process that is not back by then never will be. */
const RECOVERY_LIMIT_MS = 90_000;
const CALM_MS = [200, 4_000] as const;

type Kind = "kill" | "freeze" | "long freeze" | "outage";
const kinds: readonly Kind[] = ["kill", "kill", "kill", "freeze", "long freeze", "outage"];

/** Does harm to a store, and mends it again. */
export class Faults {
  readonly #store: OwnStore;
  readonly #prng: Prng;
  readonly #say: (line: string) => void;
  readonly #counts = new Map<Kind, number>();
  readonly #busy = new Set<ProcessName>();

  constructor(store: OwnStore, prng: Prng, say: (line: string) => void) {
    this.#store = store;
    this.#prng = prng;
    this.#say = say;
  }

  /** Goes on for so long, two at a time, then waits until everything runs again. */
  async goOnFor(durationMs: number): Promise<void> {
    const until = performance.now() + durationMs;
    const hand = async () => {
      while (performance.now() < until) {
        await this.#one();
        await Bun.sleep(this.#between(CALM_MS));
      }
    };
    await Promise.all([hand(), hand()]);
    for (const name of processNames) await this.#untilReady(name);
  }

  summary(): string {
    return [...this.#counts].map(([kind, count]) => `${count} × ${kind}`).join(", ");
  }

  async #one(): Promise<void> {
    const free = processNames.filter((name) => !this.#busy.has(name));
    const victim = this.#prng.pick(free);
    const kind = this.#prng.pick(kinds);
    this.#busy.add(victim);
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#say(`${kind}: ${victim}`);
    try {
      await this.#doTo(victim, kind);
    } finally {
      this.#busy.delete(victim);
    }
  }

  async #doTo(victim: ProcessName, kind: Kind): Promise<void> {
    switch (kind) {
      case "kill":
        await this.#store.kill(victim);
        await this.#untilReady(victim);
        return;
      case "freeze":
      case "long freeze":
        this.#store.pause(victim);
        await Bun.sleep(this.#between(kind === "freeze" ? SHORT_FREEZE_MS : LONG_FREEZE_MS));
        this.#store.resume(victim);
        return;
      case "outage":
        await this.#store.stop(victim);
        await Bun.sleep(this.#between(OUTAGE_MS));
        await this.#store.start(victim);
        return;
      default:
        kind satisfies never;
    }
  }

  /** @throws with its last lines when a process does not come back */
  async #untilReady(name: ProcessName): Promise<void> {
    const late = Bun.sleep(RECOVERY_LIMIT_MS).then(() => {
      throw new Error(`${name} did not come back: ${this.#store.log(name).slice(-5).join("\n")}`);
    });
    await Promise.race([this.#store.ready(name), late]);
  }

  #between([least, most]: readonly [number, number]): number {
    return this.#prng.between(least, most);
  }
}
