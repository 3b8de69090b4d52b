import { ServiceError } from "../errors.ts";
import { type Identity, type KeyLookup, type Verified, verifyToken } from "./tokens.ts";

export * from "./tokens.ts";

/** The WebSocket subprotocol under which a browser, which cannot set headers there, offers its token. */
export const BEARER_SUBPROTOCOL = "bearer";

/**
 * Who sends this request. The token is taken from `Authorization: Bearer`; for a WebSocket also from
 * `Sec-WebSocket-Protocol: bearer, <token>` or `?token=`.
 *
 * @throws ServiceError unauthorized: token-missing | token-invalid | token-expired
 */
export async function authenticate(
  request: Request,
  keys: KeyLookup,
  now: number = Date.now(),
): Promise<Verified> {
  const token = bearerToken(request);
  if (token === undefined) {
    throw new ServiceError(
      "unauthorized",
      "token-missing",
      "Sign in and send Authorization: Bearer <token>.",
    );
  }
  return verifyToken(token, keys, now);
}

/** @throws ServiceError forbidden unless the role is admin */
export function requireAdmin(identity: Identity): void {
  if (identity.role !== "admin")
    throw new ServiceError("forbidden", "admin-only", "Only an admin may do this.");
}

function bearerToken(request: Request): string | undefined {
  const header = request.headers.get("authorization");
  // RFC 9110 §11.1: the scheme's name is case-insensitive.
  if (header !== null) return /^bearer +(\S+)$/i.exec(header.trim())?.[1] ?? "";
  // Not for other requests: addresses end up in histories and in other people's logs.
  if (!isWebSocketUpgrade(request)) return undefined;
  const [protocol, token] = (request.headers.get("sec-websocket-protocol") ?? "")
    .split(",")
    .map((part) => part.trim());
  if (protocol === BEARER_SUBPROTOCOL && token !== undefined) return token;
  return new URL(request.url).searchParams.get("token") ?? undefined;
}

/** Whether a request asks to become a WebSocket (RFC 6455 §4.2.1). */
export function isWebSocketUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/**
 * The header that accepts the `bearer` subprotocol, for the `upgrade` of a WebSocket route: a browser closes
 * a connection whose subprotocol was not accepted. Empty when none was offered.
 */
export function acceptSubprotocol(request: Request): Record<string, string> {
  const offered = request.headers.get("sec-websocket-protocol");
  return offered?.split(",")[0]?.trim() === BEARER_SUBPROTOCOL
    ? { "sec-websocket-protocol": BEARER_SUBPROTOCOL }
    : {};
}
