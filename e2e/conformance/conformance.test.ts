import { transportConformance } from "@distributed-messaging/messaging/conformance";
import { memoryBroker } from "@distributed-messaging/messaging/conformance/memory";
import { embeddedBroker } from "./embedded.ts";

transportConformance("in memory", memoryBroker, { isServer: false, goesAway: false });
transportConformance("the embedded broker", embeddedBroker);
