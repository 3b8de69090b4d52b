import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../ports.ts";
import type { ProcessSpec } from "../process.ts";

/** Whether a process exists and has not ended. A zombie has ended. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}

/** A fake process on a free port, see fake-process.ts for `env`. */
export function fake(name: string, env: Record<string, string> = {}): ProcessSpec {
  const port = env.FAKE_PORT ?? String(freePorts(1)[0]);
  return {
    name,
    entry: join(import.meta.dir, "fake-process.ts"),
    env: { PATH: process.env.PATH ?? "", FAKE_NAME: name, FAKE_PORT: port, ...env },
    ready: { kind: "http", url: `http://127.0.0.1:${port}/readiness` },
  };
}
