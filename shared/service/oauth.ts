import { errorText } from "@distributed-messaging/messaging";
import * as oauth from "oauth4webapi";

export interface TokenEndpoint {
  readonly url: string;
  readonly clientId: string;
  /** Called for each request, so that a new secret is used without a restart. */
  readonly clientSecret: () => string;
  readonly scope?: string;
}

const REQUEST_TIMEOUT_MS = 5_000;
/** A token that the broker does not take any more is not used for longer. */
const REUSE_MS = 60_000;
/** A connection is authenticated for as long as its token is valid, and kafkajs authenticates again 10 s before that. */
const MIN_VALIDITY_MS = 30_000;

/**
 * Access tokens for this process by its own credentials (RFC 6749, section 4.4). A token is reused for at most a
 * minute, and not when it expires within 30 s; calls at the same time share one request.
 *
 * @returns what resolves to a token; it rejects with one line, which has neither secret nor token, when there is none
 */
export function clientCredentials(
  endpoint: TokenEndpoint,
  now: () => number = () => performance.now(),
): () => Promise<string> {
  let current: { readonly token: string; readonly reusableUntil: number } | undefined;
  let pending: Promise<string> | undefined;
  const renew = async () => {
    const requestedAt = now();
    const { access_token: token, expires_in: validSeconds = 0 } = await requestToken(endpoint);
    const reuseMs = Math.min(REUSE_MS, validSeconds * 1_000 - MIN_VALIDITY_MS);
    current = { token, reusableUntil: requestedAt + reuseMs };
    return token;
  };
  return async () => {
    if (current !== undefined && now() < current.reusableUntil) return current.token;
    pending ??= renew().finally(() => {
      pending = undefined;
    });
    return pending;
  };
}

async function requestToken({ url, clientId, clientSecret, scope }: TokenEndpoint) {
  const server: oauth.AuthorizationServer = { issuer: url, token_endpoint: url };
  const client: oauth.Client = { client_id: clientId };
  try {
    const response = await oauth.clientCredentialsGrantRequest(
      server,
      client,
      oauth.ClientSecretBasic(clientSecret()),
      scope === undefined ? {} : { scope },
      // Whether it may be http, the settings decide.
      { [oauth.allowInsecureRequests]: true, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) },
    );
    const answer = await oauth.processClientCredentialsResponse(server, client, response);
    if (answer.token_type !== "bearer") throw new Error(`the token is of type ${answer.token_type}`);
    return answer;
  } catch (error) {
    const { origin, pathname } = new URL(url);
    // Without a cause: that of oauth4webapi has the response, which may have a token.
    throw new Error(`cannot get a token from ${origin}${pathname}: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof oauth.ResponseBodyError) return `${error.error} (${error.status})`;
  if (error instanceof oauth.WWWAuthenticateChallengeError) return `the client is refused (${error.status})`;
  return errorText(error);
}
