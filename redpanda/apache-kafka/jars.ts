import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** Everything that belongs to Apache Kafka: jars, Maven's own copy of them, data. Ignored by git. */
export const KAFKA_DIR = join(ROOT, ".kafka");
export const KAFKA_SOURCES = join(ROOT, "redpanda/apache-kafka");

const POM = join(KAFKA_SOURCES, "pom.xml");
/** What Kafka 4 needs. */
const JAVA_MINIMUM = 17;
/** About 45 MB on a slow line. */
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;
const VERSION_TIMEOUT_MS = 20_000;

/** What is needed to run Apache Kafka is not there. The message is one line for the user. */
export class ApacheKafkaMissing extends Error {
  override readonly name = "ApacheKafkaMissing";
}

export interface KafkaRuntime {
  /** The program. */
  readonly java: string;
  /** As `java -cp` takes it. */
  readonly classPath: string;
}

/**
 * Finds Java and brings the broker's jars from Maven Central, unless they are there. Writes nothing outside `.kafka`.
 *
 * @param say is told what is being done, a line at a time
 * @throws ApacheKafkaMissing when Java or Maven is missing or too old, or nothing can be downloaded
 */
export async function provideApacheKafka(say: (line: string) => void = () => {}): Promise<KafkaRuntime> {
  const java = await findJava();
  const pom = await readFile(POM);
  const jars = join(KAFKA_DIR, `jars-${Bun.hash(pom).toString(16)}`);
  if (!existsSync(jars)) await downloadJars(jars, say);
  return { java, classPath: join(jars, "*") };
}

async function findJava(): Promise<string> {
  const home = process.env.JAVA_HOME;
  const java = home ? Bun.which("java", { PATH: join(home, "bin") }) : Bun.which("java");
  const needed = `Java ${JAVA_MINIMUM} or later`;
  if (java === null) throw new ApacheKafkaMissing(`there is no ${needed} here`);
  const { exitCode, output } = await run([java, "-version"], VERSION_TIMEOUT_MS);
  const version = /version "(\d+)/.exec(output)?.[1];
  if (exitCode !== 0 || version === undefined) throw new ApacheKafkaMissing(`${java} does not run`);
  if (Number(version) < JAVA_MINIMUM) {
    throw new ApacheKafkaMissing(`Apache Kafka needs ${needed}, and this is Java ${version}`);
  }
  return java;
}

async function downloadJars(target: string, say: (line: string) => void): Promise<void> {
  const mvn = Bun.which("mvn");
  if (mvn === null) throw new ApacheKafkaMissing("there is no Maven (mvn) here to bring Apache Kafka's jars");
  say("bringing Apache Kafka's jars from Maven Central into .kafka");
  const temporary = join(KAFKA_DIR, "tmp");
  mkdirSync(temporary, { recursive: true });
  // Under another name first: what is found under the right name is complete.
  const incomplete = `${target}.${process.pid}`;
  const command = [
    mvn,
    "--batch-mode",
    "--quiet",
    `--file=${POM}`,
    `-Dmaven.repo.local=${join(KAFKA_DIR, "maven")}`,
    `-DoutputDirectory=${incomplete}`,
  ];
  const environment = { MAVEN_OPTS: `-XX:-UsePerfData -Djava.io.tmpdir=${temporary}` };
  const { exitCode, output } = await run(command, DOWNLOAD_TIMEOUT_MS, environment);
  if (exitCode === 0 && !existsSync(target)) renameSync(incomplete, target);
  rmSync(incomplete, { recursive: true, force: true });
  if (exitCode !== 0) throw new ApacheKafkaMissing(`Maven could not bring its jars: ${reasonIn(output)}`);
}

/** Runs a program to its end. */
async function run(command: string[], timeout: number, env: Record<string, string> = {}) {
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout,
    env: { ...process.env, ...env },
  });
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { exitCode: await child.exited, output: output.join("\n") };
}

function reasonIn(output: string): string {
  const lines = Bun.stripANSI(output).split("\n");
  return (lines.find((line) => line.includes("ERROR")) ?? "it does not say why").trim().slice(0, 200);
}
