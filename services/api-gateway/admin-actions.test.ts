import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { operatorToken } from "@distributed-messaging/service/operator";
import { Client, type GatewayFixture, signIn, startGatewayFixture } from "./testing/fixture.ts";

let gateway: GatewayFixture;
let operator: Client;
beforeEach(async () => {
  gateway = await startGatewayFixture();
  const token = await operatorToken(join(gateway.dataDir, "operator.jwk"));
  operator = new Client(gateway, token ?? "");
});
afterEach(() => gateway[Symbol.asyncDispose]());

/** What the log has of admins' actions. */
const logged = () =>
  gateway.lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.startsWith("an admin "));
const anOperator = expect.stringMatching(/^operator-/);

test("who rotates and who withdraws a signing key is logged", async () => {
  const { body } = await operator.post("/signing-keys/rotate");
  const admin = await signIn(gateway, "ADMIN", "admin");
  expect((await admin.post(`/signing-keys/${body.keyId}/withdraw`)).status).toBe(200);
  expect(logged()).toMatchObject([
    { msg: "an admin rotated the signing key", actor: anOperator, keyId: body.keyId },
    { msg: "an admin withdrew a signing key", actor: "ADMIN", keyId: body.keyId },
  ]);
});

test("who begins a rebuild is logged", async () => {
  expect((await operator.post("/rebuild", { dropUnaccounted: true })).status).toBe(202);
  expect(logged()).toMatchObject([
    { msg: "an admin began a rebuild of the projections", actor: anOperator, dropUnaccounted: true },
  ]);
});

test("what is refused is not logged as done", async () => {
  const customer = await signIn(gateway, "ANN");
  expect((await customer.post("/signing-keys/rotate")).status).toBe(403);
  expect((await customer.post("/rebuild")).status).toBe(403);
  expect((await operator.post("/signing-keys/none/withdraw")).status).toBe(404);
  expect(logged()).toEqual([]);
});

test("nobody signs in under the id of an operator", async () => {
  const answer = await fetch(`${gateway.url}/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ customerId: "operator-root", role: "admin" }),
  });
  expect(answer.status).toBe(422);
  expect(await answer.json()).toMatchObject({ type: "urn:problem-type:customer-id-reserved" });
});
