import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** The clients as they are built, and the caches of their toolchains. Ignored by git. */
const CLIENTS_DIR = join(ROOT, ".tools/clients");
/** Downloads and compilation, on a slow line and a slow machine. */
const BUILD_TIMEOUT_MS = 10 * 60_000;

/** A client cannot be built or run on this machine. The message is one line. */
export class ClientMissing extends Error {
  override readonly name = "ClientMissing";
}

/**
 * Builds the Go module of a folder beside this file, unless this state of it was built before.
 *
 * @returns the path of the program
 * @throws ClientMissing when Go is missing or too old, or the modules cannot be downloaded
 */
export async function buildGoClient(name: string): Promise<string> {
  const go = Bun.which("go");
  if (go === null) throw new ClientMissing("Go is not installed");
  const source = join(import.meta.dir, name);
  return build(name, source, async (target) => {
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
 * Builds a client from the files of a folder under a name that changes with them, once. Concurrent builds do not
 * disturb each other.
 *
 * @param make builds it at the given path
 */
async function build(name: string, source: string, make: (target: string) => Promise<void>): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for (const file of readdirSync(source).sort()) hash.update(file).update(readFileSync(join(source, file)));
  const target = join(CLIENTS_DIR, `${name}-${hash.digest("hex").slice(0, 16)}`);
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
