import {
  AuthorizationResponseError,
  type AuthorizationServer,
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  type Client,
  calculatePKCECodeChallenge,
  discoveryRequest,
  generateRandomCodeVerifier,
  generateRandomNonce,
  generateRandomState,
  None,
  processAuthorizationCodeResponse,
  processDiscoveryResponse,
  processRefreshTokenResponse,
  ResponseBodyError,
  refreshTokenGrantRequest,
  revocationRequest,
  type TokenEndpointResponse,
  validateAuthResponse,
} from "oauth4webapi";
import { isRecord, parseJson } from "../json.ts";
import { oidcClient } from "../settings.ts";
import { Refused, Unreachable } from "./request.ts";

/*
 * Sign-in at the issuer of the settings: OpenID Connect's authorization code flow with PKCE (RFC 7636), as RFC 9700 and
 * the BCP for browser-based applications want it. Every function throws Refused or Unreachable.
 */

interface Tokens {
  readonly token: string;
  /** RFC 3339, by the clock of this machine. */
  readonly expiresAt: string;
  readonly refreshToken: string | undefined;
  readonly idToken: string | undefined;
}

/** What one sign-in has to remember until the issuer sends its visitor back. */
interface PendingSignIn {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  /** The fragment of the view that the visitor came from. */
  readonly returnTo: string;
}

/** In sessionStorage: the tab that the sign-in began in completes it, and no other. */
const PENDING_KEY = "store.sign-in";
const TIMEOUT_MS = 10_000;
/** Of a token whose lifetime the issuer does not tell (RFC 6749 §5.1 recommends it): it is renewed within that time. */
const DEFAULT_LIFETIME_S = 300;
/** Where the issuer sends its visitors back to. It has to know this address. */
const redirectUri = `${window.location.origin}/`;

let discovered: Promise<AuthorizationServer> | undefined;

/** The address at the issuer where a visitor signs in. @param returnTo the fragment to go to afterwards */
async function authorizationUrl(returnTo: string): Promise<string> {
  const server = await discover();
  const { clientId, scope, parameters } = settings();
  const verifier = generateRandomCodeVerifier();
  const pending: PendingSignIn = {
    verifier,
    returnTo,
    state: generateRandomState(),
    nonce: generateRandomNonce(),
  };
  window.sessionStorage.setItem(PENDING_KEY, JSON.stringify(pending));
  const url = new URL(server.authorization_endpoint ?? "");
  for (const [name, value] of new URLSearchParams(parameters)) url.searchParams.append(name, value);
  const own = {
    client_id: clientId,
    response_type: "code",
    redirect_uri: redirectUri,
    scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(own)) url.searchParams.set(name, value);
  return url.href;
}

/** Whether the issuer has sent a visitor to this address, with an answer for this page. */
export function isCallback({ searchParams }: URL): boolean {
  return searchParams.has("state") && (searchParams.has("code") || searchParams.has("error"));
}

/** Exchanges the issuer's answer for tokens. An answer that this tab did not ask for is refused. */
async function redeem(callback: URL): Promise<{ readonly tokens: Tokens; readonly returnTo: string }> {
  const pending = readPending();
  if (pending === undefined) throw new Refused(400, "This sign-in was not begun here.", undefined);
  const { state, nonce, verifier, returnTo } = pending;
  window.sessionStorage.removeItem(PENDING_KEY);
  const server = await discover();
  const tokens = await asking(async () => {
    const answer = validateAuthResponse(server, client(), callback, state);
    const response = await authorizationCodeGrantRequest(
      server,
      client(),
      None(),
      answer,
      redirectUri,
      verifier,
      requestOptions(),
    );
    return processAuthorizationCodeResponse(server, client(), response, {
      expectedNonce: nonce,
      requireIdToken: true,
    });
  });
  return { tokens: tokensOf(tokens), returnTo };
}

/** New tokens for a refresh token, which must not be used again. */
async function renewTokens(refreshToken: string): Promise<Tokens> {
  const server = await discover();
  const tokens = await asking(async () => {
    const response = await refreshTokenGrantRequest(server, client(), None(), refreshToken, requestOptions());
    return processRefreshTokenResponse(server, client(), response);
  });
  return tokensOf(tokens);
}

/**
 * Ends the use of a refresh token (RFC 7009), where the issuer supports it.
 *
 * @returns where the visitor's session at the issuer ends; undefined when it has no such address
 */
async function endSession({
  refreshToken,
  idToken,
}: Pick<Tokens, "refreshToken" | "idToken">): Promise<string | undefined> {
  const server = await discover();
  if (refreshToken !== undefined && server.revocation_endpoint !== undefined) {
    // Where it fails, the token stays valid until the issuer ends it: no reason not to sign out.
    await revocationRequest(server, client(), None(), refreshToken, requestOptions()).catch(() => {});
  }
  if (server.end_session_endpoint === undefined) return undefined;
  // OpenID Connect RP-Initiated Logout 1.0 §2
  const url = new URL(server.end_session_endpoint);
  url.searchParams.set("client_id", settings().clientId);
  url.searchParams.set("post_logout_redirect_uri", redirectUri);
  if (idToken !== undefined) url.searchParams.set("id_token_hint", idToken);
  return url.href;
}

/** The sign-in at the issuer. The bundle of a store without one has nothing of it, and so no library for it. */
export const issuerFlow =
  process.env.WITH_ISSUER === "false" ? undefined : { authorizationUrl, redeem, renewTokens, endSession };

/** The issuer's metadata, once for each load of the page. */
function discover(): Promise<AuthorizationServer> {
  discovered ??= asking(async () => {
    const issuer = new URL(settings().issuer);
    return processDiscoveryResponse(issuer, await discoveryRequest(issuer, requestOptions()));
  }).catch((error: unknown) => {
    discovered = undefined;
    throw error;
  });
  return discovered;
}

function settings() {
  if (oidcClient === undefined) throw new Error("This store has no issuer.");
  return oidcClient;
}

function client(): Client {
  return { client_id: settings().clientId };
}

function requestOptions() {
  return {
    // The gateway starts only with an issuer at https or on its own machine.
    [allowInsecureRequests]: true,
    additionalParameters: new URLSearchParams(settings().parameters),
    signal: () => AbortSignal.timeout(TIMEOUT_MS),
  };
}

function tokensOf(answer: TokenEndpointResponse): Tokens {
  const {
    access_token: token,
    expires_in: lifetimeS = DEFAULT_LIFETIME_S,
    refresh_token: refreshToken,
    id_token: idToken,
  } = answer;
  const expiresAt = new Date(Date.now() + lifetimeS * 1000).toISOString();
  return { token, expiresAt, refreshToken, idToken };
}

async function asking<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ResponseBodyError) {
      throw new Refused(error.status, `The issuer answered ${error.error}.`, undefined);
    }
    if (error instanceof AuthorizationResponseError) {
      throw new Refused(400, `The issuer answered ${error.error}.`, undefined);
    }
    throw new Unreachable("The issuer gave no valid answer.", { cause: error });
  }
}

function readPending(): PendingSignIn | undefined {
  const value = parseJson(window.sessionStorage.getItem(PENDING_KEY) ?? "");
  if (!isRecord(value)) return undefined;
  const { state, nonce, verifier, returnTo } = value;
  if (typeof state !== "string" || typeof nonce !== "string") return undefined;
  if (typeof verifier !== "string" || typeof returnTo !== "string") return undefined;
  return { state, nonce, verifier, returnTo };
}
