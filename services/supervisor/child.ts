import { fileURLToPath } from "node:url";
import { eachLine } from "./lines.ts";
import type { ProcessSpec } from "./process-spec.ts";

const WATCH_PARENT = fileURLToPath(new URL("./watch-parent.ts", import.meta.url));

/** Enough for what a process wrote last to arrive; a grandchild that holds the pipe open does not count. */
const LAST_WORDS_MS = 500;

/** One run of a process, from its start to its end. */
export interface Child {
  readonly pid: number;
  /** Resolves once it has ended and its last lines were read, to how it ended: `exit code 1`, `SIGKILL`. */
  readonly gone: Promise<string>;
  signal(signal: "SIGTERM" | "SIGKILL"): void;
  /** SIGSTOP: it stays there, with its connections, and does nothing. */
  pause(): void;
  /** SIGCONT; no effect on one that runs. */
  resume(): void;
}

/** Starts a process that stops by itself when this one is gone, by whatever way. */
export function spawnChild(
  spec: ProcessSpec,
  onLine: (source: "stdout" | "stderr", line: string) => void,
): Child {
  const child = Bun.spawn([process.execPath, "--preload", WATCH_PARENT, spec.entry], {
    env: { ...spec.env },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    // A session of its own: Ctrl-C in a terminal goes to the supervisor alone, which stops all in order.
    detached: true,
  });
  let guard: ReturnType<typeof spawnGuard> | undefined;
  const resume = () => {
    child.kill("SIGCONT");
    guard?.stdin.end();
    guard = undefined;
  };
  const output = Promise.all([
    eachLine(child.stdout, (line) => onLine("stdout", line)),
    eachLine(child.stderr, (line) => onLine("stderr", line)),
  ]);
  const gone = child.exited.then(async (code) => {
    guard?.stdin.end();
    await Promise.race([output, Bun.sleep(LAST_WORDS_MS)]);
    return child.signalCode?.toString() ?? `exit code ${code}`;
  });
  return {
    pid: child.pid,
    gone,
    signal: (signal) => child.kill(signal),
    pause: () => {
      guard ??= spawnGuard(child.pid);
      child.kill("SIGSTOP");
    },
    resume,
  };
}

/** A paused process cannot notice that its supervisor is gone. Its guard can, and wakes it. */
function spawnGuard(pid: number) {
  return Bun.spawn(["/bin/sh", "-c", 'read -r _; kill -CONT "$1" 2>/dev/null', "guard", String(pid)], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
  });
}
