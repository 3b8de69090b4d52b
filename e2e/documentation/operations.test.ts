import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commonSettings } from "@distributed-messaging/service/config";
import { rightsOf } from "@distributed-messaging/services/access-rights";
import { serviceNames } from "@distributed-messaging/services/registry";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { listedRights } from "../support/access.ts";

test("docs/operations.md lists the rights that each service needs, and no more", async () => {
  const needed = await Promise.all(
    serviceNames.map(async (service) => (await rightsOf(service)).map((right) => ({ service, ...right }))),
  );
  expect(listedRights()).toEqual(needed.flat());
});

test("docs/operations.md names every setting of the broker access", () => {
  const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
  const names = Object.keys(commonSettings).filter((name) => /^KAFKA_(SSL|SASL|OAUTH)/.test(name));
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
