import { expect, test } from "bun:test";
import { serviceNames } from "@distributed-messaging/services/registry";
import { listedRights, rightsOf } from "../support/access.ts";

test("docs/operations.md lists the rights that each service needs, and no more", async () => {
  const needed = await Promise.all(
    serviceNames.map(async (service) => (await rightsOf(service)).map((right) => ({ service, ...right }))),
  );
  expect(listedRights()).toEqual(needed.flat());
});
