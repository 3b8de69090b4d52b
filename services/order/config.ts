import { commonSettings, Port } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

export const OrderConfig = Type.Object({ ...commonSettings, ORDER_PORT: Port(8902) });
