import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eachLine } from "@distributed-messaging/supervisor/lines";
import { KAFKA_SOURCES, type KafkaRuntime } from "./jars.ts";

/** How long a broker that was told to stop may take before it is killed. */
const STOP_TIMEOUT_MS = 20_000;
/** Its last lines, for when it ends by itself. */
const TAIL_LINES = 30;

/** Quick to start and small: this broker runs for minutes. */
const JAVA_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx512m"];

/**
 * Waits for the end of its input, which comes when whoever started the broker is gone, by whatever way; then ends
 * the broker and removes its files, for nobody else will.
 */
const GUARD = `read -r _
kill -TERM "$1" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 1; done
kill -KILL "$1" 2>/dev/null
rm -rf -- "$2"`;

export interface NodePorts {
  readonly broker: number;
  readonly controller: number;
}

/** One KRaft node, broker and controller at once, and its files. Bound to loopback. */
export class ApacheKafkaNode {
  readonly #runtime: KafkaRuntime;
  readonly #folder: string;
  readonly #properties: string;
  #process: RunningProcess | undefined;

  /** @param folder for its data and settings; made, and removed by `remove()` */
  constructor(
    runtime: KafkaRuntime,
    folder: string,
    ports: NodePorts,
    settings: Readonly<Record<string, string>>,
  ) {
    this.#runtime = runtime;
    this.#folder = folder;
    this.#properties = join(folder, "server.properties");
    mkdirSync(join(folder, "tmp"), { recursive: true });
    const properties = { ...nodeProperties(join(folder, "data"), ports), ...settings };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    writeFileSync(this.#properties, `${lines.join("\n")}\n`);
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Makes an empty log directory, as a new cluster's. @throws when Kafka's tool refuses */
  async format(): Promise<void> {
    rmSync(join(this.#folder, "data"), { recursive: true, force: true });
    const clusterId = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url");
    const main = ["kafka.tools.StorageTool", "format", "--cluster-id", clusterId];
    const tool = Bun.spawn([...this.#command(main), "--config", this.#properties], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, exitCode] = await Promise.all([
      new Response(tool.stdout).text(),
      new Response(tool.stderr).text(),
      tool.exited,
    ]);
    if (exitCode !== 0) throw new Error(`Apache Kafka's storage was not formatted: ${output}${errors}`);
  }

  /** Begins to run it. @returns rejects when it ends by itself, with its last lines */
  start(): Promise<never> {
    const running = new RunningProcess(this.#command(["kafka.Kafka", this.#properties]), this.#folder);
    this.#process = running;
    return running.endedByItself;
  }

  /** Resolves when it has ended. No effect when it does not run. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const running = this.#process;
    this.#process = undefined;
    await running?.end(signal);
  }

  /** Removes its files. */
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #command(main: readonly string[]): string[] {
    const { java, classPath } = this.#runtime;
    const logging = `-Dlog4j2.configurationFile=${join(KAFKA_SOURCES, "log4j2.properties")}`;
    // Native libraries are unpacked there.
    const temporary = `-Djava.io.tmpdir=${join(this.#folder, "tmp")}`;
    return [java, ...JAVA_FLAGS, logging, temporary, "-cp", classPath, ...main];
  }
}

class RunningProcess {
  readonly endedByItself: Promise<never>;
  readonly #child;
  readonly #guard;
  readonly #gone: Promise<unknown>;
  #told = false;

  constructor(command: string[], folder: string) {
    const child = Bun.spawn(command, {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // A session of its own: Ctrl-C in a terminal goes to whoever started it, and comes here as an orderly stop.
      detached: true,
    });
    this.#child = child;
    this.#guard = Bun.spawn(["/bin/sh", "-c", GUARD, "guard", String(child.pid), folder], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
      detached: true,
    });
    const lastLines: string[] = [];
    const keep = (line: string) => {
      lastLines.push(line);
      if (lastLines.length > TAIL_LINES) lastLines.shift();
    };
    const read = Promise.all([eachLine(child.stdout, keep), eachLine(child.stderr, keep)]);
    this.#gone = Promise.all([child.exited, read]).finally(() => this.#guard.kill("SIGKILL"));
    this.endedByItself = this.#gone.then(() => {
      if (this.#told) return new Promise<never>(() => {});
      throw new Error(`Apache Kafka ended by itself:\n${lastLines.join("\n")}`);
    });
    this.endedByItself.catch(() => {});
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#told = true;
    this.#child.kill(signal);
    const deadline = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#gone;
    clearTimeout(deadline);
  }
}

/** What differs from Kafka's defaults, and why: one node has one copy of everything. */
function nodeProperties(data: string, ports: NodePorts): Record<string, string> {
  const host = "127.0.0.1";
  const oneCopy = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
  };
  const small = {
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
    // A topic that nobody made is a mistake to be seen, as it is on the other brokers.
    "auto.create.topics.enable": "false",
    ...oneCopy,
    ...small,
  };
}
