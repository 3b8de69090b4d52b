import type { Server } from "node:http";
import { freePorts } from "@distributed-messaging/supervisor/ports";
import Provider, { type AccountClaims, type Configuration } from "oidc-provider";

/** What the services of the store accept: an API at the issuer, as RFC 8707 names it. */
const AUDIENCE = "https://store.example/api";
const CLIENT_ID = "store-page";

/** The people who can sign in, with any password, and their roles. */
const roles: Readonly<Record<string, readonly string[]>> = {
  ann: ["customer"],
  bob: ["customer"],
  olga: ["staff", "store-operator"],
};

/** An OpenID Connect issuer on this machine: oidc-provider, a certified server, with its own pages to sign in and out. */
export class Issuer {
  readonly url: string;
  /** The lifetime of the access tokens that it issues from now on. */
  tokenTtlS = 600;
  /** Whether it gives refresh tokens from now on. */
  givesRefreshTokens = true;
  readonly #port: number;
  #provider: Provider | undefined;
  #server: Server | undefined;

  constructor() {
    const [port = 0] = freePorts(1);
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** The settings of a store that trusts this issuer only. */
  get settings(): Record<string, string> {
    return {
      DEMO_SIGN_IN: "false",
      AUTH_ISSUER: this.url,
      AUTH_AUDIENCE: AUDIENCE,
      AUTH_CLIENT_ID: CLIENT_ID,
      AUTH_ROLE_CLAIM: "access.roles",
      AUTH_ADMIN_ROLE: "store-operator",
      AUTH_REQUEST_PARAMETERS: `resource=${encodeURIComponent(AUDIENCE)}`,
    };
  }

  /** Starts it, or starts it again: it keeps its sessions and keys. @param page the origin of the page: it sends nobody elsewhere */
  async start(page: string): Promise<void> {
    this.#provider ??= new Provider(this.url, this.#configuration(page));
    const server = this.#provider.listen(this.#port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      server.once("listening", resolve);
      server.once("error", reject);
    });
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  #configuration(page: string): Configuration {
    return {
      clients: [
        {
          client_id: CLIENT_ID,
          token_endpoint_auth_method: "none",
          grant_types: ["authorization_code", "refresh_token"],
          response_types: ["code"],
          redirect_uris: [`${page}/`],
          post_logout_redirect_uris: [`${page}/`],
        },
      ],
      pkce: { required: () => true },
      clientBasedCORS: (_context, origin) => origin === page,
      cookies: { keys: ["a key of the test"] },
      features: {
        devInteractions: { enabled: true },
        revocation: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context, audience) => ({
            audience,
            scope: "",
            accessTokenFormat: "jwt",
            accessTokenTTL: this.tokenTtlS,
          }),
        },
      },
      issueRefreshToken: () => this.givesRefreshTokens,
      rotateRefreshToken: true,
      extraTokenClaims: (_context, token) =>
        "accountId" in token ? { access: { roles: roles[token.accountId ?? ""] ?? [] } } : undefined,
      findAccount: (_context, id) => ({ accountId: id, claims: (): AccountClaims => ({ sub: id }) }),
    };
  }
}
