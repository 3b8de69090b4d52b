/**
 * The definition of one API of the protocol: decode a request, handle it or refuse it with an error code, encode the
 * response. Each file in `api/` defines one API for all versions that the broker supports; `registry.ts` lists them.
 */
import type { ErrorCode } from "./errors.ts";
import type { GroupCoordinator } from "./groups.ts";
import type { ProducerIds } from "./producer-ids.ts";
import type { Peer } from "./server/connection.ts";
import type { Topics } from "./topics.ts";
import type { TransactionCoordinator } from "./transactions.ts";
import type { Reader } from "./wire/reader.ts";
import type { Writer } from "./wire/writer.ts";

/** The part of the broker that the APIs read and change. */
export interface BrokerState {
  readonly nodeId: number;
  readonly clusterId: string;
  /** The address that clients are given. */
  readonly host: string;
  readonly port: number;
  readonly options: {
    readonly autoCreateTopics: boolean;
    readonly defaultPartitions: number;
    readonly validateRecords: boolean;
    readonly maxFrameBytes: number;
    readonly maxFetchBytes: number;
  };
  readonly topics: Topics;
  readonly groups: GroupCoordinator;
  readonly producerIds: ProducerIds;
  readonly transactions: TransactionCoordinator;
}

/** The client that sent a request, and the version it used. */
export interface Caller extends Peer {
  readonly version: number;
  readonly clientId: string;
}

interface ApiSpec<Request, Response extends object> {
  readonly key: number;
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** The first version with compact types and tagged fields (KIP-482). */
  readonly flexibleFrom: number;
  /** Replaces `minVersion` in ApiVersions responses, for clients that misread the real one. */
  readonly advertisedMinVersion?: number;
  decode(reader: Reader, version: number): Request;
  /** A KafkaError that this throws is answered with `refuse`. Undefined: the client expects no response. */
  handle(request: Request, broker: BrokerState, caller: Caller): Promise<Response | undefined> | Response;
  /** The response to a request that was not carried out. Undefined: the client expects no response. */
  refuse(request: Request, code: ErrorCode, message: string): Response | undefined;
  encode(writer: Writer, response: Response, version: number): void;
  /** An estimate of the response's size in bytes; a good one saves copies. */
  sizeHint?(response: Response): number;
}

/** One decoded request. Hides the request and response types, so that all APIs fit into one table. */
export interface Call {
  /** The result of `decode`, for the predicates of fault injection. */
  readonly request: unknown;
  /** Resolves with undefined when the client expects no response. */
  run(broker: BrokerState, caller: Caller): Promise<Encode | undefined>;
  refuse(code: ErrorCode, message: string): Encode | undefined;
}

/** Writes the response body to the writer that `begin` returns. */
export type Encode = (begin: (sizeHint: number) => Writer) => Buffer;

export interface Api {
  readonly key: number;
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly advertisedMinVersion: number;
  readonly flexibleFrom: number;
  decode(reader: Reader, version: number): Call;
}

export function defineApi<Request, Response extends object>(spec: ApiSpec<Request, Response>): Api {
  const { key, name, minVersion, maxVersion, flexibleFrom } = spec;
  return {
    key,
    name,
    minVersion,
    maxVersion,
    flexibleFrom,
    advertisedMinVersion: spec.advertisedMinVersion ?? minVersion,
    decode(reader, version) {
      const request = spec.decode(reader, version);
      const encoder = (response: Response | undefined): Encode | undefined =>
        response &&
        ((begin) => {
          const writer = begin(spec.sizeHint?.(response) ?? 256);
          spec.encode(writer, response, version);
          return writer.noTags().finish();
        });
      return {
        request,
        refuse: (code, message) => encoder(spec.refuse(request, code, message)),
        async run(broker, caller) {
          return encoder(await spec.handle(request, broker, caller));
        },
      };
    },
  };
}
