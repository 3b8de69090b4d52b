/**
 * ApiVersions (18), versions 0 to 4: the APIs and versions that this broker supports. Every client asks for it first.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_ApiVersions; KIP-511 (client software, unknown versions).
 *
 * A request of an unknown version is answered too, see `dispatch.ts`. Left out: features.
 */
import { type Api, defineApi } from "../define-api.ts";
import { ErrorCode } from "../errors.ts";

/** @param apis all APIs of the broker, this one included. */
export function apiVersions(apis: () => Iterable<Api>): Api {
  return defineApi<object, { code: ErrorCode }>({
    key: 18,
    name: "ApiVersions",
    minVersion: 0,
    maxVersion: 4,
    flexibleFrom: 3,

    // The name and version of the client software (v3) are not used.
    decode: () => ({}),

    handle: () => ({ code: ErrorCode.NONE }),

    refuse: (_request, code) => ({ code }),

    encode(writer, { code }, version) {
      writer.int16(code).structs([...apis()], ({ key, advertisedMinVersion, maxVersion }) => {
        writer.int16(key).int16(advertisedMinVersion).int16(maxVersion);
      });
      if (version >= 1) writer.int32(0);
    },
  });
}
