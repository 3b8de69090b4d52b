import { fileURLToPath } from "node:url";

const WATCH_PARENT = fileURLToPath(new URL("./watch-parent.ts", import.meta.url));

/** How long to read what a process wrote last. A grandchild that keeps the pipe open is not waited for longer. */
const DRAIN_MS = 500;
/** Longer lines are split: a process must not fill the memory of its supervisor. */
const MAX_LINE_LENGTH = 64 * 1024;

/** One run of a process, from its start to its end. */
export interface Child {
  readonly pid: number;
  /** Resolves after the process ended and its last lines were read: `exit code 1`, `SIGKILL`. */
  readonly ended: Promise<string>;
  signal(signal: "SIGTERM" | "SIGKILL"): void;
  /** SIGSTOP: the process keeps its connections and does nothing. */
  pause(): void;
  /** SIGCONT; no effect on a process that runs. */
  resume(): void;
}

/**
 * Starts a TypeScript file with Bun. The process stops by itself when this one ends, in whatever way.
 *
 * @param env the whole environment of the process: nothing is inherited
 */
export function spawnChild(
  { entry, env }: { readonly entry: string; readonly env: Readonly<Record<string, string>> },
  onLine: (source: "stdout" | "stderr", line: string) => void,
): Child {
  const child = Bun.spawn([process.execPath, "--preload", WATCH_PARENT, entry], {
    env: { ...env },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    // A session of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops all processes in order.
    detached: true,
  });
  let guard: ReturnType<typeof spawnGuard> | undefined;
  const output = Promise.all([
    eachLine(child.stdout, (line) => onLine("stdout", line)),
    eachLine(child.stderr, (line) => onLine("stderr", line)),
  ]);
  const ended = child.exited.then(async (code) => {
    guard?.stdin.end();
    await Promise.race([output, Bun.sleep(DRAIN_MS)]);
    return child.signalCode?.toString() ?? `exit code ${code}`;
  });
  return {
    pid: child.pid,
    ended,
    signal: (signal) => child.kill(signal),
    pause: () => {
      guard ??= spawnGuard(child.pid);
      child.kill("SIGSTOP");
    },
    resume: () => {
      child.kill("SIGCONT");
      guard?.stdin.end();
      guard = undefined;
    },
  };
}

/** A paused process cannot notice that its supervisor ended. Its guard notices, and resumes it. */
function spawnGuard(pid: number) {
  return Bun.spawn(["/bin/sh", "-c", 'read -r _; kill -CONT "$1" 2>/dev/null', "guard", String(pid)], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
  });
}

/**
 * Calls back for each line of a stream, without its line end; also for a last line that has none. Resolves at the
 * end of the stream. Invalid UTF-8 becomes replacement characters.
 */
export async function eachLine(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  const take = (text: string) => {
    rest += text;
    let end = rest.indexOf("\n");
    while (end >= 0) {
      onLine(rest.slice(0, end).replace(/\r$/, ""));
      rest = rest.slice(end + 1);
      end = rest.indexOf("\n");
    }
    while (rest.length > MAX_LINE_LENGTH) {
      onLine(rest.slice(0, MAX_LINE_LENGTH));
      rest = rest.slice(MAX_LINE_LENGTH);
    }
  };
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
  take(decoder.decode());
  if (rest !== "") onLine(rest);
}
