import { transportConformance } from "@distributed-messaging/messaging/conformance";
import { embeddedBroker } from "./embedded.ts";
import { memoryBroker } from "./memory.ts";

transportConformance("in memory", memoryBroker, { isServer: false, hasOutages: false });
transportConformance("the embedded broker", embeddedBroker);
