import { commonSettings, Duration, Port, replicationSettings } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

const SECOND_MS = 1_000;
const YEAR_MS = 365 * 24 * 60 * 60 * SECOND_MS;

export const OrderConfig = Type.Object({
  ...commonSettings,
  ...replicationSettings,
  ORDER_PORT: Port(8902, "the port of the order service"),
  BACKORDER_TTL: Duration("24h", {
    minimum: SECOND_MS,
    maximum: YEAR_MS,
    description: "for how long an order may wait for stock, before it is cancelled",
  }),
});
