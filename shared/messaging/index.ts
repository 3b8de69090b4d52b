export { type Decoded, decode, type RejectionReason } from "./contract/decode.ts";
export {
  byType,
  closed,
  deadLetterTopic,
  define,
  faultsOf,
  type MessageDefinition,
  type Topic,
  type Upcast,
} from "./contract/define.ts";
export {
  CONTENT_TYPE,
  ContractViolation,
  type DataOf,
  type Emission,
  type EncodedMessage,
  Envelope,
  emission,
  encode,
  MAX_MESSAGE_BYTES,
  type Message,
  type MessageOf,
  message,
  type Origin,
} from "./contract/envelope.ts";
export {
  isStorageFault,
  type Migration,
  MigrationMismatch,
  migrate,
  openDatabase,
  type ServiceDatabase,
  type Synchronous,
} from "./database.ts";
export {
  type DeadLetterAdmin,
  type DeadLetterDetails,
  MAX_BULK,
} from "./dead-letters/admin.ts";
export type { RecordedAction } from "./dead-letters/audit.ts";
export { type DeadLetter, type DeadLetterReason, deadLetterReasons } from "./dead-letters/dead-letter.ts";
export type { DeadLetterFilter, DeadLetterSummary } from "./dead-letters/queries.ts";
export { MAX_REPLAYS, type ReplayResult } from "./dead-letters/replay.ts";
export { DeadLetterRefusal, DeadLettersFull, DomainError, errorText, StorageError } from "./errors.ts";
export type { ConsumerCounts } from "./inbox/consumer.ts";
export { type Handle, type Handler, on } from "./inbox/handlers.ts";
export { defaultRetryPolicy, type RetryPolicy } from "./inbox/retry.ts";
export { acquireLock, type Lock } from "./lock.ts";
export { Messaging, type MessagingOptions } from "./messaging.ts";
export {
  Rebuild,
  type RebuildOptions,
  type RebuildPhase,
  type RebuildStatus,
  rebuildMigration,
} from "./projections/rebuild.ts";
export { type Logger, type Runtime, silentLogger, systemRuntime } from "./runtime.ts";
export type { Timer } from "./timers/timer-store.ts";
export type { TimerHandler } from "./timers/timers.ts";
export type { Cause, Transaction } from "./transaction.ts";
export {
  type Batch,
  type IncomingRecord,
  type OutgoingRecord,
  type Progress,
  type Publisher,
  type SubscribeOptions,
  type Subscriber,
  type Subscription,
  topicPartition,
} from "./transport/transport.ts";
export type { UnitOfWork, Work } from "./unit-of-work.ts";
