import { join } from "node:path";
import { eventually } from "@distributed-messaging/messaging/testing";
import type { ServiceName } from "@distributed-messaging/services/registry";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import { portSetting } from "@distributed-messaging/supervisor/settings";
import { ROOT } from "@distributed-messaging/supervisor/store";
import type { OwnStore } from "./own-store.ts";

/** Another process of a service, on a data directory of its own. */
export async function second(
  store: OwnStore,
  name: ServiceName,
  dataDir: string,
  env: Readonly<Record<string, string>> = {},
) {
  const [port = 0] = freePorts(1);
  const child = Bun.spawn([process.execPath, join(ROOT, "services", name, "main.ts")], {
    stdout: "ignore",
    stderr: "pipe",
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      HOST: "127.0.0.1",
      KAFKA_BROKERS: store.brokers,
      [portSetting(name)]: String(port),
      AUTOMATION_TESTING: "true",
      ...env,
    },
  });
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    /** Its exit code and what it wrote, once it has ended by itself. */
    ended: async () => ({ exitCode: await child.exited, stderr: await new Response(child.stderr).text() }),
    /** Until its readiness has this text among what it says. */
    says: (text: string) =>
      eventually(async () => {
        const answer = await fetch(`${url}/readiness`);
        const said = await answer.text();
        if (answer.status !== 503 || !said.includes(text)) throw new Error(`${answer.status} ${said}`);
        return true;
      }, `the second ${name} to say: ${text}`),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
