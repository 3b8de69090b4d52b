import { ErrorCode } from "../errors.ts";

const asInvalidEpoch = new Map<ErrorCode, ErrorCode>([
  [ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH],
]);
const unchanged: typeof asInvalidEpoch = new Map();

/** For `translateCodes`: before version `from`, an API answers INVALID_PRODUCER_EPOCH for PRODUCER_FENCED (KIP-588). */
export function fencedCodes(version: number, from: number): ReadonlyMap<ErrorCode, ErrorCode> {
  return version < from ? asInvalidEpoch : unchanged;
}
