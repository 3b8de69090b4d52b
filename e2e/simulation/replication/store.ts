import { Database } from "bun:sqlite";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Snapshot,
  type SnapshotStore,
  type StoredObject,
  snapshotOf,
} from "@distributed-messaging/messaging";
import type { SimulatedBroker } from "../broker.ts";
import type { Faults } from "../faults.ts";
import type { Prng } from "../prng.ts";
import type { Incarnation, Scheduler, Trace } from "../scheduler.ts";

/** How late a request may arrive that its client has given up on. */
const LATE_MS = 8_000;
const FAULT = 0.1;

/** What the store has of the run. */
interface Surroundings {
  readonly directory: string;
  readonly broker: SimulatedBroker;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
}

/** The bucket of the simulation, in virtual time. It may fail, be late, or have stored half of what a failed request brought. */
export class SimulatedStore {
  readonly folder: string;
  readonly #world: Surroundings;
  /** Whether every request fails. */
  isDown = false;
  /** Requests of these kinds are never answered. */
  readonly neverAnswers = new Set<keyof SnapshotStore>();
  readonly damaged = new Set<string>();

  constructor(world: Surroundings) {
    this.#world = world;
    this.folder = join(world.directory, "snapshots");
    mkdirSync(this.folder);
  }

  objects(): StoredObject[] {
    return readdirSync(this.folder).map((name) => ({ name, bytes: statSync(this.path(name)).size }));
  }

  /** Those that are whole, the newest last. */
  snapshots(): Snapshot[] {
    return this.objects()
      .map(snapshotOf)
      .filter((snapshot) => snapshot !== undefined)
      .sort((one, other) => one.seq - other.seq);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Changes what is in a snapshot, and not its size. */
  damage(name: string): void {
    using database = new Database(this.path(name));
    database.run("UPDATE accounts SET total = total + 1000");
    this.damaged.add(name);
  }

  lose(name: string): void {
    rmSync(this.path(name));
  }

  connect(client: Incarnation): SnapshotStore {
    return {
      list: () => this.#request("list", client, () => this.objects()),
      put: (name, file) => {
        // What a client sends is read when it sends it.
        const bytes = readFileSync(file);
        const half = () => writeFileSync(this.path(name), bytes.subarray(0, bytes.length >> 1));
        return this.#request("put", client, () => writeFileSync(this.path(name), bytes), half);
      },
      get: (name, file) => this.#request("get", client, () => copyFileSync(this.path(name), file)),
      remove: (name) => this.#request("remove", client, () => rmSync(this.path(name), { force: true })),
    };
  }

  #request<Result>(
    kind: keyof SnapshotStore,
    client: Incarnation,
    run: () => Result,
    half = () => {},
  ): Promise<Result> {
    if (this.neverAnswers.has(kind)) return new Promise(() => {});
    const { broker, faults, prng, scheduler, trace } = this.#world;
    return new Promise((resolve, reject) => {
      const fail = () => {
        trace.note("store", `fails for ${client.process}`);
        broker.send(broker.latencyMs(), () => reject(new Error("the store does not answer")), client);
      };
      const answer = () => {
        try {
          const result = run();
          broker.send(broker.latencyMs(), () => resolve(result), client);
        } catch (error) {
          broker.send(broker.latencyMs(), () => reject(error), client);
        }
      };
      broker.send(broker.latencyMs(), () => {
        if (this.isDown) fail();
        else if (!faults.enabled || !prng.chance(FAULT)) answer();
        else if (prng.chance(0.3)) {
          half();
          fail();
        } else if (prng.chance(0.5)) {
          scheduler.after(prng.float() * LATE_MS, () => {
            try {
              run();
            } catch {
              // What it was about is gone.
            }
          });
          fail();
        } else fail();
      });
    });
  }
}
