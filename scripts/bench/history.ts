import { constants, cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { serviceNames } from "@distributed-messaging/services/registry";
import { load } from "./generator.ts";
import { System } from "./system.ts";

/** Placed by one load generator, which remembers all of them. */
const CHUNK = 50_000;
const AT_ONCE = 1_000;

/** A folder with the data of stores that have had so many orders, each in a folder of its own. */
export class Histories {
  readonly #folder: string;

  /** @param folder is made if it does not exist */
  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /**
   * Makes those that the folder does not have yet: each from the one before, by orders that a store takes through its
   * public interfaces. Its databases do not sync meanwhile, which changes nothing in what they store.
   *
   * @throws CommandFailed unless every order was confirmed
   */
  async provide(counts: readonly number[], report: (line: string) => void): Promise<void> {
    let before: number | undefined;
    for (const count of counts.toSorted((one, other) => one - other)) {
      if (!existsSync(this.#path(count))) await this.#make(count, before, report);
      before = count;
    }
  }

  async #make(count: number, before: number | undefined, report: (line: string) => void): Promise<void> {
    const dataDir = before === undefined ? this.#path(count, "unfinished") : this.copy(before, "unfinished");
    // Disposed of before it is finished, it is deleted.
    await using system = await System.start("store", { dataDir, env: { SQLITE_SYNCHRONOUS: "OFF" } });
    for (let done = before ?? 0; done < count; ) {
      const orders = Math.min(CHUNK, count - done);
      await load({ system }, { warmUp: 0, orders, arrivals: { atOnce: AT_ONCE } });
      done += orders;
      report(`history: ${done.toLocaleString("en")} of ${count.toLocaleString("en")} orders`);
    }
    await system.stop(serviceNames);
    await system.stop(["broker"]);
    renameSync(dataDir, this.#path(count));
  }

  /** A copy to start a store on. @returns its folder, next to the histories */
  copy(count: number, as: string): string {
    const copy = this.#path(count, as);
    rmSync(copy, { recursive: true, force: true });
    // Without a copy of the blocks, where the file system can do so.
    cpSync(this.#path(count), copy, { recursive: true, mode: constants.COPYFILE_FICLONE });
    return copy;
  }

  /** What the files take on disk, in bytes, by whose they are: a service, or the broker. */
  sizes(count: number): Map<string, number> {
    const sizes = new Map<string, number>();
    for (const entry of readdirSync(this.#path(count), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const [first = ""] = path.slice(this.#path(count).length + 1).split(/[/\\.]/);
      sizes.set(first, (sizes.get(first) ?? 0) + statSync(path).blocks * 512);
    }
    return sizes;
  }

  #path(count: number, as?: string): string {
    return join(this.#folder, [`orders-${count}`, as].filter(Boolean).join("-"));
  }
}
