import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serviceNames } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { rightsOf } from "../support/access.ts";

test("docs/operations.md lists the rights that each service needs, and no more", async () => {
  const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
  const rows = [...page.matchAll(/^\| `([\w-]+)` +\| (READ|WRITE) +\| (topic|group) +\| `([\w.-]+)` +\|$/gm)];
  const listed = rows.map(([, service, operation, resource, name]) => [service, operation, resource, name]);
  // A service that bun run new-service has added is not on the page.
  const services = serviceNames.filter((name) => listed.some(([service]) => service === name));
  expect(services.length).toBeGreaterThanOrEqual(4);
  const needed = await Promise.all(
    services.map(async (service) =>
      (await rightsOf(service)).map(({ operation, resource, name }) => [service, operation, resource, name]),
    ),
  );
  expect(listed).toEqual(needed.flat());
});
