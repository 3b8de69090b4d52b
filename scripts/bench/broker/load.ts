import { RawProducer, recordBatch, recordBytes } from "@distributed-messaging/e2e/fuzz/raw-producer";
import { percentile } from "../measure.ts";

interface Load {
  readonly port: number;
  /** Exists, with the partitions 0 to `partitions - 1`. */
  readonly topic: string;
  readonly partitions: number;
  readonly connections: number;
  /** In a request, which has one batch for one partition. */
  readonly records: number;
  readonly durationMs: number;
}

interface Measured {
  /** Acknowledged, a second. */
  readonly records: number;
  /** From a request to its response, in milliseconds. */
  readonly median: number;
  readonly p99: number;
}

/** NOT_LEADER_OR_FOLLOWER. */
const NOT_LEADER = 6;
const VALUE = Buffer.from("x".repeat(100));

/** Sends from each connection one request after the other, with acks=all, and measures what is acknowledged. */
export async function measure({
  port,
  topic,
  partitions,
  connections,
  records,
  durationMs,
}: Load): Promise<Measured> {
  const record = { key: null, value: VALUE, headers: [] };
  // The broker sets the offsets, which the checksum does not cover, so one batch serves for all requests.
  const batch = recordBatch(0, records, recordBytes(Array.from({ length: records }, () => record)));
  const producers = await Promise.all(Array.from({ length: connections }, () => RawProducer.connect(port)));
  const times: number[] = [];
  const startedAt = performance.now();
  try {
    await Promise.all(
      producers.map(async (producer, index) => {
        const batches = new Map([[index % partitions, batch]]);
        for (let now = performance.now(); now - startedAt < durationMs; ) {
          const [error] = (await producer.produce(topic, batches)).refused.values();
          // Just after a topic was created, its leader may not know of it. That is over before the warm-up is.
          if (error !== undefined && error !== NOT_LEADER)
            throw new Error(`a batch was refused with error ${error}`);
          const sentAt = now;
          now = performance.now();
          if (error === undefined) times.push(now - sentAt);
        }
      }),
    );
  } finally {
    for (const producer of producers) producer.close();
  }
  if (times.length === 0) throw new Error("the broker has accepted no batch");
  const seconds = (performance.now() - startedAt) / 1_000;
  return {
    records: (times.length * records) / seconds,
    median: percentile(times, 0.5),
    p99: percentile(times, 0.99),
  };
}
