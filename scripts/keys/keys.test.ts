import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ShownSigningKey } from "@distributed-messaging/api-gateway/sessions";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { startGatewayFixture } from "../../services/api-gateway/testing/fixture.ts";
import { StoreSettings } from "../testing/store-process.ts";

/* The command on a gateway without anything else: no broker, no other service. */

let gateway: Awaited<ReturnType<typeof startGatewayFixture>>;
let store: StoreSettings;
beforeEach(async () => {
  gateway = await startGatewayFixture();
  store = new StoreSettings({
    API_GATEWAY_PORT: new URL(gateway.url).port,
    OPERATOR_KEY_FILE: join(gateway.dataDir, "operator.jwk"),
  });
});
afterEach(async () => {
  await gateway[Symbol.asyncDispose]();
  store.remove();
});

const run = (...args: string[]) => store.run("keys.ts", args);
const listed = async (): Promise<ShownSigningKey[]> => JSON.parse((await run("list", "--json")).stdout);

slowTest("lists, rotates and withdraws, with the operators' key", async () => {
  const [first] = await listed();
  expect(first).toMatchObject({ state: "current" });
  const rotated = await run("rotate");
  expect(rotated).toMatchObject({ stderr: "", exitCode: 0 });
  expect(rotated.stdout).toMatch(/^\S{43} signs from now on\n$/);
  const withdrawn = await run("withdraw", first?.keyId ?? "");
  expect(withdrawn.stdout).toMatch(new RegExp(`^${first?.keyId} is withdrawn; \\S{43} signs\n$`));
  expect((await listed()).map(({ state }) => state).sort()).toEqual(["current", "withdrawn"]);
  expect((await run("list")).stdout).toMatch(/^ID +STATE +CREATED +VERIFIES UNTIL\n/);
});

describe("an operator has a way in", () => {
  test("when nobody can sign in, and the keys of all tokens are gone", async () => {
    await using locked = await startGatewayFixture({}, false);
    writeFileSync(join(locked.dataDir, "jwks.json"), '{"keys":[]}');
    const env = {
      API_GATEWAY_PORT: new URL(locked.url).port,
      OPERATOR_KEY_FILE: join(locked.dataDir, "operator.jwk"),
    };
    expect(await store.run("keys.ts", ["list"], env)).toMatchObject({ stderr: "", exitCode: 0 });
    expect(await store.run("keys.ts", ["rotate"], env)).toMatchObject({ stderr: "", exitCode: 0 });
  });

  test("with no other key than the operators'", async () => {
    const foreign = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
    const file = join(gateway.dataDir, "foreign.jwk");
    const withKey = (jwk: object) => {
      writeFileSync(file, JSON.stringify(jwk));
      return store.run("keys.ts", ["list"], { OPERATOR_KEY_FILE: file });
    };
    const signed = await withKey({ ...foreign, d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" });
    expect(signed.stderr).toContain("answered 401");
    expect((await withKey(foreign)).stderr).toContain("the file has no private key");
  });
});

test.each([
  [[], 2, "expected a command"],
  [["withdraw"], 2, "withdraw needs the id of a key"],
  [["withdraw", "unknown"], 2, "'unknown' is not the id of a key; list shows them"],
  [["withdraw", "x".repeat(43)], 1, "There is no such key."],
  [["withdraw", `-${"x".repeat(42)}`], 1, "There is no such key."],
  [["withdraw", `--${"x".repeat(41)}`], 1, "There is no such key."],
  [["rotate", `-${"x".repeat(42)}`], 2, "unexpected argument"],
  [["rotate", "x"], 2, "unexpected argument 'x'"],
  [["renew"], 2, "unknown command renew"],
])("refuses %p with exit code %p", async (args, code, reason) => {
  const { stderr, exitCode } = await run(...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: code, stderr: expect.stringContaining(reason) });
});
