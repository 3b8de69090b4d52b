import { allowInsecureRequests, customFetch, discoveryRequest, processDiscoveryResponse } from "oauth4webapi";
import { isProtected } from "./loopback.ts";

/** What the store needs of an issuer's metadata. */
export interface IssuerMetadata {
  /** Where its keys are (RFC 7517). */
  readonly jwksUri: string;
  /** The origins that a page sends its requests to, without those to which a token would be sent readable. */
  readonly pageOrigins: readonly string[];
}

const DISCOVERY_TIMEOUT_MS = 5_000;

/**
 * Asks an issuer for its metadata (OpenID Connect Discovery 1.0 §4). A redirect is not followed, and an answer in the
 * name of another issuer is refused.
 *
 * @throws OperationProcessingError, TypeError or a timeout when there is no valid answer
 */
export async function discoverIssuer(
  issuer: string,
  request: (url: string, init: RequestInit) => Promise<Response> = fetch,
): Promise<IssuerMetadata> {
  const identifier = new URL(issuer);
  const response = await discoveryRequest(identifier, {
    // The settings allow http to this machine only.
    [allowInsecureRequests]: identifier.protocol === "http:",
    [customFetch]: (url, { method, headers, signal }) =>
      request(url, { method, headers, redirect: "error", ...(signal === undefined ? {} : { signal }) }),
    signal: () => AbortSignal.timeout(DISCOVERY_TIMEOUT_MS),
  });
  const metadata = await processDiscoveryResponse(identifier, response);
  const { jwks_uri: jwksUri, token_endpoint: token, revocation_endpoint: revocation } = metadata;
  if (jwksUri === undefined) throw new TypeError(`${issuer} names no jwks_uri`);
  if (!isProtected(jwksUri)) throw new TypeError(`${issuer} has its keys at an address without TLS`);
  const used = [issuer, token, revocation].filter((url) => url !== undefined).filter(isProtected);
  return { jwksUri, pageOrigins: [...new Set(used.map((url) => new URL(url).origin))] };
}
