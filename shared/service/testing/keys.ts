import { type KeySource, verificationKey } from "../jwks.ts";
import type { PublicJwk } from "../signing-key.ts";

/** The keys that a function knows at the time, under the ids that it gives them. */
export function keySource(lookup: (keyId: string) => PublicJwk | undefined): KeySource {
  const current = (kid: string) => {
    const jwk = lookup(kid);
    return jwk === undefined ? undefined : verificationKey({ ...jwk, kid });
  };
  return { current, find: (keyId) => Promise.resolve(current(keyId)), invalidate() {} };
}
