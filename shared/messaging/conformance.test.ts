import { transportConformance } from "./conformance.ts";
import { embeddedBroker } from "./conformance-embedded.ts";
import { memoryBroker } from "./conformance-memory.ts";

transportConformance("in memory", memoryBroker, { isServer: false, goesAway: false });
transportConformance("the embedded broker", embeddedBroker);
