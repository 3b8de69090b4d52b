import { type Cause, StorageError, type UnitOfWork, type Work } from "@distributed-messaging/messaging";
import { ServiceError } from "../errors.ts";
import { formatTraceparent, traceOf } from "../telemetry/tracing.ts";

/** How soon it makes sense to try again after the disk refused. */
const RETRY_AFTER_S = 5;

/**
 * Runs the work of a request in a unit of work. What it emits is put down to the request's trace.
 *
 * @throws ServiceError unavailable when the disk refuses, with nothing changed; whatever the work throws
 */
export function write<T>(unitOfWork: UnitOfWork, request: Request, work: Work<T>): Promise<T> {
  const trace = traceOf(request);
  const cause: Cause = {
    correlationId: trace.traceId,
    causationId: trace.traceId,
    traceparent: formatTraceparent(trace),
  };
  return storing(unitOfWork.run(work, cause));
}

/** What came of something that is being stored. @throws ServiceError unavailable when the disk refuses it */
export async function storing<T>(stored: Promise<T>): Promise<T> {
  try {
    return await stored;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    throw new ServiceError("unavailable", "storage-unavailable", "Nothing can be stored right now.", {
      retryAfterS: RETRY_AFTER_S,
      cause: error,
    });
  }
}
