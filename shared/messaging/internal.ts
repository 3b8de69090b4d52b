/*
 * Parts of the kit for the simulation, the benchmarks and the tests of this repository. Not covered by semantic
 * versioning: any release may change or remove them.
 */

export { fingerprint, fingerprintOfBytes, type Position } from "./inbox/offsets.ts";
export { CHANGE_LOG } from "./ownership/claim.ts";
export { AGE } from "./ownership/ownership.ts";
export { kitMigrations } from "./schema.ts";
export { decompress } from "./transport/kafka/codecs.ts";
export { checkTopic } from "./transport/topic-check.ts";
