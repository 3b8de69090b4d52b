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
  type DeadLetterFilter,
  type DeadLetterSummary,
  MAX_BULK,
  type RecordedAction,
  type ReplayResult,
} from "./dead-letters/admin.ts";
export { type DeadLetter, type DeadLetterReason, deadLetterReasons } from "./dead-letters/store.ts";
export { DeadLetterRefusal, DomainError, errorText, StorageError } from "./errors.ts";
export type { ConsumerCounts } from "./inbox/consumer.ts";
export { defaultRetryPolicy, type RetryPolicy } from "./inbox/decision.ts";
export { type Handle, type Handler, on } from "./inbox/inbox.ts";
export { acquireLock, type Lock } from "./lock.ts";
export { Messaging, type MessagingOptions } from "./messaging.ts";
export type { Cause } from "./outbox/outbox.ts";
export {
  Rebuild,
  type RebuildOptions,
  type RebuildPhase,
  type RebuildStatus,
  rebuildMigration,
} from "./projections/rebuild.ts";
export { type Logger, type Runtime, silentLogger, systemRuntime } from "./runtime.ts";
export type { TimerHandler } from "./timers/timers.ts";
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
export type { Timer, Transaction, UnitOfWork, Work } from "./unit-of-work.ts";
