import { type ChildProcessByStdio, spawn } from "node:child_process";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { eventually } from "@distributed-messaging/messaging/testing";

/** The log line of a broker that clients can connect to. */
interface Listening {
  readonly port: number;
  readonly storage: string;
}

const running = new Set<BrokerCommand>();

/** Ends every broker that was started and not stopped, as after a test that failed. */
export async function stopAll(): Promise<void> {
  for (const broker of running) await broker.stop("SIGKILL");
}

/** A broker that was started by a command, in a process group of its own: npx ends without what it has started. */
export class BrokerCommand {
  private constructor(
    private readonly child: ChildProcessByStdio<null, Readable, null>,
    private readonly exited: Promise<number | null>,
    readonly listening: Listening,
  ) {
    running.add(this);
  }

  /** Resolves when it listens. */
  static async start(
    command: readonly string[],
    cwd: string,
    env: Readonly<Record<string, string | undefined>>,
  ): Promise<BrokerCommand> {
    const [program = "", ...args] = command;
    const child = spawn(program, args, {
      cwd,
      detached: true,
      env: { ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", resolve);
    });
    let text = "";
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      text += String(chunk);
      const line = text.split("\n").find((one) => one.includes('"msg":"listening"'));
      if (!line?.endsWith("}")) continue;
      child.stdout.resume();
      return new BrokerCommand(child, exited, JSON.parse(line));
    }
    throw new Error(`${command.join(" ")} ended with ${await exited}: ${text}`);
  }

  get address(): string {
    return `localhost:${this.listening.port}`;
  }

  /** Ends the whole group. @returns the exit code of the command; null after a signal */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number | null> {
    running.delete(this);
    if (this.child.pid !== undefined) process.kill(-this.child.pid, signal);
    const code = await this.exited;
    await portIsFree(this.listening.port);
    return code;
  }
}

/** Resolves when nobody listens on the port. */
export async function portIsFree(port: number): Promise<void> {
  await eventually(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("error", () => resolve(true));
        socket.once("connect", () => {
          socket.destroy();
          resolve(false);
        });
      }),
    `port ${port} is free`,
  );
}
