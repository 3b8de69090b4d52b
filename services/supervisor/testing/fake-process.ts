/**
 * A process for the supervisor's tests, controlled by its environment:
 *
 * - FAKE_PORT: serves `/readiness` there; `/crash` ends the process with exit code 7
 * - FAKE_JOURNAL: appends `<FAKE_NAME> started|stopped` to this file
 * - FAKE_EXIT: ends at once with this exit code, after a line on stderr
 * - FAKE_STUBBORN: ignores SIGTERM
 * - FAKE_LINES: prints as many lines first
 */
import { appendFileSync } from "node:fs";

const { FAKE_PORT, FAKE_JOURNAL, FAKE_NAME, FAKE_EXIT, FAKE_STUBBORN, FAKE_LINES } = process.env;

function note(what: string): void {
  if (FAKE_JOURNAL !== undefined) appendFileSync(FAKE_JOURNAL, `${FAKE_NAME} ${what} ${process.pid}\n`);
}

if (FAKE_EXIT !== undefined) {
  process.stderr.write("fake: invalid setting\n");
  process.exit(Number(FAKE_EXIT));
}

process.on("SIGTERM", () => {
  if (FAKE_STUBBORN !== undefined) return;
  note("stopped");
  process.exit(0);
});

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(FAKE_PORT ?? 0),
  fetch(request) {
    if (new URL(request.url).pathname === "/crash") setTimeout(() => process.exit(7), 0);
    return new Response("yes");
  },
});

note("started");
for (let line = 1; line <= Number(FAKE_LINES ?? 0); line++) console.log(`line ${line}`);
console.log(`fake listening on ${server.port}`);
