/**
 * 64-bit integers as numbers: exact up to 2^53, far above every offset, timestamp and producer id of this broker. Four
 * times as fast as BigInt.
 */

/** Big-endian; negative values included. */
export function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 2 ** 32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * 2 ** 32, at + 4);
}

/** The counterpart of `writeInt64`. */
export function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * 2 ** 32 + buffer.readUInt32BE(at + 4);
}
