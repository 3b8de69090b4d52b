import { expect, test } from "bun:test";
import type { AuthenticationProviderArgs } from "kafkajs";
import { failureOf } from "../../testing/eventually.ts";
import { oauthBearer } from "./oauthbearer.ts";

/** Authenticates at a server with these answers. @returns how that ended, and what the server received */
async function authenticate(
  ...answers: (string | Error)[]
): Promise<{ outcome: string; received: string[] }> {
  const received: string[] = [];
  const saslAuthenticate: AuthenticationProviderArgs["saslAuthenticate"] = async ({ request, response }) => {
    const bytes = await request.encode();
    expect(bytes.readInt32BE()).toBe(bytes.length - 4);
    received.push(bytes.subarray(4).toString());
    const answer = answers.shift() ?? "";
    if (answer instanceof Error) throw answer;
    return response?.parse(await response.decode(Buffer.concat([Buffer.alloc(4), Buffer.from(answer)])));
  };
  const { authenticationProvider } = oauthBearer(async () => "hunter2");
  // The other arguments are not used.
  const args = { host: "h", port: 1, saslAuthenticate } as AuthenticationProviderArgs;
  return { outcome: await failureOf(authenticationProvider(args).authenticate()), received };
}

const INITIAL = "n,,\u0001auth=Bearer hunter2\u0001\u0001";
const SUCCEEDED = "(it did not fail)";

test("a token that the server takes is sent once", async () => {
  expect(await authenticate("")).toEqual({ outcome: SUCCEEDED, received: [INITIAL] });
});

test.each([
  ['{"status":"invalid_token","scope":"hunter2"}', "invalid_token"],
  ['{"status":"hunter2 is no token"}', "the token is refused"],
  ["not JSON: hunter2", "the token is refused"],
])("the server's %p is a failure that does not repeat the token", async (answer, status) => {
  for (const last of ["", new Error("SASL_AUTHENTICATION_FAILED")]) {
    expect(await authenticate(answer, last)).toEqual({
      outcome: `Error: SASL OAUTHBEARER authentication failed: ${status}`,
      received: [INITIAL, "\u0001"],
    });
  }
});

test("a failure of the connection stays what it is", async () => {
  expect((await authenticate(new Error("Closed connection"))).outcome).toBe("Error: Closed connection");
});
