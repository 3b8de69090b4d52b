import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The jars, Maven's local repository and the data of running brokers. Ignored by git. */
export const KAFKA_DIR = join(import.meta.dir, "../../.kafka");

const KAFKA_POM = join(import.meta.dir, "pom.xml");
/** Required by Kafka 4. */
const JAVA_MINIMUM = 17;
/** About 45 MB on a slow line. */
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;
const VERSION_TIMEOUT_MS = 20_000;

/** Apache Kafka cannot be run on this machine. The message is one line. */
export class ApacheKafkaMissing extends Error {
  override readonly name = "ApacheKafkaMissing";
}

export interface KafkaRuntime {
  /** The path of the `java` program. */
  readonly java: string;
  /** The argument of `java -cp`. */
  readonly classPath: string;
}

/**
 * As `provideJars`, for the broker and its tools.
 *
 * @param report called with a line about each step that takes time
 */
export function provideApacheKafka(report: (line: string) => void = () => {}): Promise<KafkaRuntime> {
  return provideJars(KAFKA_POM, "Apache Kafka's jars", report);
}

/**
 * Finds Java and downloads the jars that a `pom.xml` names from Maven Central unless they are present. Writes to `.kafka`
 * only.
 *
 * @param what the jars, for the report
 * @param report called with a line about each step that takes time
 * @throws ApacheKafkaMissing when Java or Maven is missing or too old, or the download fails
 */
export async function provideJars(
  pomFile: string,
  what: string,
  report: (line: string) => void = () => {},
): Promise<KafkaRuntime> {
  const java = await findJava();
  const pom = await readFile(pomFile);
  const jars = join(KAFKA_DIR, `jars-${Bun.hash(pom).toString(16)}`);
  if (!existsSync(jars)) {
    report(`downloading ${what} from Maven Central into .kafka`);
    await downloadJars(pomFile, jars);
  }
  return { java, classPath: join(jars, "*") };
}

async function findJava(): Promise<string> {
  const home = process.env.JAVA_HOME;
  const java = home ? Bun.which("java", { PATH: join(home, "bin") }) : Bun.which("java");
  const needed = `Java ${JAVA_MINIMUM} or later`;
  if (java === null) throw new ApacheKafkaMissing(`${needed} is not installed`);
  const { exitCode, output } = await run([java, "-version"], VERSION_TIMEOUT_MS);
  const version = /version "(\d+)/.exec(output)?.[1];
  if (exitCode !== 0 || version === undefined) throw new ApacheKafkaMissing(`${java} does not run`);
  if (Number(version) < JAVA_MINIMUM) {
    throw new ApacheKafkaMissing(`Apache Kafka needs ${needed}; ${java} is Java ${version}`);
  }
  return java;
}

async function downloadJars(pomFile: string, target: string): Promise<void> {
  const mvn = Bun.which("mvn");
  if (mvn === null) throw new ApacheKafkaMissing("Maven (mvn) is not installed");
  const temporary = join(KAFKA_DIR, "tmp");
  mkdirSync(temporary, { recursive: true });
  // Renamed when the download is complete: a folder with the final name has every jar.
  const incomplete = `${target}.${process.pid}`;
  const command = [
    mvn,
    "--batch-mode",
    "--quiet",
    `--file=${pomFile}`,
    `-Dmaven.repo.local=${join(KAFKA_DIR, "maven")}`,
    `-DoutputDirectory=${incomplete}`,
  ];
  const environment = { MAVEN_OPTS: `-XX:-UsePerfData -Djava.io.tmpdir=${temporary}` };
  const { exitCode, output } = await run(command, DOWNLOAD_TIMEOUT_MS, environment);
  if (exitCode === 0 && !existsSync(target)) renameSync(incomplete, target);
  rmSync(incomplete, { recursive: true, force: true });
  if (exitCode !== 0) throw new ApacheKafkaMissing(`Maven cannot download the jars: ${reasonIn(output)}`);
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
  return (lines.find((line) => line.includes("ERROR")) ?? "no reason given").trim().slice(0, 200);
}
