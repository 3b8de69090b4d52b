import {
  commonSettings,
  Duration,
  instanceSettings,
  oneOf,
  Port,
} from "@distributed-messaging/service/config";
import { PerMinute, TrustedProxies } from "@distributed-messaging/service/rate-limit";
import { Type } from "@sinclair/typebox";

export const GatewayConfig = Type.Object({
  ...commonSettings,
  ...instanceSettings,
  API_GATEWAY_PORT: Port(8900, "the port of the gateway, which serves the page"),
  ACCEPT: oneOf(["local", "replicated"], {
    default: "local",
    description:
      "when an order is accepted: once it is on the gateway's disk, or once the broker has it too; while the broker is away, the disk is enough, and the answer has Durability: local",
  }),
  DEMO_SIGN_IN: Type.Boolean({
    default: false,
    description: "anybody signs in as anybody, without a password; npm start sets true",
  }),
  AUTH_SIGNING_KEY: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description:
        "the private key that signs the demo sign-in's tokens, an Ed25519 JWK; without it, the gateway generates one",
    }),
  ),
  AUTH_SIGNING_KEY_FILE: Type.Optional(
    Type.String({ minLength: 1, expected: "a path", description: "the same, in a file" }),
  ),
  AUTH_CLIENT_ID: Type.Optional(
    Type.String({
      minLength: 1,
      description: "the page as a public client of AUTH_ISSUER; without it, the page signs nobody in",
    }),
  ),
  AUTH_SCOPE: Type.String({
    minLength: 1,
    default: "openid",
    description: "the scopes that the page asks the issuer for, separated by spaces",
  }),
  AUTH_REQUEST_PARAMETERS: Type.String({
    default: "",
    description: "further parameters of these requests: `audience=…`, `resource=…` (RFC 8707)",
  }),
  IDEMPOTENCY_RETENTION: Duration("7d", {
    minimum: 60_000,
    description: "for how long an Idempotency-Key is remembered, at least",
  }),
  RATE_LIMIT_ORDERS: PerMinute(
    60_000,
    "orders of one customer in a minute; from one address, ten times as many",
  ),
  RATE_LIMIT_CANCELS: PerMinute(
    60_000,
    "cancellations of one customer in a minute; from one address, ten times as many",
  ),
  RATE_LIMIT_SIGN_INS: PerMinute(600, "demo sign-ins in a minute, a tenth of what one address may ask for"),
  TRUSTED_PROXIES: TrustedProxies,
  // Where the page finds the notifications; and, only where there is one, the supervisor.
  NOTIFICATION_PORT: Port(8903, "the port of the notification service"),
  SUPERVISOR_PORT: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 65_535,
      description: "the port of the supervisor, on the loopback address; npm start sets 8909",
    }),
  ),
});
