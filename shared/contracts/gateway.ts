import { closed, define } from "@distributed-messaging/messaging/contract";
import { Type } from "@sinclair/typebox";
import { topics } from "./topics.ts";

/**
 * Announces that the keys which verify the store's tokens have changed, with the public half of the key that signs (an
 * RFC 8037 OKP key in JWK form) under its RFC 7638 thumbprint. Services take no key from it: they look at the published
 * key set again.
 */
export const SigningKeyPublished = define({
  type: "store.signing-key.published.v1",
  kind: "event",
  source: "api-gateway",
  topic: topics.gatewayKeys,
  key: "keyId",
  data: Type.Object(
    {
      keyId: Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" }),
      publicKey: Type.Object(
        {
          kty: Type.Literal("OKP"),
          crv: Type.Literal("Ed25519"),
          x: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
        },
        closed,
      ),
    },
    closed,
  ),
});

/** The claims of every token of the store. */
export const tokenClaims = { issuer: "distributed-messaging", audience: "distributed-messaging" } as const;

export const gatewayMessages = [SigningKeyPublished] as const;
