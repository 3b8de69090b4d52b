import { isProtected } from "./loopback.ts";
import { secretProblems } from "./secrets.ts";
import { parseSigningKey } from "./signing-key.ts";

type Unchecked = Readonly<Record<string, unknown>>;

/** A line for each setting of the issuer of tokens that is missing, in vain, unsafe or of no use. */
export function issuerProblems(config: Unchecked): string[] {
  const { AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience, AUTH_CLIENT_ID: clientId } = config;
  const problems = ["AUTH_ISSUER", "AUTH_JWKS_URL"].flatMap((name) => unsafeUrl(name, config[name]));
  problems.push(...secretProblems(config, ["AUTH_SIGNING_KEY"], parseSigningKey));
  if (issuer === undefined) {
    if (audience !== undefined) problems.push("AUTH_AUDIENCE: is of no use without AUTH_ISSUER");
    if (clientId !== undefined) problems.push("AUTH_CLIENT_ID: is of no use without AUTH_ISSUER");
    return problems;
  }
  if (audience === undefined) problems.push("AUTH_AUDIENCE: is not set, but AUTH_ISSUER is");
  // An ID token is for the page: it would pass for an access token, without the rights that were consented to.
  if (audience !== undefined && audience === clientId) {
    problems.push("AUTH_AUDIENCE: expected another one than AUTH_CLIENT_ID, or ID tokens were accepted");
  }
  if (config.DEMO_SIGN_IN === true) {
    problems.push(
      "DEMO_SIGN_IN: its tokens are not accepted where AUTH_ISSUER is set; only one of them can be",
    );
  }
  return problems;
}

/** Without TLS, whoever is between the service and the issuer could sign tokens: keys come over loopback or https. */
function unsafeUrl(name: string, url: unknown): string[] {
  // One that is no http URL has its own line.
  if (typeof url !== "string" || !/^https?:/.test(url) || isProtected(url)) return [];
  return [`${name}: expected https, or http to this machine: keys that come over a network need TLS`];
}
