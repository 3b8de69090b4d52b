export type { ReadRecord } from "./contract/cloud-event.ts";
export { type Decoded, decode, type RejectionReason } from "./contract/decode.ts";
export {
  byType,
  changesTopic,
  closed,
  deadLetterTopic,
  define,
  type MessageDefinition,
  ownerTopic,
  type Topic,
} from "./contract/define.ts";
export {
  CONTENT_TYPE,
  ContractViolation,
  type DataOf,
  type Emission,
  emission,
  encode,
  MAX_MESSAGE_BYTES,
  type Message,
  type MessageOf,
  message,
  type Origin,
} from "./contract/envelope.ts";
export {
  type Migration,
  MigrationMismatch,
  migrate,
  newerSteps,
  openDatabase,
  type ServiceDatabase,
} from "./database.ts";
export {
  type DeadLetterAction,
  type DeadLetterAdmin,
  type DeadLetterDetails,
  type DeadLetterFilter,
  type DeadLetterSummary,
  MAX_BULK,
  type ReplayResult,
} from "./dead-letters/admin.ts";
export { type DeadLetter, type DeadLetterReason, deadLetterReasons } from "./dead-letters/store.ts";
export {
  type DeadEffect,
  type DeadEffectDetails,
  type EffectAction,
  type EffectAdmin,
  MAX_RETRIED,
} from "./effects/admin.ts";
export { defineEffect, type Effect, type EffectContext } from "./effects/define.ts";
export {
  DatabaseInUse,
  DeadLetterRefusal,
  DeadLettersFull,
  DomainError,
  EffectRefusal,
  errorText,
  NotOwner,
  OutboxRefusal,
  PartitionRefusal,
  StorageError,
  UsageError,
} from "./errors.ts";
export type { GapPolicy } from "./inbox/consumer.ts";
export { defaultRetryPolicy, type RetryLimits, type RetryPolicy } from "./inbox/decision.ts";
export { type Handler, type Middleware, on } from "./inbox/inbox.ts";
export {
  ALL_PARTITIONS,
  type PartitionStop,
  type PartitionStops,
  type StopAction,
  type StopDecision,
  type StopReason,
  stopActions,
  stopReasons,
} from "./inbox/partition-stops.ts";
export { groupOf, INSTANCE_PATTERN } from "./instance.ts";
export { acquireLock } from "./lock.ts";
export { Messaging, type MessagingOptions } from "./messaging.ts";
export { type MessageOutcome, messageOutcomes, type Observer } from "./observer.ts";
export { MAX_RELEASED, type OutboxAction, type OutboxAdmin, type ParkedDetails } from "./outbox/admin.ts";
export type { Cause } from "./outbox/outbox.ts";
export { type ParkedReason, type ParkedSummary, parkedReasons } from "./outbox/parked.ts";
export type { TopicRefusal } from "./outbox/relay.ts";
export { type Claim, contentOf as claimOf, instanceIn, ownerAfter } from "./ownership/claim.ts";
export { continueAs, isFileOf, type OwnershipState, type Refusal } from "./ownership/ownership.ts";
export { makePrivate } from "./private-files.ts";
export {
  Rebuild,
  type RebuildOptions,
  type RebuildStatus,
  rebuildGroup,
  rebuildMigration,
} from "./projections/rebuild.ts";
export { Recovery, type RecoveryOptions, RecoveryRefusal, type RecoveryReport } from "./recovery/recovery.ts";
export { RepeatedFailure } from "./repeated-failure.ts";
export { Replica, type ReplicaOptions, type ReplicaState, type Role } from "./replication/replica.ts";
export { S3Snapshots, type S3SnapshotsOptions } from "./replication/s3-snapshots.ts";
export {
  FolderSnapshots,
  type Snapshot,
  type SnapshotStore,
  type StoredObject,
  snapshotOf,
} from "./replication/snapshot-store.ts";
export type { SnapshotOptions } from "./replication/snapshots.ts";
export { hasChangeLog } from "./replication/tables.ts";
export { type Logger, type Runtime, silentLogger, systemRuntime } from "./runtime.ts";
export { idOf, type StoredId, storedId } from "./stored-id.ts";
export type { TimerHandler } from "./timers/timers.ts";
export { childOf, formatTraceparent, parseTraceparent, type TraceContext } from "./trace-context.ts";
export { contextOf } from "./tracing.ts";
export { type LogBounds, type Logs, recordsFrom } from "./transport/logs.ts";
export type { TopicFinding } from "./transport/topic-check.ts";
export {
  type Batch,
  type ExactBytes,
  type FollowOptions,
  type IncomingRecord,
  type OutgoingRecord,
  type Progress,
  PublishError,
  type Publisher,
  type PublishFailure,
  type RecordPosition,
  type SubscribeOptions,
  type Subscriber,
  type Subscription,
  type TopicDescription,
  type Transport,
  topicPartition,
  type UndecodableBatch,
} from "./transport/transport.ts";
export type { Transaction, UnitOfWork, Work } from "./unit-of-work.ts";
export { escapeInvisible } from "./visible-text.ts";
