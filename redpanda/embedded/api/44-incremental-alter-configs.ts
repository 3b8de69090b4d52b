/**
 * IncrementalAlterConfigs (44), versions 0 and 1: changes configurations of topics, durable and in effect when answered.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_IncrementalAlterConfigs; KIP-339.
 */
import { defineApi } from "../define-api.ts";
import { type AlterRequest, alter, decodeAlter, encodeAlter, refuseAlter } from "../topics/alter.ts";

export const incrementalAlterConfigs = defineApi<AlterRequest, Awaited<ReturnType<typeof alter>>>({
  key: 44,
  name: "IncrementalAlterConfigs",
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 1,

  decode: (reader) => decodeAlter(reader, () => reader.int8()),

  handle: (request, broker) => alter(broker, request, { replace: false }),
  refuse: refuseAlter,
  encode: encodeAlter,
});
