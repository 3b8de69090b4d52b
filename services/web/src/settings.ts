import { isRecord, parseJson } from "./json.ts";

/** The settings that the gateway writes into the document (`services/api-gateway/page/document.ts`). */
interface PageSettings {
  /** The port of the notification service, on the host of the page. */
  readonly notificationPort: number;
  /** The port of the supervisor; absent where there is none, as in production. */
  readonly supervisorPort: number | undefined;
  /** Whether visitors can sign in under any name. */
  readonly demoSignIn: boolean;
  readonly oidc: OidcClient | undefined;
}

/** How the page signs its visitors in at an OpenID Connect issuer. */
interface OidcClient {
  readonly issuer: string;
  readonly clientId: string;
  /** Space separated. */
  readonly scope: string;
  /** Further parameters of its requests, form-encoded. */
  readonly parameters: string;
}

/** The names of this machine in a browser. The supervisor accepts no other host name. */
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

function readSettings(): PageSettings {
  const content = document.querySelector('meta[name="store-settings"]')?.getAttribute("content");
  const value = parseJson(content ?? "");
  if (!isRecord(value)) throw new Error("The document has no settings.");
  const { notificationPort, supervisorPort, demoSignIn, oidc } = value;
  if (typeof notificationPort !== "number" || typeof demoSignIn !== "boolean") {
    throw new Error("The settings of the document are not valid.");
  }
  return {
    notificationPort,
    supervisorPort: typeof supervisorPort === "number" ? supervisorPort : undefined,
    demoSignIn,
    oidc: isRecord(oidc) ? readClient(oidc) : undefined,
  };
}

function readClient({ issuer, clientId, scope, parameters }: Readonly<Record<string, unknown>>): OidcClient {
  if (
    typeof issuer !== "string" ||
    typeof clientId !== "string" ||
    typeof scope !== "string" ||
    typeof parameters !== "string"
  ) {
    throw new Error("The settings of the document are not valid.");
  }
  return { issuer, clientId, scope, parameters };
}

const { notificationPort, supervisorPort, demoSignIn, oidc } = readSettings();
const { hostname, protocol } = window.location;

/** The WebSocket of the notification service. */
export const notificationsUrl = `${protocol === "https:" ? "wss" : "ws"}://${hostname}:${notificationPort}/notifications`;

/** The supervisor; undefined where there is none, as in production. */
export const supervisorUrl =
  supervisorPort === undefined || !LOOPBACK.has(hostname)
    ? undefined
    : `http://${hostname}:${supervisorPort}`;

/** The client of an OpenID Connect issuer; undefined where visitors sign in under any name, or not at all. */
export const oidcClient = oidc;

/** How visitors sign in. */
export const signInMode = oidc !== undefined ? "oidc" : demoSignIn ? "demo" : "none";
