import { commonSettings, Port } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

export const GatewayConfig = Type.Object({
  ...commonSettings,
  API_GATEWAY_PORT: Port(8900),
  DEMO_SIGN_IN: Type.Boolean({ default: false }),
});
