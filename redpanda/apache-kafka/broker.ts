import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@distributed-messaging/messaging";
import { KafkaClient } from "@distributed-messaging/messaging/kafka";
import { KAFKA_DIR, type KafkaRuntime, provideApacheKafka } from "./jars.ts";

/** From the start of the process to the first answer. Slow machines take ten times as long as fast ones. */
const READY_TIMEOUT_MS = 60_000;
const PROBE_INTERVAL_MS = 100;
/** From SIGTERM to SIGKILL. */
const STOP_TIMEOUT_MS = 20_000;
/** How much of its last output is in the error when the broker ends unexpectedly. */
const TAIL_CHARACTERS = 4_000;

/** For a broker that starts quickly, stays small and runs for minutes. */
const JAVA_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx512m"];

/** As Apache Kafka's own start script (kafka-server-start.sh, kafka-run-class.sh), for measurements. */
export const USUAL_JAVA_FLAGS = [
  ...["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"],
  ...["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"],
];

/**
 * A shell script that reads its standard input until this process ends, in whatever way; then it stops the broker
 * and removes its files.
 */
const GUARD = `read -r _
kill -TERM "$1" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 1; done
kill -KILL "$1" 2>/dev/null
rm -rf -- "$2"`;

interface ApacheKafkaOptions {
  /** Two free ports of the loopback interface. */
  readonly ports: { readonly broker: number; readonly controller: number };
  /** Broker settings in addition to those that a single node needs. */
  readonly settings?: Readonly<Record<string, string>>;
  /**
   * With it clients authenticate, by SASL PLAIN, and may do only what ACLs allow. The passwords of the users by their
   * names; the first one may do everything.
   */
  readonly users?: Readonly<Record<string, string>>;
  /** Users of SASL SCRAM, for listeners that the settings add. */
  readonly scram?: readonly ScramUser[];
  /** Flags of the JVM. By default those of a broker that starts quickly. */
  readonly javaFlags?: readonly string[];
  /** Of a cluster of several nodes, the same for all of them; unless given, a new one each time that the data is not kept. */
  readonly clusterId?: string;
  /** System properties of the JVM. */
  readonly systemProperties?: Readonly<Record<string, string>>;
  /** Called with a line about each step that takes time. */
  readonly report?: (line: string) => void;
}

interface ScramUser {
  readonly mechanism: "SCRAM-SHA-256" | "SCRAM-SHA-512";
  readonly name: string;
  readonly password: string;
}

/**
 * Starts an empty Apache Kafka: one KRaft node, broker and controller in one process, on the loopback interface. It
 * ends with this process and leaves nothing but the jars in `.kafka`.
 *
 * @throws ApacheKafkaMissing when Java or Maven is missing; Error when the broker does not start
 */
export async function startApacheKafka(options: ApacheKafkaOptions): Promise<ApacheKafka> {
  const kafka = new ApacheKafka(await provideApacheKafka(options.report), options);
  try {
    await kafka.restart({ keepData: false });
    return kafka;
  } catch (error) {
    await kafka.stop();
    throw error;
  }
}

/** A running Apache Kafka, see startApacheKafka(). */
export class ApacheKafka {
  /** `host:port`, the value of KAFKA_BROKERS. A restart keeps it. */
  readonly brokers: readonly string[];
  /** Rejects when the broker ends without having been stopped. */
  readonly failure: Promise<never>;
  /** Of the user who may do everything. */
  readonly admin: { readonly username: string; readonly password: string } | undefined;
  readonly #clusterId: string | undefined;
  readonly #runtime: KafkaRuntime;
  readonly #scram: readonly ScramUser[];
  readonly #javaFlags: readonly string[];
  readonly #systemProperties: readonly string[];
  readonly #folder = join(KAFKA_DIR, `run-${randomUUID()}`);
  readonly #properties = join(this.#folder, "server.properties");
  readonly #failed = Promise.withResolvers<never>();
  #process: BrokerProcess | undefined;

  constructor(runtime: KafkaRuntime, options: ApacheKafkaOptions) {
    const {
      ports,
      settings = {},
      users,
      scram = [],
      javaFlags = JAVA_FLAGS,
      systemProperties = {},
    } = options;
    this.#runtime = runtime;
    this.#clusterId = options.clusterId;
    this.#scram = scram;
    this.#javaFlags = javaFlags;
    this.#systemProperties = Object.entries(systemProperties).map(([name, value]) => `-D${name}=${value}`);
    const [admin] = Object.entries(users ?? {});
    this.admin = admin && { username: admin[0], password: admin[1] };
    this.brokers = [`127.0.0.1:${ports.broker}`];
    this.failure = this.#failed.promise;
    this.failure.catch(() => {});
    mkdirSync(join(this.#folder, "tmp"), { recursive: true });
    const properties = {
      ...nodeProperties(join(this.#folder, "data"), ports),
      ...(this.admin === undefined ? {} : accessProperties(this.admin, users ?? {})),
      ...settings,
    };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    writeFileSync(this.#properties, `${lines.join("\n")}\n`);
  }

  /** SIGKILL. The data stays. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Starts it again, after a SIGKILL if it runs. With `keepData: false` it becomes a new, empty cluster. */
  async restart({ keepData = true }: { readonly keepData?: boolean } = {}): Promise<void> {
    await this.#end("SIGKILL");
    try {
      if (!keepData) await this.#format();
      this.#process = new BrokerProcess(this.#command(["kafka.Kafka", this.#properties]), this.#folder);
      const { ended } = this.#process;
      ended.catch(this.#failed.reject);
      await Promise.race([untilReady(this.brokers, this.admin), ended]);
    } catch (error) {
      await this.#end("SIGKILL");
      throw error;
    }
  }

  /** SIGTERM. Removes the data. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    await running?.end(signal);
  }

  /** Makes an empty log directory with a new cluster id. */
  async #format(): Promise<void> {
    rmSync(join(this.#folder, "data"), { recursive: true, force: true });
    const main = ["kafka.tools.StorageTool", "format", "--cluster-id", this.#clusterId ?? newClusterId()];
    const users = this.#scram.flatMap(({ mechanism, name, password }) => [
      "--add-scram",
      `${mechanism}=[name=${name},password=${password}]`,
    ]);
    const tool = Bun.spawn([...this.#command(main), "--config", this.#properties, ...users], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, exitCode] = await Promise.all([
      new Response(tool.stdout).text(),
      new Response(tool.stderr).text(),
      tool.exited,
    ]);
    if (exitCode !== 0) throw new Error(`cannot format Apache Kafka's storage: ${output}${errors}`);
  }

  #command(main: readonly string[]): string[] {
    const { java, classPath } = this.#runtime;
    const logging = `-Dlog4j2.configurationFile=${join(import.meta.dir, "log4j2.properties")}`;
    // Native libraries are unpacked there.
    const temporary = `-Djava.io.tmpdir=${join(this.#folder, "tmp")}`;
    return [
      java,
      ...this.#javaFlags,
      ...this.#systemProperties,
      logging,
      temporary,
      "-cp",
      classPath,
      ...main,
    ];
  }
}

class BrokerProcess {
  /** Rejects when the process ends before end() was called; never resolves. */
  readonly ended: Promise<never>;
  readonly #child;
  readonly #exited: Promise<unknown>;
  #isEnding = false;

  constructor(command: string[], folder: string) {
    const child = Bun.spawn(command, {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // A session of its own: Ctrl-C in a terminal reaches this process alone, which then stops the broker.
      detached: true,
    });
    this.#child = child;
    const guard = Bun.spawn(["/bin/sh", "-c", GUARD, "guard", String(child.pid), folder], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
      detached: true,
    });
    let tail = "";
    const readTail = async (stream: ReadableStream<Uint8Array>) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) {
        tail = (tail + decoder.decode(chunk, { stream: true })).slice(-TAIL_CHARACTERS);
      }
    };
    this.#exited = Promise.all([child.exited, readTail(child.stdout), readTail(child.stderr)]).finally(() =>
      guard.kill("SIGKILL"),
    );
    this.ended = this.#exited.then(() => {
      if (this.#isEnding) return new Promise<never>(() => {});
      throw new Error(`Apache Kafka ended unexpectedly:\n${tail}`);
    });
    this.ended.catch(() => {});
  }

  /** Resolves when the process has ended. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#isEnding = true;
    this.#child.kill(signal);
    const deadline = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(deadline);
  }
}

/** Resolves when a client gets an answer: an open port alone does not mean that the broker takes requests. */
async function untilReady(brokers: readonly string[], admin: ApacheKafka["admin"]): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const sasl = admin === undefined ? {} : { sasl: { mechanism: "plain" as const, ...admin } };
    const { kafka } = new KafkaClient({ brokers, clientId: "readiness", ...sasl }, silentLogger);
    const probe = kafka.admin({ retry: { retries: 0 } });
    try {
      await probe.connect();
      const cluster = await probe.describeCluster();
      if (cluster.brokers.length > 0) return;
    } catch (error) {
      if (performance.now() > deadline) {
        throw new Error(`Apache Kafka is not ready after ${READY_TIMEOUT_MS} ms`, { cause: error });
      }
    } finally {
      await probe.disconnect();
    }
    await Bun.sleep(PROBE_INTERVAL_MS);
  }
}

/** A random id. Like Kafka's own, it does not begin with a dash, which the storage tool would take for an option. */
export function newClusterId(): string {
  for (;;) {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url");
    if (!id.startsWith("-")) return id;
  }
}

/** The settings that differ from Kafka's defaults: a single node cannot replicate. */
function nodeProperties(data: string, ports: ApacheKafkaOptions["ports"]): Record<string, string> {
  const host = "127.0.0.1";
  const replication = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
  };
  const size = {
    "offsets.topic.num.partitions": "4",
    "log.cleaner.dedupe.buffer.size": String(8 * 1024 * 1024),
  };
  return {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@${host}:${ports.controller}`,
    listeners: `PLAINTEXT://${host}:${ports.broker},CONTROLLER://${host}:${ports.controller}`,
    "advertised.listeners": `PLAINTEXT://${host}:${ports.broker}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": data,
    // As on the other brokers: a topic that no contract defines is an error, and must be seen.
    "auto.create.topics.enable": "false",
    ...replication,
    ...size,
  };
}

/** Clients authenticate, and need an ACL for whatever they do. The controller's listener is the node's own. */
function accessProperties(
  admin: { readonly username: string; readonly password: string },
  users: Readonly<Record<string, string>>,
): Record<string, string> {
  const accounts = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`);
  const own = `username="${admin.username}" password="${admin.password}"`;
  const loginModule = "org.apache.kafka.common.security.plain.PlainLoginModule";
  return {
    "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.plaintext.plain.sasl.jaas.config": `${loginModule} required ${own} ${accounts.join(" ")};`,
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": `User:${admin.username};User:ANONYMOUS`,
  };
}
