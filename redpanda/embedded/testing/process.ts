/** The broker as a child process. */
import { join } from "node:path";
import { cleanUp } from "./temporary.ts";

const MAIN = join(import.meta.dir, "..", "main.ts");

interface End {
  readonly code: number | null;
  readonly stderr: string;
}

type Child = Bun.Subprocess<"ignore", "pipe", "pipe">;

export class BrokerProcess {
  private constructor(
    private readonly child: Child,
    private readonly output: ReadableStreamDefaultReader<Uint8Array>,
    /** The fields of the log line "listening". */
    readonly listening: Readonly<Record<string, unknown>>,
  ) {}

  /**
   * @param port 0: any free port.
   * @param maxOpenFiles how many files it may have open, unlimited by default
   */
  static async start(
    dataDir: string,
    port = 0,
    args: readonly string[] = [],
    maxOpenFiles?: number,
  ): Promise<BrokerProcess> {
    // The only places where it could store something.
    const places = { DATA_DIR: dataDir, TMPDIR: dataDir };
    const child = spawn({ KAFKA_BROKERS: `localhost:${port}`, ...places }, args, dataDir, maxOpenFiles);
    const output = child.stdout.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (let read = await output.read(); !read.done; read = await output.read()) {
      text += decoder.decode(read.value);
      const line = text.split("\n").find((candidate) => candidate.includes('"listening"'));
      if (line) return new BrokerProcess(child, output, JSON.parse(line));
    }
    throw new Error(`the broker did not start: ${await new Response(child.stderr).text()}`);
  }

  /** Closes the reading end of its stdout. */
  async closeOutput(): Promise<void> {
    await this.output.cancel();
  }

  get pid(): number {
    return this.child.pid;
  }

  get port(): number {
    return Number(this.listening.port);
  }

  /** Resolves with the rest of its log, from the call to its end. */
  async rest(): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    for (let read = await this.output.read(); !read.done; read = await this.output.read()) {
      text += decoder.decode(read.value);
    }
    return text;
  }

  async end(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): Promise<End> {
    this.child.kill(signal);
    return endOf(this.child);
  }
}

/** Runs the broker with settings with which it does not start, until it exits. */
export async function runToEnd(
  env: Record<string, string>,
  args: readonly string[] = [],
): Promise<End & { readonly stdout: string }> {
  const child = spawn(env, args);
  const stdout = await new Response(child.stdout).text();
  return { stdout, ...(await endOf(child)) };
}

function spawn(
  env: Record<string, string>,
  args: readonly string[],
  cwd = process.cwd(),
  maxOpenFiles?: number,
): Child {
  const limited =
    maxOpenFiles === undefined ? [] : ["/bin/sh", "-c", `ulimit -n ${maxOpenFiles}; exec "$0" "$@"`];
  const child = Bun.spawn([...limited, process.execPath, MAIN, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  cleanUp(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return child;
}

async function endOf(child: Child): Promise<End> {
  const stderr = await new Response(child.stderr).text();
  await child.exited;
  return { code: child.exitCode, stderr };
}
