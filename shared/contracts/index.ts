export * from "./common.ts";
export * from "./gateway.ts";
export * from "./inventory.ts";
export * from "./messages.ts";
export * from "./order-id.ts";
export * from "./orders.ts";
export * from "./topics.ts";
