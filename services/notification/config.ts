import { commonSettings, Port } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

export const NotificationConfig = Type.Object({ ...commonSettings, NOTIFICATION_PORT: Port(8903) });
