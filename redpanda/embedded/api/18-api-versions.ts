/**
 * ApiVersions (18), versions 0 to 4: what this broker speaks, which is where every client begins.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_ApiVersions; KIP-511 (client software, unknown versions).
 *
 * A request of an unknown version is answered too, see `dispatch.ts`. Left out: features, there being none.
 */
import { defineApi } from "../api.ts";
import { apis } from "../apis.ts";
import { ErrorCode } from "../errors.ts";

export const apiVersions = defineApi<object, { code: ErrorCode }>({
  key: 18,
  name: "ApiVersions",
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,

  // The client's name and version (v3) change nothing here.
  decode: () => ({}),

  handle: () => ({ code: ErrorCode.NONE }),

  refuse: (_request, code) => ({ code }),

  encode(writer, { code }, version) {
    writer.int16(code).structs([...apis.values()], ({ key, advertisedMinVersion, maxVersion }) => {
      writer.int16(key).int16(advertisedMinVersion).int16(maxVersion);
    });
    if (version >= 1) writer.int32(0);
  },
});
