import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { PATIENT_MS } from "@distributed-messaging/messaging/conformance";
import { embeddedBroker } from "./embedded.ts";

const PROGRAM = fileURLToPath(new URL("./exit.ts", import.meta.url));
/** A leaked connection or interval would keep it for ever. */
const EXIT_TIMEOUT_MS = 30_000;

for (const broker of ["there", "away"]) {
  test.concurrent(
    `nothing is left behind once all is closed, with a broker that is ${broker}`,
    async () => {
      const server = await embeddedBroker();
      if (broker === "away") await server.stop();
      const child = Bun.spawn([process.execPath, PROGRAM, server.address, broker], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        timeout: EXIT_TIMEOUT_MS,
        killSignal: "SIGKILL",
      });
      const output = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      // Nothing on standard error either: kafkajs used to provoke warnings about negative timeouts there.
      expect(output).toEqual(["closed\n", "", 0]);
      await server.stop();
    },
    PATIENT_MS,
  );
}
