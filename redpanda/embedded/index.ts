/** The API for a program that embeds the broker. */
export { Broker, type BrokerOptions, type NewTopic, startBroker } from "./broker.ts";
export type { Fault, Intercepted, Rule, RuleHandle } from "./control.ts";
export { ErrorCode, KafkaError } from "./errors.ts";
export type { Logger } from "./logger.ts";
export { ApiKey } from "./registry.ts";
