import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commonSettings } from "@distributed-messaging/service/config";
import { serviceNames } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { rightsOf } from "../support/access.ts";

const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");

test("docs/operations.md lists the rights that each service needs, and no more", async () => {
  const rows = [...page.matchAll(/^\| `([\w-]+)` +\| (READ|WRITE) +\| (topic|group) +\| `([\w.-]+)` +\|$/gm)];
  const listed = rows.map(([, service, operation, resource, name]) => [service, operation, resource, name]);
  const needed = await Promise.all(
    serviceNames.map(async (service) =>
      (await rightsOf(service)).map(({ operation, resource, name }) => [service, operation, resource, name]),
    ),
  );
  expect(listed).toEqual(needed.flat());
});

test("docs/operations.md names every setting of the broker access", () => {
  const names = Object.keys(commonSettings).filter((name) => /^KAFKA_(SSL|SASL|OAUTH)/.test(name));
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
