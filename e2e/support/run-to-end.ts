export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

interface RunOptions {
  readonly cwd: string;
  /** The whole environment of the process: nothing is inherited. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** After this time the process is killed. Unlimited by default. */
  readonly timeoutMs?: number;
}

/** Runs a command without input until it ends. */
export async function runToEnd(command: readonly string[], options: RunOptions): Promise<Finished> {
  const { cwd, env, timeoutMs } = options;
  const child = Bun.spawn([...command], {
    ...{ cwd, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: "SIGKILL" }),
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}
