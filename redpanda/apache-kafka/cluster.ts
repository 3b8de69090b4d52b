import { type ApacheKafka, newClusterId, startApacheKafka } from "./broker.ts";

const HOST = "127.0.0.1";

interface ClusterOptions {
  /** Free ports of the loopback interface, two for each node. */
  readonly ports: readonly { readonly broker: number; readonly controller: number }[];
  /** Called with a line about each step that takes time. */
  readonly report?: (line: string) => void;
}

/** A cluster of Apache Kafka on this machine. */
export interface ApacheKafkaCluster {
  /** `host:port,…`, the value of KAFKA_BROKERS. */
  readonly address: string;
  readonly nodes: readonly ApacheKafka[];
  /** Rejects when a node ends without having been stopped. */
  readonly failure: Promise<never>;
  /** Ends all nodes and removes their data. */
  stop(): Promise<void>;
}

/**
 * Starts an empty cluster of KRaft nodes, each broker and controller in one process. What is written with `acks=all` is on
 * two of its nodes at least: any one of three may be lost.
 *
 * @throws as `startApacheKafka`
 */
export async function startApacheKafkaCluster({
  ports,
  report,
}: ClusterOptions): Promise<ApacheKafkaCluster> {
  const clusterId = newClusterId();
  const voters = ports.map(({ controller }, index) => `${index + 1}@${HOST}:${controller}`).join(",");
  const replicas = String(ports.length);
  const least = String(Math.max(1, ports.length - 1));
  const started = await Promise.allSettled(
    ports.map((own, index) =>
      startApacheKafka({
        ports: own,
        clusterId,
        settings: {
          "node.id": String(index + 1),
          "controller.quorum.voters": voters,
          "default.replication.factor": replicas,
          "min.insync.replicas": least,
          "offsets.topic.replication.factor": replicas,
          "transaction.state.log.replication.factor": replicas,
          "transaction.state.log.min.isr": least,
        },
        ...(report === undefined ? {} : { report }),
      }),
    ),
  );
  const nodes = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())));
  const failed = started.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  const failure = Promise.race(nodes.map((node) => node.failure));
  failure.catch(() => {});
  return { address: nodes.flatMap(({ brokers }) => brokers).join(), nodes, failure, stop };
}
