import { createReadStream, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buildGoModule } from "./toolchains.ts";

interface LoadOptions {
  /** `host:port`, several separated by commas. */
  readonly brokers: string;
  /** Exists. */
  readonly topic: string;
  /** How many producers, each with a connection and a producer id of its own. */
  readonly producers: number;
  /** The file for the acknowledged records, a line each. */
  readonly output: string;
}

interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
  /** Differs from that of every other record of the load. */
  readonly value: string;
}

/**
 * Starts franz-go producers, with idempotence and acks=all, that send to all partitions of a topic as fast as the broker
 * acknowledges. They try each record until it is stored, also while the broker is down.
 *
 * @throws ClientMissing when Go is missing
 */
export async function startLoad(options: LoadOptions): Promise<Load> {
  return new Load(await buildGoModule(join(import.meta.dir, "franz-go")), options);
}

export class Load {
  readonly #child;
  readonly #output: string;

  constructor(program: string, { brokers, topic, producers, output }: LoadOptions) {
    this.#output = output;
    this.#child = Bun.spawn([program, "load", brokers, topic, String(producers)], {
      stdin: "pipe",
      stdout: Bun.file(output),
      stderr: "pipe",
    });
  }

  /** Grows with every acknowledged record. */
  get outputBytes(): number {
    return statSync(this.#output, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Sends no more records and waits for those on their way. @throws Error when a record failed for good */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    const errors = await new Response(this.#child.stderr).text();
    if ((await this.#child.exited) !== 0) throw new Error(`the load failed:\n${errors}`);
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  /** The records that were acknowledged, in the order of their acknowledgements. Call it after stop(). */
  async *acknowledged(): AsyncGenerator<Acknowledged> {
    for await (const line of createInterface(createReadStream(this.#output))) {
      const [partition, offset, value = ""] = line.split(" ");
      yield { partition: Number(partition), offset: Number(offset), value };
    }
  }
}
