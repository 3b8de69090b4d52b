import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { provideApacheKafka } from "@distributed-messaging/redpanda/apache-kafka/jars";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** The clients as they are built, and the caches of their toolchains. Ignored by git. */
const CLIENTS_DIR = join(ROOT, ".tools/clients");
/** Downloads and compilation, on a slow line and a slow machine. */
const BUILD_TIMEOUT_MS = 10 * 60_000;
/** For a program that starts quickly, stays small and prints nothing but answers. */
const JAVA_FLAGS = [
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:-UsePerfData",
  "-Xmx256m",
  "-Dorg.apache.logging.log4j.level=OFF",
];
const REQUIREMENTS = join(import.meta.dir, "python/requirements.txt");

/** A client cannot be built or run on this machine. The message is one line. */
export class ClientMissing extends Error {
  override readonly name = "ClientMissing";
}

/**
 * Builds the Go module of a folder, unless this state of it was built before.
 *
 * @returns the path of the program
 * @throws ClientMissing when Go is missing or too old, or the modules cannot be downloaded
 */
export async function buildGoModule(source: string): Promise<string> {
  const go = Bun.which("go");
  if (go === null) throw new ClientMissing("Go is not installed");
  const files = readdirSync(source).map((file) => join(source, file));
  return build(basename(source), files.sort(), async (target) => {
    await run([go, "build", "-o", target, "."], source, {
      GOMODCACHE: join(CLIENTS_DIR, "go/mod"),
      GOCACHE: join(CLIENTS_DIR, "go/build"),
      GOFLAGS: "-mod=readonly -modcacherw -trimpath -buildvcs=false",
      // Otherwise Go downloads another version of itself when this one is too old.
      GOTOOLCHAIN: "local",
    });
  });
}

/**
 * Installs packages into a virtual environment, unless they are.
 *
 * @param requirements the file that lists them; by default, those of the clients
 * @returns the path of its Python
 * @throws ClientMissing when Python is missing or too old, has no `venv`, or the packages cannot be downloaded
 */
export async function buildPythonEnvironment(requirements = REQUIREMENTS): Promise<string> {
  const python = Bun.which("python3");
  if (python === null) throw new ClientMissing("Python is not installed");
  const environment = await build("python", [requirements], async (target) => {
    await run([python, "-m", "venv", target], import.meta.dir);
    const pip = [
      join(target, "bin/python"),
      "-m",
      "pip",
      "install",
      "--quiet",
      "--no-deps",
      "--only-binary=:all:",
    ];
    await run([...pip, "--requirement", requirements], import.meta.dir, {
      PIP_CACHE_DIR: join(CLIENTS_DIR, "pip"),
      PIP_DISABLE_PIP_VERSION_CHECK: "1",
    });
  });
  return join(environment, "bin/python");
}

/**
 * Compiles `java/JavaClient.java` with the jars of Apache Kafka, unless this state of it was compiled before.
 *
 * @returns the command that runs it
 * @throws ClientMissing when there is no Java compiler; ApacheKafkaMissing when there are no jars
 */
export async function buildJavaClient(): Promise<string[]> {
  const { java, classPath } = await provideApacheKafka();
  const javac = Bun.which("javac", { PATH: `${dirname(java)}:${process.env.PATH}` });
  if (javac === null) throw new ClientMissing("a Java compiler (javac) is not installed");
  const source = join(import.meta.dir, "java/JavaClient.java");
  const classes = await build("java", [source], async (target) => {
    await run([javac, "-cp", classPath, "-d", target, source], import.meta.dir);
  });
  const temporary = join(CLIENTS_DIR, "tmp");
  mkdirSync(temporary, { recursive: true });
  return [
    java,
    ...JAVA_FLAGS,
    `-Djava.io.tmpdir=${temporary}`,
    "-cp",
    `${classes}:${classPath}`,
    "JavaClient",
  ];
}

/** The builds of this process: several clients need one environment, at the same time. */
const builds = new Map<string, Promise<string>>();

/**
 * Builds a client from files, once, under a name that changes with them. Concurrent builds, also those of other
 * processes, do not disturb each other.
 *
 * @param make builds it at the given path
 */
function build(
  name: string,
  files: readonly string[],
  make: (target: string) => Promise<void>,
): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for (const file of files) hash.update(file).update(readFileSync(file));
  const target = join(CLIENTS_DIR, `${name}-${hash.digest("hex").slice(0, 16)}`);
  const known = builds.get(target) ?? buildAt(target, make);
  builds.set(target, known);
  return known;
}

async function buildAt(target: string, make: (target: string) => Promise<void>): Promise<string> {
  if (existsSync(target)) return target;
  mkdirSync(CLIENTS_DIR, { recursive: true });
  // Renamed when it is complete.
  const incomplete = `${target}.${process.pid}`;
  try {
    await make(incomplete);
    if (!existsSync(target)) renameSync(incomplete, target);
  } finally {
    rmSync(incomplete, { recursive: true, force: true });
  }
  return target;
}

/** Runs a command to its end. @throws ClientMissing with a line of its output when it fails */
async function run(
  command: string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = Bun.spawn(command, {
    cwd,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: BUILD_TIMEOUT_MS,
    env: { ...process.env, ...env },
  });
  const output = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) === 0) return;
  const lines = output
    .join("\n")
    .split("\n")
    .filter((line) => line.trim() !== "");
  const reason =
    lines.find((line) => /error|requires|cannot/i.test(line)) ?? lines.at(-1) ?? "no reason given";
  throw new ClientMissing(`${command.slice(0, 3).join(" ")}: ${reason.trim().slice(0, 200)}`);
}
