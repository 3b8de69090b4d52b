/**
 * The error codes of the Kafka protocol that this broker sends.
 * Source: https://kafka.apache.org/protocol.html#protocol_error_codes
 */
export const ErrorCode = {
  UNKNOWN_SERVER_ERROR: -1,
  NONE: 0,
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  NOT_LEADER_OR_FOLLOWER: 6,
  REQUEST_TIMED_OUT: 7,
  MESSAGE_TOO_LARGE: 10,
  OFFSET_METADATA_TOO_LARGE: 12,
  COORDINATOR_LOAD_IN_PROGRESS: 14,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  INVALID_TOPIC_EXCEPTION: 17,
  NOT_ENOUGH_REPLICAS: 19,
  INVALID_REQUIRED_ACKS: 21,
  ILLEGAL_GENERATION: 22,
  INCONSISTENT_GROUP_PROTOCOL: 23,
  INVALID_GROUP_ID: 24,
  UNKNOWN_MEMBER_ID: 25,
  INVALID_SESSION_TIMEOUT: 26,
  REBALANCE_IN_PROGRESS: 27,
  /** Only by fault injection, like the next one: there is no access control. */
  TOPIC_AUTHORIZATION_FAILED: 29,
  GROUP_AUTHORIZATION_FAILED: 30,
  INVALID_TIMESTAMP: 32,
  UNSUPPORTED_VERSION: 35,
  TOPIC_ALREADY_EXISTS: 36,
  INVALID_PARTITIONS: 37,
  INVALID_REPLICATION_FACTOR: 38,
  INVALID_REPLICA_ASSIGNMENT: 39,
  INVALID_CONFIG: 40,
  INVALID_REQUEST: 42,
  POLICY_VIOLATION: 44,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  INVALID_PRODUCER_ID_MAPPING: 49,
  INVALID_TRANSACTION_TIMEOUT: 50,
  CONCURRENT_TRANSACTIONS: 51,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 53,
  OPERATION_NOT_ATTEMPTED: 55,
  KAFKA_STORAGE_ERROR: 56,
  NON_EMPTY_GROUP: 68,
  GROUP_ID_NOT_FOUND: 69,
  FETCH_SESSION_ID_NOT_FOUND: 70,
  UNSUPPORTED_COMPRESSION_TYPE: 76,
  MEMBER_ID_REQUIRED: 79,
  GROUP_MAX_SIZE_REACHED: 81,
  FENCED_INSTANCE_ID: 82,
  GROUP_SUBSCRIBED_TO_TOPIC: 86,
  INVALID_RECORD: 87,
  UNSTABLE_OFFSET_COMMIT: 88,
  PRODUCER_FENCED: 90,
  UNKNOWN_TOPIC_ID: 100,
  TRANSACTIONAL_ID_NOT_FOUND: 105,
  UNSUPPORTED_ENDPOINT_TYPE: 115,
  TRANSACTION_ABORTABLE: 120,
} as const;

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

const names = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** A refusal with a code for the client. Any other error is a defect of the broker. */
export class KafkaError extends Error {
  override readonly name = "KafkaError";

  constructor(
    readonly code: ErrorCode,
    message?: string,
  ) {
    super(message ?? names.get(code) ?? `error code ${code}`);
  }
}

/**
 * Runs `work`, with other codes in place of some that it throws: not every API, and not every version, has every code.
 * `work` starts before this returns.
 */
export async function translateCodes<T>(
  work: () => T | Promise<T>,
  codes: ReadonlyMap<ErrorCode, ErrorCode>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    throw new KafkaError(codes.get(error.code) ?? error.code, error.message);
  }
}

/**
 * Runs `work` and, when it throws a KafkaError, resolves with `refuse` of it. For a response with one code per topic or
 * partition. `work` starts before this returns. @throws whatever else `work` throws.
 */
export async function catchKafkaError<T>(
  work: () => T | Promise<T>,
  refuse: (error: KafkaError) => T,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof KafkaError) return refuse(error);
    throw error;
  }
}
