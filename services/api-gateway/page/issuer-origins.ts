import { discoverIssuer } from "@distributed-messaging/service/issuer";

/**
 * The origins at an issuer that the page sends requests to, for its content security policy: its token endpoint may be
 * elsewhere. Until the issuer has answered once, only the issuer's own is known.
 */
export function issuerOrigins(issuer: string, discover = discoverIssuer): () => readonly string[] {
  let origins: readonly string[] = [new URL(issuer).origin];
  let state: "unknown" | "asking" | "known" = "unknown";
  const ask = async () => {
    state = "asking";
    try {
      origins = (await discover(issuer)).pageOrigins;
      state = "known";
    } catch {
      // The next request for the page asks again.
      state = "unknown";
    }
  };
  void ask();
  return () => {
    if (state === "unknown") void ask();
    return origins;
  };
}
