import { commonSettings, Duration, Port } from "@distributed-messaging/service/config";
import { PerMinute, TrustedProxies } from "@distributed-messaging/service/rate-limit";
import { Type } from "@sinclair/typebox";

export const GatewayConfig = Type.Object({
  ...commonSettings,
  API_GATEWAY_PORT: Port(8900),
  DEMO_SIGN_IN: Type.Boolean({ default: false }),
  /** The private key that signs the demo sign-in's tokens, an Ed25519 JWK. Without it, the gateway generates one. */
  AUTH_SIGNING_KEY: Type.Optional(Type.String({ minLength: 1, secret: true })),
  AUTH_SIGNING_KEY_FILE: Type.Optional(Type.String({ minLength: 1 })),
  /** The page as a public client of the issuer. Without it, the page signs nobody in. */
  AUTH_CLIENT_ID: Type.Optional(Type.String({ minLength: 1 })),
  AUTH_SCOPE: Type.String({ minLength: 1, default: "openid" }),
  /** Further parameters of the page's requests to the issuer: `audience=…`, `resource=…` (RFC 8707). */
  AUTH_REQUEST_PARAMETERS: Type.String({ default: "" }),
  /** For how long an Idempotency-Key is good, at least. */
  IDEMPOTENCY_RETENTION: Duration("7d", { minimum: 60_000 }),
  // Requests of one customer in a minute, and ten times as many from one address; of sign-ins, the address alone counts.
  RATE_LIMIT_ORDERS: PerMinute(60_000),
  RATE_LIMIT_CANCELS: PerMinute(60_000),
  RATE_LIMIT_SIGN_INS: PerMinute(600),
  TRUSTED_PROXIES: TrustedProxies,
  // Where the page finds the notifications; and, only where there is one, the supervisor.
  NOTIFICATION_PORT: Port(8903),
  SUPERVISOR_PORT: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
});
