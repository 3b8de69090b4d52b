/** What a program that embeds the broker, above all a test, needs of it. */
export { ApiKey } from "./apis.ts";
export { Broker, type BrokerOptions, startBroker } from "./broker.ts";
export type { Fault, Intercepted, Rule, RuleHandle } from "./control.ts";
export { ErrorCode } from "./errors.ts";
