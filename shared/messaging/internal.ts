/*
 * Parts of the kit for the simulation, the benchmarks and the tests of this repository. Not covered by semantic
 * versioning: any release may change or remove them.
 */

export { Inbox } from "./inbox/inbox.ts";
export { fingerprint, type Position } from "./inbox/offsets.ts";
export { Outbox } from "./outbox/outbox.ts";
export { kitMigrations } from "./schema.ts";
export { TimerStore } from "./timers/timer-store.ts";
export { UnitOfWork } from "./unit-of-work.ts";
