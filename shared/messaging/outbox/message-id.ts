/** A UUID of version 7, or one of version 8 that `derivedId` made from one: it begins with a time. */
const TIMED = /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab]/;

/**
 * The id of an output of a cause: the same whenever the same cause is handled, by a process that lost its newest writes
 * too, so that the inboxes of the readers recognise what they have handled already. A UUID of version 8 (RFC 9562 §5.8)
 * whose first 48 bits are those of the seed, if that is a UUID that begins with a time: indexes over ids grow at their
 * end. The next twelve are the position, so that the outputs of a cause are ordered like it. The others are those of a
 * SHA-256.
 *
 * @param seed the id of the cause
 * @param source the service that handles it
 * @param position among the outputs of the cause, from 0
 */
export function derivedId(seed: string, source: string, position: number): string {
  const hash = Bun.SHA256.hash(`${position} ${source}\n${seed}`, "hex");
  const start = TIMED.test(seed) ? seed.slice(0, 13) : `${hash.slice(20, 28)}-${hash.slice(28, 32)}`;
  const order = (0x8000 + Math.min(position, 0xfff)).toString(16);
  const variant = "89ab"[Number.parseInt(hash.charAt(3), 16) & 3];
  return `${start}-${order}-${variant}${hash.slice(4, 7)}-${hash.slice(7, 19)}`;
}
