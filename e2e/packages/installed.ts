import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { runToEnd } from "../support/run-to-end.ts";

/** The folders of the packages that can be installed, by their names. */
export const packages = {
  messaging: "shared/messaging",
  contracts: "shared/contracts",
  service: "shared/service",
  "embedded-broker": "redpanda/embedded",
};

export type PackageName = keyof typeof packages;

/** An empty folder outside of the repository, with an empty cache, in which packages are installed as a user does. */
export class OutsideFolder {
  /** Where the tarballs are. */
  readonly path: string;

  constructor() {
    // TMPDIR may be in the repository, whose node_modules would be found from there.
    const parent = tmpdir().startsWith(ROOT) ? "/tmp" : tmpdir();
    this.path = mkdtempSync(join(parent, "packages-"));
  }

  /** Packs a package. @returns its tarball's name */
  async pack(name: PackageName): Promise<string> {
    const command = [process.execPath, "pm", "pack", "--quiet", "--destination", this.path];
    await this.run(command, join(ROOT, packages[name]));
    const [tarball] = new Bun.Glob(`distributed-messaging-${name}-*.tgz`).scanSync(this.path);
    if (tarball === undefined) throw new Error(`${name} was not packed`);
    return tarball;
  }

  /** Makes a folder beside the tarballs. */
  folder(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** The environment of what is run here: the registry is the machine's, the cache is not. */
  env(settings: Readonly<Record<string, string>> = {}): Record<string, string | undefined> {
    return {
      ...process.env,
      NODE_ENV: undefined,
      KAFKA_BROKERS: undefined,
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
      HOME: this.path,
      BUN_INSTALL_CACHE_DIR: join(this.path, "cache"),
      ...settings,
    };
  }

  /** The output of a command. @throws when its exit code is not 0 */
  async run(
    command: readonly string[],
    cwd: string,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const { stdout, stderr, exitCode } = await runToEnd(command, { cwd, env: this.env(settings) });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}${stdout}`);
    return stdout + stderr;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
