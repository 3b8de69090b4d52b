import { commonSettings, Port } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

export const NotificationConfig = Type.Object({
  ...commonSettings,
  NOTIFICATION_PORT: Port(8903),
  /** Where the page is, whose scripts open WebSockets. */
  API_GATEWAY_PORT: Port(8900),
});
