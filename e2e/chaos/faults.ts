import { replicableServices } from "@distributed-messaging/services/registry";
import type { Prng } from "../simulation/prng.ts";
import type { OwnStore } from "../support/own-store.ts";

/** Longer than the session timeout of the consumer groups, which is six seconds. */
const LONG_PAUSE_MS = [7_000, 12_000] as const;
const SHORT_PAUSE_MS = [100, 3_000] as const;
const OUTAGE_MS = [500, 8_000] as const;
/** Far longer than the longest restart delay. */
const RECOVERY_LIMIT_MS = 90_000;
const INTERVAL_MS = [200, 4_000] as const;

type Kind = "kill" | "pause" | "long pause" | "outage" | "destroy";
const kinds: readonly Kind[] = ["kill", "kill", "kill", "pause", "long pause", "outage"];

/** A broker that is not a process of the store. */
export interface Broker {
  readonly name: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/**
 * Injects random faults into the processes of a store, two at a time. Of the instances of a service one at a time is hit, and
 * one of the brokers; an instance may be destroyed, too.
 */
export class Faults {
  readonly #store: OwnStore;
  readonly #prng: Prng;
  readonly #log: (line: string) => void;
  readonly #counts = new Map<Kind, number>();
  readonly #brokers: readonly Broker[];
  /** The services, and the broker, that are hit at the moment. */
  readonly #busy = new Set<string>();

  /** @param brokers in place of the store's own */
  constructor(store: OwnStore, prng: Prng, log: (line: string) => void, brokers: readonly Broker[] = []) {
    this.#store = store;
    this.#prng = prng;
    this.#log = log;
    this.#brokers = brokers;
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
    for (const { name } of this.#store.supervisor.report()) await this.#untilReady(name);
  }

  summary(): string {
    return [...this.#counts].map(([kind, count]) => `${count} × ${kind}`).join(", ");
  }

  async #injectOne(): Promise<void> {
    const processes = this.#store.supervisor.report().map(({ name }) => name);
    const all = [...processes, ...this.#brokers.map(({ name }) => name)];
    const victim = this.#prng.pick(all.filter((name) => !this.#busy.has(groupOf(name))));
    const group = groupOf(victim);
    // What only a gateway has accepted is lost with its disk; the others lose nothing.
    const isReplicated = replicableServices.some((name) => name === group);
    const isOneOfSeveral = isReplicated && processes.filter((name) => groupOf(name) === group).length > 1;
    const broker = this.#brokers.find(({ name }) => name === victim);
    const possible = isOneOfSeveral ? [...kinds, "destroy" as const] : kinds;
    const kind = broker === undefined ? this.#prng.pick(possible) : "outage";
    this.#busy.add(group);
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#log(`${kind}: ${victim}`);
    try {
      await (broker === undefined ? this.#inject(victim, kind) : this.#restart(broker));
    } finally {
      this.#busy.delete(group);
    }
  }

  async #restart(broker: Broker): Promise<void> {
    await broker.kill();
    await Bun.sleep(this.#between(OUTAGE_MS));
    await broker.restart();
  }

  async #inject(victim: string, kind: Kind): Promise<void> {
    switch (kind) {
      case "destroy":
        await this.#store.process(victim).destroy();
        await this.#untilReady(victim);
        return;
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
  async #untilReady(name: string): Promise<void> {
    const late = Bun.sleep(RECOVERY_LIMIT_MS).then(() => {
      throw new Error(`${name} is not ready again: ${this.#store.log(name).slice(-5).join("\n")}`);
    });
    await Promise.race([this.#store.process(name).ready(), late]);
  }

  #between([least, most]: readonly [number, number]): number {
    return this.#prng.between(least, most);
  }
}

/** The service of an instance: later ones have a number. All brokers are one group. */
function groupOf(name: string): string {
  return name.replace(/-\d+$/, "");
}
