import { closed, define } from "@distributed-messaging/messaging/contract";
import { Type } from "@sinclair/typebox";
import { topics } from "./topics.ts";

/**
 * The public half of the key that signs the store's tokens (RFC 8037 OKP key in JWK form). Every service that
 * authenticates stores it, so that none has to call the gateway to verify a token.
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
