/**
 * From a request frame to a response frame: header, table, fault injection, handler.
 * Source: https://kafka.apache.org/protocol.html#protocol_messages (header versions: KIP-482; ApiVersions: KIP-511).
 */
import type { Control } from "./control.ts";
import type { Api, BrokerState, Call, Caller, Encode } from "./define-api.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import { type Logger, messageOf } from "./logger.ts";
import { ApiKey, apis } from "./registry.ts";
import type { Peer } from "./server/connection.ts";
import { Reader } from "./wire/reader.ts";
import { Writer } from "./wire/writer.ts";

/** An unknown API or version. The connection is closed, as Apache Kafka does. */
class UnsupportedRequest extends Error {
  override readonly name = "UnsupportedRequest";

  constructor(api: string, version: number, clientId: string) {
    super(`${api} version ${version} is not supported; client ${JSON.stringify(clientId.slice(0, 100))}`);
  }
}

/** The part of the broker that a request goes through. */
export interface DispatchContext extends BrokerState {
  readonly control: Control;
  readonly logger: Logger;
}

/**
 * Resolves with the response frame, length included, or with undefined when the client expects none. The request is
 * handled synchronously up to its first await, so requests take effect in the order of the calls.
 * @throws WireError, UnsupportedRequest or ConnectionCut: the caller closes the connection.
 */
export async function dispatch(
  frame: Buffer,
  broker: DispatchContext,
  peer: Peer,
): Promise<Buffer | undefined> {
  const header = new Reader(frame);
  const key = header.int16();
  const version = header.int16();
  const correlationId = header.int32();
  const clientId = header.nullableString() ?? "";
  const api = apis.get(key);
  if (!api) throw new UnsupportedRequest(`API ${key}`, version, clientId);
  const respond = (encode: Encode | undefined, as = version) =>
    encode && withLength(encode((sizeHint) => beginResponse(api, as, correlationId, sizeHint)));
  if (version < api.minVersion || version > api.maxVersion) {
    if (key !== ApiKey.ApiVersions) throw new UnsupportedRequest(api.name, version, clientId);
    // KIP-511: the response of version 0 tells a newer client which versions to use.
    return respond(api.decode(new Reader(Buffer.alloc(0)), 0).refuse(ErrorCode.UNSUPPORTED_VERSION, ""), 0);
  }
  const flexible = version >= api.flexibleFrom;
  const body = header.rest(flexible);
  body.skipTags();
  const call = api.decode(body, version);
  const encode = await answer(api, call, broker, { version, clientId, ...peer });
  return respond(encode);
}

async function answer(
  api: Api,
  call: Call,
  broker: DispatchContext,
  caller: Caller,
): Promise<Encode | undefined> {
  const fault = broker.control.take({ apiKey: api.key, request: call.request, ...caller });
  if (fault) {
    await fault.before();
    if (fault.code !== undefined) return call.refuse(fault.code, "injected fault");
  }
  const encode = await run(api, call, broker, caller);
  fault?.after();
  return encode;
}

async function run(
  api: Api,
  call: Call,
  broker: DispatchContext,
  caller: Caller,
): Promise<Encode | undefined> {
  try {
    return await call.run(broker, caller);
  } catch (error) {
    if (error instanceof KafkaError) return call.refuse(error.code, error.message);
    broker.logger.error("request failed", {
      api: api.name,
      version: caller.version,
      error: messageOf(error),
    });
    return call.refuse(ErrorCode.UNKNOWN_SERVER_ERROR, "internal error");
  }
}

/** Response header: length, correlation id and, in flexible versions except of ApiVersions, tagged fields. */
function beginResponse(api: Api, version: number, correlationId: number, sizeHint: number): Writer {
  const flexible = version >= api.flexibleFrom;
  const writer = new Writer(flexible, sizeHint + 16);
  writer.int32(0).int32(correlationId);
  return api.key === ApiKey.ApiVersions ? writer : writer.noTags();
}

function withLength(response: Buffer): Buffer {
  response.writeInt32BE(response.length - 4, 0);
  return response;
}
