/** In a container: exit code 0 if the service that SERVICE names is ready, else 1 with a line that says why. */
import { errorText } from "@distributed-messaging/messaging";
import { services } from "@distributed-messaging/services/registry";

const name = process.env.SERVICE ?? "";
const service = Object.entries(services).find(([known]) => known === name)?.[1];
if (service === undefined) {
  console.error(`healthcheck: SERVICE: expected one of ${Object.keys(services).join(", ")}, got '${name}'`);
  process.exit(1);
}
const port = process.env[service.setting] || String(service.port);
try {
  const response = await fetch(`http://127.0.0.1:${port}/readiness`, { signal: AbortSignal.timeout(4_000) });
  console.log(await response.text());
  process.exit(response.ok ? 0 : 1);
} catch (error) {
  console.error(`healthcheck: ${errorText(error)}`);
  process.exit(1);
}
