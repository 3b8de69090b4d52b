import { expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { issuerOrigins } from "./issuer-origins.ts";

const issuer = "https://id.example/realms/shop";

test("until the issuer answers, its own origin is known; it is asked again for each page, and once it answered no more", async () => {
  let asked = 0;
  let isDown = true;
  const origins = issuerOrigins(issuer, async () => {
    asked += 1;
    if (isDown) throw new TypeError("down");
    return { jwksUri: "", pageOrigins: ["https://id.example", "https://tokens.example"] };
  });
  expect(origins()).toEqual(["https://id.example"]);
  expect(asked).toBe(1);
  isDown = false;
  await eventually(() => origins().length === 2, "the issuer to be asked again");
  const before = asked;
  expect(origins()).toEqual(["https://id.example", "https://tokens.example"]);
  expect(asked).toBe(before);
});
