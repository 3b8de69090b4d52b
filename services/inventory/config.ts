import { commonSettings, Port } from "@distributed-messaging/service/config";
import { Type } from "@sinclair/typebox";

export const InventoryConfig = Type.Object({ ...commonSettings, INVENTORY_PORT: Port(8901) });
