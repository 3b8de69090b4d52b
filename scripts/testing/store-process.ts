import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Finished, runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { eachLine } from "@distributed-messaging/supervisor/child";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { portSetting } from "@distributed-messaging/supervisor/settings";
import { processNames, ROOT } from "@distributed-messaging/supervisor/store";

/** The environment of a store that shares nothing with others: free ports, and a data directory of its own. */
export class StoreSettings {
  readonly env: Readonly<Record<string, string>>;
  readonly #folder = mkdtempSync(join(tmpdir(), "store-"));

  constructor(env: Readonly<Record<string, string>> = {}) {
    const names = [...processNames, "supervisor"] as const;
    const ports = freePorts(names.length);
    this.env = {
      PATH: process.env.PATH ?? "",
      TMPDIR: tmpdir(),
      BUN_RUNTIME_TRANSPILER_CACHE_PATH: process.env.BUN_RUNTIME_TRANSPILER_CACHE_PATH ?? "",
      DATA_DIR: join(this.#folder, "data"),
      ...Object.fromEntries(names.map((name, index) => [portSetting(name), String(ports[index])])),
      ...env,
    };
  }

  /** Runs a command to its end. @param script its file in scripts/ */
  async run(
    script: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    const command = [process.execPath, join(ROOT, "scripts", script), ...args];
    return runToEnd(command, { cwd: ROOT, env: { ...this.env, ...env } });
  }

  /** Starts `npm start`'s command. */
  start(args: readonly string[] = []): StoreProcess {
    return new StoreProcess([process.execPath, join(ROOT, "scripts/start.ts"), ...args], ROOT, this.env);
  }

  url(name: ServiceName): string {
    return `http://127.0.0.1:${this.env[portSetting(name)]}`;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A running command of the project. */
export class StoreProcess {
  readonly lines: string[] = [];
  /** Its exit code, once it and what writes to its output have ended. */
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

  /** Ends it, and no process that it has started. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  /** The first line that matches, when there is one. @throws with all lines when the process ends without one */
  async line(pattern: RegExp): Promise<string> {
    const found = Promise.withResolvers<string>();
    const look = () => {
      const line = this.lines.find((one) => pattern.test(one));
      if (line !== undefined) found.resolve(line);
    };
    this.#watchers.add(look);
    look();
    void this.exited.then(() =>
      found.reject(new Error(`ended without a line ${pattern}:\n${this.lines.join("\n")}`)),
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
