import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eachLine } from "@distributed-messaging/supervisor/lines";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { ROOT } from "@distributed-messaging/supervisor/store";

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Settings under which a store of its own can run: free ports, and a data directory that is not there yet. */
export class StoreSettings {
  readonly env: Readonly<Record<string, string>>;
  readonly #folder = mkdtempSync(join(tmpdir(), "store-"));

  constructor(env: Readonly<Record<string, string>> = {}) {
    const [broker, gateway, inventory, order, notification, supervisor] = freePorts(6).map(String);
    this.env = {
      PATH: process.env.PATH ?? "",
      TMPDIR: tmpdir(),
      BUN_RUNTIME_TRANSPILER_CACHE_PATH: process.env.BUN_RUNTIME_TRANSPILER_CACHE_PATH ?? "",
      DATA_DIR: join(this.#folder, "data"),
      BROKER_PORT: broker ?? "",
      API_GATEWAY_PORT: gateway ?? "",
      INVENTORY_PORT: inventory ?? "",
      ORDER_PORT: order ?? "",
      NOTIFICATION_PORT: notification ?? "",
      SUPERVISOR_PORT: supervisor ?? "",
      ...env,
    };
  }

  /** Runs one of the project's scripts to its end. */
  async run(
    script: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    const child = Bun.spawn([process.execPath, join(ROOT, "scripts", script), ...args], {
      cwd: ROOT,
      env: { ...this.env, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { stdout, stderr, exitCode };
  }

  /** Runs `start.ts` until it is told to stop. */
  start(args: readonly string[] = []): StoreProcess {
    return new StoreProcess([process.execPath, join(ROOT, "scripts/start.ts"), ...args], ROOT, this.env);
  }

  url(port: "API_GATEWAY_PORT" | "INVENTORY_PORT" | "ORDER_PORT" | "NOTIFICATION_PORT"): string {
    return `http://127.0.0.1:${this.env[port]}`;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A store that runs as `npm start` runs it. */
export class StoreProcess {
  readonly lines: string[] = [];
  readonly exited: Promise<number>;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #watchers = new Set<() => void>();

  constructor(command: readonly string[], cwd: string, env: Readonly<Record<string, string>>) {
    this.#child = Bun.spawn([...command], {
      cwd,
      env: { ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const add = (line: string) => {
      this.lines.push(line);
      for (const watcher of this.#watchers) watcher();
    };
    const output = Promise.all([eachLine(this.#child.stdout, add), eachLine(this.#child.stderr, add)]);
    this.exited = this.#child.exited.then(async (code) => {
      await output;
      for (const watcher of this.#watchers) watcher();
      return code;
    });
  }

  /** The first line that matches, now or later. @throws with everything it said when it ends without one */
  async line(pattern: RegExp): Promise<string> {
    const found = Promise.withResolvers<string>();
    const look = () => {
      const line = this.lines.find((one) => pattern.test(one));
      if (line !== undefined) found.resolve(line);
    };
    this.#watchers.add(look);
    look();
    void this.exited.then(() =>
      found.reject(new Error(`ended without ${pattern}:\n${this.lines.join("\n")}`)),
    );
    try {
      return await found.promise;
    } finally {
      this.#watchers.delete(look);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}
