import type { Mechanism } from "kafkajs";

/**
 * SASL OAUTHBEARER (RFC 7628) in place of that of kafkajs 2.2.4, which ignores the server's answer: a client whose token
 * was refused takes itself for authenticated, until the broker closes the connection without a reason.
 *
 * @param token called at each authentication, also when a session is about to end (KIP-368)
 */
export function oauthBearer(token: () => Promise<string>): Mechanism {
  return {
    mechanism: "oauthbearer",
    authenticationProvider: ({ saslAuthenticate }) => ({
      authenticate: async () => {
        const initial = `n,,\u0001auth=Bearer ${await token()}\u0001\u0001`;
        const refusal = await saslAuthenticate({ request: requestOf(initial), response });
        if (!refusal) return;
        // Section 3.2.3: the server ends the exchange after this message.
        await saslAuthenticate({ request: requestOf("\u0001"), response }).catch(() => {});
        throw new Error(`SASL OAUTHBEARER authentication failed: ${statusIn(refusal)}`);
      },
    }),
  };
}

/** kafkajs passes bytes with their length before them. */
function requestOf(text: string) {
  const content = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeInt32BE(content.length);
  return { encode: () => Buffer.concat([length, content]) };
}

const response = {
  decode: (bytes: Buffer) => bytes.subarray(4),
  parse: (content: Buffer) => content.toString(),
};

/** The error status of section 3.2.2. The rest of the answer is left out: it could repeat what was sent. */
function statusIn(refusal: string): string {
  return /"status"\s*:\s*"([\w-]{1,40})"/.exec(refusal)?.[1] ?? "the token is refused";
}
