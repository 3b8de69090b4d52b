export { type ConsumerCounts, defaultRetryPolicy, type RetryPolicy } from "./consumer.ts";
export {
  isStorageFault,
  type Migration,
  MigrationMismatch,
  migrate,
  openDatabase,
  type ServiceDatabase,
  type Synchronous,
} from "./database.ts";
export { DomainError, OutboxFull, StorageError } from "./errors.ts";
export { type Handle, type Handler, on } from "./handlers.ts";
export { Messaging, type MessagingOptions } from "./messaging.ts";
export { type Log, type Runtime, silentLog, systemRuntime } from "./runtime.ts";
export type { Cause, Transaction } from "./transaction.ts";
export type { OutgoingRecord, Publisher, Subscriber } from "./transport.ts";
export type { UnitOfWork, Work } from "./unit-of-work.ts";
