/**
 * AlterConfigs (33), versions 0 to 2: replaces all configurations of topics, durable and in effect when answered.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_AlterConfigs; KIP-133.
 */
import { defineApi } from "../define-api.ts";
import { type AlterRequest, alter, decodeAlter, encodeAlter, refuseAlter } from "../topics/alter.ts";
import { Operation } from "../topics/config.ts";

export const alterConfigs = defineApi<AlterRequest, Awaited<ReturnType<typeof alter>>>({
  key: 33,
  name: "AlterConfigs",
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,

  decode: (reader) => decodeAlter(reader, () => Operation.set),

  handle: (request, broker) => alter(broker, request, { replace: true }),
  refuse: refuseAlter,
  encode: encodeAlter,
});
