import { RawProducer } from "../fuzz/raw-producer.ts";
import { Runtime } from "./runtime.ts";
import { type ClientUnderTest, Script, type Transcript } from "./script.ts";

/** What the clients did on one broker. */
export interface Run {
  /** As in the text of a problem. */
  readonly broker: string;
  /** By the names of the clients. */
  readonly versions: ReadonlyMap<string, string>;
  readonly transcripts: ReadonlyMap<string, Transcript>;
}

/**
 * Runs the script with every client on a broker, all clients at the same time.
 *
 * @param apis the keys of the APIs that the script may use
 */
export async function runClients(
  broker: string,
  port: number,
  apis: ReadonlySet<number>,
  clients: readonly ClientUnderTest[],
): Promise<Run> {
  const scripts: Script[] = [];
  const runtimes: Runtime[] = [];
  try {
    for (const client of clients) {
      const runtime = await Runtime.connect(port, apis);
      runtimes.push(runtime);
      scripts.push(await Script.start(client, runtime));
    }
    await Promise.all(scripts.map((script) => script.run()));
    await Promise.all(scripts.map((script) => script.readAll(clients)));
    await Promise.all(scripts.map((script) => script.end()));
  } finally {
    await Promise.all(scripts.map((script) => script.kill()));
    await Promise.all(runtimes.map((runtime) => runtime.close()));
  }
  return {
    broker,
    versions: new Map(scripts.map(({ client, version }) => [client.name, version])),
    transcripts: new Map(scripts.map(({ client, transcript }) => [client.name, transcript])),
  };
}

/** The keys of the APIs of a broker. */
export async function apisOf(port: number): Promise<Set<number>> {
  const raw = await RawProducer.connect(port);
  const apis = await raw.apis();
  raw.close();
  return apis;
}
