import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Finished, runToEnd } from "@distributed-messaging/e2e/support/run-to-end";
import { ROOT } from "@distributed-messaging/supervisor/store";

/** Temporary projects for the tests of bootstrap.sh. */
export class BootstrapFolder {
  readonly #path = mkdtempSync(join(tmpdir(), "bootstrap-"));
  #count = 0;

  /** A project with one dependency, in a folder whose path has a space, and an empty home. */
  clone(): BootstrapClone {
    return new BootstrapClone(this.#next("a clone"));
  }

  /** A folder for PATH with links to these programs only. */
  links(programs: Readonly<Record<string, string>>): string {
    const path = this.#next("bin");
    for (const [name, target] of Object.entries(programs)) symlinkSync(target, join(path, name));
    return path;
  }

  /** A folder for PATH with these shell scripts only. */
  programs(programs: Readonly<Record<string, string>>): string {
    const path = this.#next("bin");
    for (const [name, text] of Object.entries(programs)) {
      writeFileSync(join(path, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(path, name), 0o755);
    }
    return path;
  }

  remove(): void {
    rmSync(this.#path, { recursive: true, force: true });
  }

  #next(name: string): string {
    this.#count += 1;
    const path = join(this.#path, `${name} ${this.#count}`);
    mkdirSync(path);
    return path;
  }
}

class BootstrapClone {
  readonly root: string;
  readonly home: string;

  constructor(folder: string) {
    this.root = join(folder, "project");
    this.home = join(folder, "home");
    mkdirSync(join(this.root, "scripts"), { recursive: true });
    mkdirSync(this.home);
    cpSync(join(ROOT, "scripts/bootstrap.sh"), join(this.root, "scripts/bootstrap.sh"));
    cpSync(join(ROOT, ".npmrc"), join(this.root, ".npmrc"));
    this.write(
      "hello.ts",
      'import ms from "ms";\nconsole.log("hello", ms(60_000), ...process.argv.slice(2));\n',
    );
    this.write("package.json", JSON.stringify(manifest));
    this.write("bun.lock", JSON.stringify(lock));
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  /** Runs a command in the project, by default bootstrap.sh with hello.ts. Nothing of the environment is inherited. */
  async run(
    path: readonly string[],
    options: { command?: readonly string[]; env?: Readonly<Record<string, string>> } = {},
  ): Promise<Finished> {
    const command = options.command ?? ["/bin/sh", "scripts/bootstrap.sh", "hello.ts", "a b"];
    const env = { HOME: this.home, PATH: path.join(":"), ...options.env };
    return runToEnd(command, { cwd: this.root, env });
  }
}

const manifest = {
  name: "tiny",
  private: true,
  scripts: { hello: "/bin/sh scripts/bootstrap.sh hello.ts" },
  dependencies: { ms: "2.1.3" },
};

const lock = {
  lockfileVersion: 2,
  configVersion: 1,
  workspaces: { "": { name: "tiny", dependencies: { ms: "2.1.3" } } },
  packages: {
    ms: [
      "ms@2.1.3",
      "",
      {},
      "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==",
    ],
  },
};
