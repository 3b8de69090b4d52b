import { commonSettings, instanceSettings, Port } from "@distributed-messaging/service/config";
import { PerMinute, TrustedProxies } from "@distributed-messaging/service/rate-limit";
import { Type } from "@sinclair/typebox";

export const NotificationConfig = Type.Object({
  ...commonSettings,
  ...instanceSettings,
  NOTIFICATION_PORT: Port(8903, "the port of the notification service"),
  RATE_LIMIT_WEBSOCKETS: PerMinute(
    6_000,
    "WebSockets that one customer may open in a minute; from one address, ten times as many",
  ),
  TRUSTED_PROXIES: TrustedProxies,
  // Where the page is, whose scripts open WebSockets.
  API_GATEWAY_PORT: Port(8900, "the port of the gateway, which serves the page"),
});
