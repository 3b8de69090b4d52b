export type { ConsumerCounts } from "./consumer.ts";
export {
  isStorageFault,
  type Migration,
  MigrationMismatch,
  migrate,
  openDatabase,
  type ServiceDatabase,
  type Synchronous,
} from "./database.ts";
export { type DeadLetter, deadLetterReasons, type Reason } from "./dead-letter.ts";
export {
  type DeadLetterDesk,
  type DeadLetterDetails,
  MAX_BULK,
} from "./dead-letter-desk.ts";
export type { RecordedAction } from "./dead-letter-log.ts";
export type { DeadLetterFilter, DeadLetterSummary } from "./dead-letter-queries.ts";
export { MAX_REPLAYS, type ReplayResult } from "./dead-letter-replays.ts";
export { DeadLetterRefusal, DeadLettersFull, DomainError, StorageError } from "./errors.ts";
export { type Handle, type Handler, on } from "./handlers.ts";
export { Messaging, type MessagingOptions } from "./messaging.ts";
export {
  Rebuild,
  type RebuildOptions,
  type RebuildPhase,
  type RebuildStatus,
  rebuildMigration,
} from "./rebuild.ts";
export { defaultRetryPolicy, type RetryPolicy } from "./retry.ts";
export { type Log, type Runtime, silentLog, systemRuntime } from "./runtime.ts";
export type { Timer } from "./timer-store.ts";
export type { TimerHandler } from "./timers.ts";
export type { Cause, Transaction } from "./transaction.ts";
export type { OutgoingRecord, Publisher, Subscriber } from "./transport.ts";
export type { UnitOfWork, Work } from "./unit-of-work.ts";
