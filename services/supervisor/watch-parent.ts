import { Database } from "bun:sqlite";

/**
 * Preloaded into every supervised process (`bun --preload`). Its standard input is a pipe that only the supervisor
 * holds: the end of the pipe means that the supervisor ended, even by SIGKILL. The process then gets SIGTERM, and
 * SIGKILL if it does not stop in time.
 */
const STOP_TIMEOUT_MS = 12_000;

// The next supervisor waits for the end of this lock, and so of this process: data-dir.ts.
const path = process.env.PROCESSES_LOCK;
if (path !== undefined) {
  const lock = new Database(path, { create: true });
  lock.run("BEGIN");
  lock.query("SELECT count(*) FROM sqlite_master").get();
  // Without a reference it would be closed.
  process.on("exit", () => lock.close());
}

process.stdin.on("end", () => {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), STOP_TIMEOUT_MS).unref();
  process.kill(process.pid, "SIGTERM");
});
process.stdin.resume();
// This listener alone must not keep a process alive that has nothing left to do.
process.stdin.unref();
