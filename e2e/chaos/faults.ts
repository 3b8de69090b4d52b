import { activeActiveServices, replicableServices } from "@distributed-messaging/services/registry";
import type { Prng } from "../simulation/prng.ts";
import type { OwnStore } from "../support/own-store.ts";
import type { Disks } from "./disks.ts";

/** Longer than the session timeout of the consumer groups, which is six seconds. */
const LONG_PAUSE_MS = [7_000, 12_000] as const;
const SHORT_PAUSE_MS = [100, 3_000] as const;
const OUTAGE_MS = [500, 8_000] as const;
/** Far longer than the longest restart delay. A new instance reads all that there is. */
export const RECOVERY_LIMIT_MS = 90_000;
const INTERVAL_MS = [200, 4_000] as const;

const kinds = ["kill", "kill", "kill", "pause", "long pause", "outage"] as const;
/** Of one of several instances that run. */
const kindsOfSeveral = ["destroy", "stop and remove", "kill and remove", "destroy and remove"] as const;
export type Kind = (typeof kinds)[number] | (typeof kindsOfSeveral)[number] | "add";

/** A broker that is not a process of the store. */
export interface Broker {
  readonly name: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

interface FaultsOptions {
  readonly store: OwnStore;
  readonly disks: Disks;
  readonly prng: Prng;
  readonly log: (line: string) => void;
  /** In place of the store's own. */
  readonly brokers?: readonly Broker[];
  /** How many instances each service has that may have several; unless given, none is added, removed or destroyed. */
  readonly replicas?: number | undefined;
}

/**
 * Injects random faults into the processes of a store, two at a time. Of the instances of a service one at a time is hit, and
 * one of the brokers. An instance may also be destroyed, be removed, or come back, and one more may be added.
 */
export class Faults {
  readonly #store: OwnStore;
  readonly #disks: Disks;
  readonly #prng: Prng;
  readonly #log: (line: string) => void;
  readonly #counts = new Map<Kind, number>();
  readonly #brokers: readonly Broker[];
  readonly #replicas: number | undefined;
  /** The services, and the broker, that are hit at the moment. */
  readonly #busy = new Set<string>();
  /** The instances that are stopped until they are added again. */
  readonly #removed = new Set<string>();

  constructor({ store, disks, prng, log, brokers = [], replicas }: FaultsOptions) {
    this.#store = store;
    this.#disks = disks;
    this.#prng = prng;
    this.#log = log;
    this.#brokers = brokers;
    this.#replicas = replicas;
  }

  /** Injects faults for a time, two at once; resolves when every process is ready again, also those that were removed. */
  async injectFor(durationMs: number): Promise<void> {
    const until = performance.now() + durationMs;
    let isOver = false;
    const injector = async () => {
      try {
        while (!isOver && performance.now() < until) {
          await this.#injectOne();
          await Bun.sleep(this.#between(INTERVAL_MS));
        }
      } finally {
        isOver = true;
      }
    };
    const ended = await Promise.allSettled([injector(), injector()]);
    for (const one of ended) if (one.status === "rejected") throw one.reason;
    await this.bringBack();
  }

  /** Starts what was removed, and waits until every process is ready. */
  async bringBack(): Promise<void> {
    for (const name of this.#removed) await this.#start(name);
    for (const { name } of this.#store.supervisor.report()) await this.#untilReady(name);
  }

  summary(): string {
    return [...this.#counts].map(([kind, count]) => `${count} × ${kind}`).join(", ");
  }

  /**
   * @param victim a process of the store; `add` adds an instance to its service
   * @returns the process that was hit, or was added
   */
  async inject(kind: Kind, victim: string): Promise<string> {
    const hit = kind === "add" ? this.#nextInstance(victim) : victim;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#log(`${kind}: ${hit}`);
    await this.#inject(hit, kind);
    return hit;
  }

  async #injectOne(): Promise<void> {
    const running = this.#running();
    const all = [...running, ...this.#brokers.map(({ name }) => name)];
    const victim = this.#prng.pick(all.filter((name) => !this.#busy.has(groupOf(name))));
    const group = groupOf(victim);
    const broker = this.#brokers.find(({ name }) => name === victim);
    this.#busy.add(group);
    try {
      await (broker === undefined
        ? this.inject(this.#prng.pick(this.#possible(group, running)), victim)
        : this.#restart(broker));
    } finally {
      this.#busy.delete(group);
    }
  }

  #running(): string[] {
    const names = this.#store.supervisor.report().map(({ name }) => name);
    return names.filter((name) => !this.#removed.has(name));
  }

  /** What may happen to an instance of a group. */
  #possible(group: string, running: readonly string[]): readonly Kind[] {
    const mayBeSeveral = [...activeActiveServices, ...replicableServices].some((name) => name === group);
    const count = running.filter((name) => groupOf(name) === group).length;
    return possibleKinds(count, mayBeSeveral ? this.#replicas : undefined);
  }

  /** Of the service of an instance, one that was removed, or a new one with an empty database. */
  #nextInstance(of: string): string {
    const removed = [...this.#removed].filter((name) => groupOf(name) === groupOf(of));
    if (removed.length > 0) return this.#prng.pick(removed);
    const { supervisor } = this.#store;
    const known = supervisor.instances.find(({ name }) => name === of);
    if (known === undefined) throw new Error(`${of} is not an instance of a service`);
    return supervisor.addInstance(known.service).name;
  }

  async #restart(broker: Broker): Promise<void> {
    this.#counts.set("outage", (this.#counts.get("outage") ?? 0) + 1);
    this.#log(`outage: ${broker.name}`);
    await broker.kill();
    await Bun.sleep(this.#between(OUTAGE_MS));
    await broker.restart();
  }

  async #inject(victim: string, kind: Kind): Promise<void> {
    const process = this.#store.process(victim);
    switch (kind) {
      case "destroy":
        await process.destroy();
        this.#disks.lose(victim);
        await this.#untilReady(victim);
        return;
      case "kill":
        await process.kill();
        await this.#untilReady(victim);
        return;
      case "pause":
      case "long pause":
        process.pause();
        await Bun.sleep(this.#between(kind === "pause" ? SHORT_PAUSE_MS : LONG_PAUSE_MS));
        process.resume();
        return;
      case "outage":
        await process.stop();
        await Bun.sleep(this.#between(OUTAGE_MS));
        await this.#start(victim);
        return;
      case "stop and remove":
        this.#removed.add(victim);
        await process.stop();
        return;
      case "kill and remove":
      case "destroy and remove": {
        this.#removed.add(victim);
        // It is not restarted: it is stopping.
        const stopped = process.stop();
        await (kind === "kill and remove" ? process.kill() : process.destroy());
        await stopped;
        if (kind === "destroy and remove") this.#disks.lose(victim);
        return;
      }
      case "add":
        await this.#start(victim);
        return;
      default:
        kind satisfies never;
    }
  }

  async #start(name: string): Promise<void> {
    this.#removed.delete(name);
    await this.#untilReady(name, this.#store.process(name).start());
  }

  /** @throws with the last lines of a process that does not become ready */
  async #untilReady(name: string, ready = this.#store.process(name).ready()): Promise<void> {
    const late = Bun.sleep(RECOVERY_LIMIT_MS).then(() => {
      throw new Error(`${name} is not ready again: ${this.#store.log(name).slice(-5).join("\n")}`);
    });
    await Promise.race([ready, late]);
  }

  #between([least, most]: readonly [number, number]): number {
    return this.#prng.between(least, most);
  }
}

/**
 * What may happen to one of the instances of a service: as few run as one less than at the beginning, and as many as one more.
 * The last one that runs is neither removed nor destroyed.
 *
 * @param running how many run
 * @param replicas how many there were at the beginning; unless given, there is one at all times
 */
export function possibleKinds(running: number, replicas: number | undefined): readonly Kind[] {
  if (replicas === undefined) return kinds;
  const left = running - 1;
  return [
    ...kinds,
    ...kindsOfSeveral.filter((kind) => left >= (kind === "destroy" ? 1 : Math.max(1, replicas - 1))),
    // As often as all of these together: about as many are added as are removed.
    ...(running <= replicas ? (["add", "add", "add"] as const) : []),
  ];
}

/** The service of an instance: later ones have a number. All brokers are one group. */
function groupOf(name: string): string {
  return name.replace(/-\d+$/, "");
}
