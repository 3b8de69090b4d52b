/** Lower case only: an id is the same again when it is read. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** An id of a message in a table: a UUID as its 16 bytes, any other as it is. UUIDs are in the same order as their texts. */
export type StoredId = Uint8Array | string;

const BYTES = 16;
const CHARACTERS = 36;
const HYPHENS = [8, 13, 18, 23] as const;
const HYPHEN = 0x2d;
/** The value of a digit by its character code; -1 for all others. */
const DIGITS = Int8Array.from({ length: 128 }, (_, code) =>
  "0123456789abcdef".indexOf(String.fromCharCode(code)),
);

/** Every message has several ids stored: character by character, which takes half of the time of a pattern and `Buffer`. */
export function storedId(id: string): StoredId {
  if (id.length !== CHARACTERS || HYPHENS.some((at) => id.charCodeAt(at) !== HYPHEN)) return id;
  const bytes = new Uint8Array(BYTES);
  let at = 0;
  for (let index = 0; index < BYTES; index++) {
    if (id.charCodeAt(at) === HYPHEN) at++;
    const byte = (digit(id, at) << 4) | digit(id, at + 1);
    if (byte < 0) return id;
    bytes[index] = byte;
    at += 2;
  }
  return bytes;
}

function digit(id: string, at: number): number {
  return DIGITS[id.charCodeAt(at)] ?? -1;
}

export function idOf(stored: StoredId): string {
  if (typeof stored === "string") return stored;
  const hex = stored.toHex();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
