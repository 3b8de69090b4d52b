/**
 * Preloaded into every supervised process (`bun --preload`). Its standard input is a pipe that only the supervisor
 * holds: the end of the pipe means that the supervisor ended, even by SIGKILL. The process then gets SIGTERM, and
 * SIGKILL if it does not stop in time.
 */
const STOP_TIMEOUT_MS = 12_000;

process.stdin.on("end", () => {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), STOP_TIMEOUT_MS).unref();
  process.kill(process.pid, "SIGTERM");
});
process.stdin.resume();
// This listener alone must not keep a process alive that has nothing left to do.
process.stdin.unref();
