/**
 * Loaded before a supervised process (`bun --preload`): its standard input is a pipe that only the supervisor
 * holds, so its end means that the supervisor is gone, even by SIGKILL. The process then stops as if told to,
 * and is killed when it has not stopped in time. A process started by hand never loads this.
 */
const STOP_TIMEOUT_MS = 12_000;

process.stdin.on("end", () => {
  setTimeout(() => process.kill(process.pid, "SIGKILL"), STOP_TIMEOUT_MS).unref();
  process.kill(process.pid, "SIGTERM");
});
process.stdin.resume();
// Waiting for that end alone must not keep a process alive that has nothing left to do.
process.stdin.unref();
