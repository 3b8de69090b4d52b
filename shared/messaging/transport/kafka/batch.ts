/** Where the fields of a record batch are, in bytes: https://kafka.apache.org/documentation/#recordbatch */
export const AT = {
  length: 8,
  /** Where the bytes begin that the length counts. */
  lengthEnd: 12,
  epoch: 12,
  magic: 16,
  checksum: 17,
  /** Where the bytes begin that the checksum covers. */
  checksumEnd: 21,
  attributes: 21,
  lastOffsetDelta: 23,
  firstTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  count: 57,
  records: 61,
} as const;
