import { afterEach, describe, expect, test } from "bun:test";
import { openDatabase, silentLogger } from "@distributed-messaging/messaging";
import { failureOf } from "@distributed-messaging/messaging/testing";
import { Type } from "@sinclair/typebox";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { ConfigError, commonSettings, loadConfig } from "./config.ts";
import { VerificationKeys } from "./identity.ts";
import { discoverIssuer } from "./issuer.ts";

/* An issuer that is not the store: another company's server, on another machine. */

const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

const pair = await generateKeyPair("RS256");
const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "RS256", use: "sig" }] };

/** @param metadata in place of parts of what it says of itself */
function startIssuer(metadata: Readonly<Record<string, unknown>> = {}) {
  const server: Bun.Server<undefined> = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch({ url }) {
      const { pathname, origin } = new URL(url);
      if (pathname === "/.well-known/openid-configuration") {
        const own = { issuer: origin, jwks_uri: `${origin}/keys`, token_endpoint: `${origin}/token` };
        return Response.json({ ...own, ...metadata });
      }
      return pathname === "/keys" ? Response.json(jwks) : new Response(null, { status: 404 });
    },
  });
  servers.push(server);
  return { issuer: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
}

const sign = (claims: JWTPayload, kid = "k1") =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: "RS256", kid, typ: "at+jwt" })
    .setIssuedAt()
    .setExpirationTime("1m")
    .sign(pair.privateKey);

const Settings = Type.Object(commonSettings);

/** A service whose settings name the issuer. */
function serviceOf(issuer: string, env: Record<string, string> = {}, database = openDatabase(":memory:")) {
  const settings = { AUTH_ISSUER: issuer, AUTH_AUDIENCE: "store", DATA_DIR: "/nonexistent", ...env };
  const config = loadConfig(Settings, settings, "test");
  const own = { issuer: "own", audience: "own" };
  const { verifier } = new VerificationKeys(database, config, own, silentLogger);
  return {
    database,
    verify: (token: string) => verifier.verify(token, Date.now()),
    codeOf: async (token: string) => {
      const error: unknown = await verifier.verify(token, Date.now()).then(
        () => "accepted",
        (reason: unknown) => reason,
      );
      return typeof error === "object" && error !== null && "code" in error ? error.code : error;
    },
  };
}

describe("tokens of an issuer", () => {
  test("are verified with the keys that its metadata leads to", async () => {
    const { issuer } = startIssuer();
    const { verify } = serviceOf(issuer);
    expect(await verify(await sign({ iss: issuer, aud: ["other", "store"], sub: "ann" }))).toMatchObject({
      customerId: "ann",
      role: "customer",
    });
  });

  test("are the only ones that are accepted", async () => {
    const { issuer } = startIssuer();
    const { codeOf } = serviceOf(issuer);
    const good = { iss: issuer, aud: "store", sub: "ann" };
    expect(await codeOf(await sign(good))).toBe("accepted");
    for (const bad of [
      { ...good, iss: "own" },
      { ...good, iss: `${issuer}/` },
      { ...good, aud: "own" },
      { ...good, aud: "client" },
      { iss: issuer, sub: "ann" },
      { iss: issuer, aud: "store" },
      { ...good, sub: "" },
      { ...good, sub: "x".repeat(256) },
      // Its hash would be that of every other lone surrogate.
      { ...good, sub: "\ud800" },
    ]) {
      expect([bad, await codeOf(await sign(bad))]).toEqual([bad, "token-invalid"]);
    }
    expect(await codeOf(await sign(good, "k2"))).toBe("token-invalid");
  });

  test("are accepted while it is down, also after a restart of the service", async () => {
    const { issuer, stop } = startIssuer();
    const first = serviceOf(issuer);
    const token = await sign({ iss: issuer, aud: "store", sub: "ann" });
    await first.verify(token);
    await stop();
    expect(await first.codeOf(await sign({ iss: issuer, aud: "store", sub: "bob" }))).toBe("accepted");
    const restarted = serviceOf(issuer, {}, first.database);
    expect(await restarted.codeOf(token)).toBe("accepted");
  });

  test("are not verified with the keys of another one, that its metadata is of", async () => {
    const { issuer } = startIssuer({ issuer: "https://other.example" });
    const { codeOf } = serviceOf(issuer);
    expect(await codeOf(await sign({ iss: issuer, aud: "store", sub: "ann" }))).toBe("token-invalid");
  });
});

describe("the role", () => {
  const roleOf = async (claims: JWTPayload, env: Record<string, string>) => {
    const server = startIssuer();
    const token = await sign({ iss: server.issuer, aud: "store", sub: "ann", ...claims });
    return (await serviceOf(server.issuer, env).verify(token)).role;
  };

  test.each<[string, JWTPayload, "admin" | "customer"]>([
    ["role", { role: "admin" }, "admin"],
    ["role", { role: ["staff", "admin"] }, "admin"],
    ["scope", { scope: "openid admin" }, "admin"],
    ["realm_access.roles", { realm_access: { roles: ["admin"] } }, "admin"],
    ["https://shop.example/roles", { "https://shop.example/roles": ["admin"] }, "admin"],
    ["role", {}, "customer"],
    ["role", { role: "administrator" }, "customer"],
    ["role", { role: { admin: true } }, "customer"],
    ["role", { roles: ["admin"] }, "customer"],
    ["realm_access.roles", { realm_access: { roles: { admin: true } } }, "customer"],
    ["realm_access.roles", { "realm_access.role": ["admin"] }, "customer"],
    ["constructor.name", { role: "Object" }, "customer"],
  ])("in %s of %j is %s", async (AUTH_ROLE_CLAIM, claims, role) => {
    expect(await roleOf(claims, { AUTH_ROLE_CLAIM })).toBe(role);
  });

  test("of an admin has the name that the settings say", async () => {
    const env = { AUTH_ADMIN_ROLE: "store-operator" };
    expect(await roleOf({ role: "store-operator" }, env)).toBe("admin");
    expect(await roleOf({ role: "admin" }, env)).toBe("customer");
  });
});

describe("the customer", () => {
  test("is the subject, or its hash where that is no identifier; no subject has the hash of another", async () => {
    const { issuer } = startIssuer();
    const { verify } = serviceOf(issuer);
    const idOf = async (sub: string) =>
      (await verify(await sign({ iss: issuer, aud: "store", sub }))).customerId;
    expect(await idOf("ann_1")).toBe("ann_1");
    const derived = await idOf("auth0|5f7c8e");
    expect(derived).toMatch(/^sha256-[\w-]{43}$/);
    expect(await idOf("auth0|5f7c8e")).toBe(derived);
    const ids = await Promise.all(["auth0|5f7c8f", "ann@shop.example", derived, "x".repeat(65)].map(idOf));
    expect(new Set([derived, ...ids]).size).toBe(5);
  });

  test("has no operator's id, whatever the subject is", async () => {
    const { issuer } = startIssuer();
    const { verify } = serviceOf(issuer);
    const admin = await verify(
      await sign({ iss: issuer, aud: "store", sub: "operator-root", role: "admin" }),
    );
    expect(admin).toMatchObject({ role: "admin", customerId: expect.stringMatching(/^sha256-[\w-]{43}$/) });
  });
});

describe("discovery", () => {
  test("names the origins that a page sends its requests to", async () => {
    const { issuer } = startIssuer({
      token_endpoint: "https://tokens.example/token",
      revocation_endpoint: "https://tokens.example/revoke",
    });
    expect((await discoverIssuer(issuer)).pageOrigins).toEqual([issuer, "https://tokens.example"]);
  });

  test.each([
    ["https://issuer.example", "http://issuer.example/keys"],
    ["http://127.0.0.1:8080", "http://issuer.example/keys"],
    ["https://issuer.example", "data:application/json,{}"],
    ["https://issuer.example", "file:///keys.json"],
  ])("of %s does not lead to keys at %s, without TLS", async (issuer, jwks_uri) => {
    const failure = await failureOf(
      discoverIssuer(issuer, () => Promise.resolve(Response.json({ issuer, jwks_uri }))),
    );
    expect(failure).toContain("without TLS");
  });

  test("has no origin to which the page would send tokens without TLS", async () => {
    const issuer = "https://issuer.example";
    const metadata = {
      issuer,
      jwks_uri: `${issuer}/keys`,
      token_endpoint: "http://issuer.example/token",
      revocation_endpoint: "no URL",
    };
    const { pageOrigins } = await discoverIssuer(issuer, () => Promise.resolve(Response.json(metadata)));
    expect(pageOrigins).toEqual([issuer]);
  });

  test("does not follow a redirect", async () => {
    const { issuer } = startIssuer();
    const elsewhere = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => Response.redirect(`${issuer}${new URL(url).pathname}`),
    });
    servers.push(elsewhere);
    await expect(discoverIssuer(`http://127.0.0.1:${elsewhere.port}`)).rejects.toThrow();
  });
});

describe("the settings", () => {
  const Gateway = Type.Object({
    ...commonSettings,
    DEMO_SIGN_IN: Type.Boolean({ default: false }),
    AUTH_CLIENT_ID: Type.Optional(Type.String()),
  });
  const problemsOf = (env: Record<string, string>) => {
    try {
      loadConfig(Gateway, env, "test");
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
    return [];
  };
  const good = { AUTH_ISSUER: "https://issuer.example/realms/shop", AUTH_AUDIENCE: "store" };

  test.each(["https://issuer.example", "http://127.0.0.1:8080/x", "http://[::1]:1", "http://localhost:1/"])(
    "take the issuer %s",
    (AUTH_ISSUER) => expect(problemsOf({ ...good, AUTH_ISSUER })).toEqual([]),
  );

  test.each([
    "issuer.example",
    "ftp://issuer.example",
    "http://issuer.example",
    "http://2130706433.example",
    "http://localhost.example",
    "https://user@issuer.example",
    "https://issuer.example?x",
    "https://issuer.example#x",
  ])("refuse the issuer %s", (AUTH_ISSUER) => {
    expect(problemsOf({ ...good, AUTH_ISSUER })).toEqual([expect.stringMatching(/^AUTH_ISSUER: expected /)]);
  });

  test("name everything that does not fit together at once", () => {
    expect(problemsOf({ ...good, AUTH_AUDIENCE: "", DEMO_SIGN_IN: "true" })).toEqual([
      "AUTH_AUDIENCE: is not set, but AUTH_ISSUER is",
      expect.stringMatching(/^DEMO_SIGN_IN: /),
    ]);
    expect(problemsOf({ AUTH_AUDIENCE: "store", AUTH_CLIENT_ID: "page" })).toEqual([
      "AUTH_AUDIENCE: is of no use without AUTH_ISSUER",
      "AUTH_CLIENT_ID: is of no use without AUTH_ISSUER",
    ]);
    expect(problemsOf({ ...good, AUTH_CLIENT_ID: "store" })).toEqual([
      expect.stringMatching(/^AUTH_AUDIENCE: expected another one than AUTH_CLIENT_ID/),
    ]);
  });
});
