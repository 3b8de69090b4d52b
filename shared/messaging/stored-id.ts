/** Lower case only: an id is the same again when it is read. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** An id of a message in a table: a UUID as its 16 bytes, any other as it is. UUIDs are in the same order as their texts. */
export type StoredId = Uint8Array | string;

export function storedId(id: string): StoredId {
  return UUID.test(id) ? Buffer.from(id.replaceAll("-", ""), "hex") : id;
}

export function idOf(stored: StoredId): string {
  if (typeof stored === "string") return stored;
  const hex = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
