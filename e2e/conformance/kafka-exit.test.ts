import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { TEST_TIMEOUT_MS } from "@distributed-messaging/messaging/conformance";
import { embeddedBroker } from "./embedded.ts";

const PROGRAM = fileURLToPath(new URL("./exit.ts", import.meta.url));
/** A leaked connection or timer would keep the process alive. */
const EXIT_TIMEOUT_MS = 30_000;

for (const broker of ["available", "unavailable"]) {
  test.concurrent(
    `no connection and no timer is left after closing, with a broker that is ${broker}`,
    async () => {
      const server = await embeddedBroker();
      if (broker === "unavailable") await server.stop();
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
      // Nothing on standard error either: uncorrected, kafkajs sets timers with a negative delay, and Bun warns.
      expect(output).toEqual(["closed\n", "", 0]);
      await server.stop();
    },
    TEST_TIMEOUT_MS,
  );
}
