/**
 * What one API of the protocol consists of: decode a request, do it, or refuse it with an error code, and encode the
 * response. Each file under `api/` defines one, for all versions it speaks at once.
 */
import type { Broker } from "./broker.ts";
import type { ErrorCode } from "./errors.ts";
import type { Reader, Writer } from "./wire.ts";

/** Who asks, and how. */
export interface Caller {
  readonly version: number;
  readonly clientId: string;
  readonly host: string;
  /** Aborted when the connection closes or the broker stops: whoever waits for the client's sake may give up. */
  readonly gone: AbortSignal;
  /** Resolves when all earlier requests of the connection are answered: for what takes much memory until it is sent. */
  readonly turn: Promise<void>;
}

export interface ApiSpec<Request, Response extends object> {
  readonly key: number;
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** The first version with compact types and tagged fields (KIP-482). */
  readonly flexibleFrom: number;
  /** What ApiVersions says instead of `minVersion`; only where a client needs to be told something else. */
  readonly advertisedMinVersion?: number;
  decode(reader: Reader, version: number): Request;
  /** A KafkaError that this throws is answered by `refuse`. Undefined: the client wants no response. */
  handle(request: Request, broker: Broker, caller: Caller): Promise<Response | undefined> | Response;
  /** The response that says that nothing was done, for the reason given. Undefined: as above. */
  refuse(request: Request, code: ErrorCode, message: string): Response | undefined;
  encode(writer: Writer, response: Response, version: number): void;
  /** About how many bytes the response takes, where guessing right saves copies. */
  sizeHint?(response: Response): number;
}

/** One request, decoded; its types are known inside only, so that APIs of different types fit one table. */
export interface Call {
  /** As decoded, for fault injection to look at. */
  readonly request: unknown;
  /** Writes the response to what `begin` returns; undefined when there is none. */
  run(broker: Broker, caller: Caller): Promise<Encode | undefined>;
  refuse(code: ErrorCode, message: string): Encode | undefined;
}

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
