import { describe, expect, test } from "bun:test";
import { ServiceError } from "../errors.ts";
import { clientAddresses, RateLimit, TokenBuckets } from "./rate-limit.ts";

describe("token buckets", () => {
  test("allow the requests of a minute at once, then as many as flow in", () => {
    const buckets = new TokenBuckets(6);
    expect(Array.from({ length: 7 }, () => buckets.take("ANN", 0))).toEqual([0, 0, 0, 0, 0, 0, 10_000]);
    expect(buckets.take("ANN", 4_000)).toBe(6_000);
    expect(buckets.take("ANN", 10_000)).toBe(0);
    expect(buckets.take("ANN", 10_000)).toBe(10_000);
    // Never more than a minute's worth.
    expect(
      Array.from({ length: 7 }, () => buckets.take("ANN", 1_000_000)).filter((ms) => ms === 0),
    ).toHaveLength(6);
  });

  test("are independent", () => {
    const buckets = new TokenBuckets(1);
    expect([buckets.take("ANN", 0), buckets.take("ANN", 0), buckets.take("BOB", 0)]).toEqual([0, 60_000, 0]);
  });

  test("take a bounded amount of memory: the key that was used longest ago is forgotten, not one that is refused", () => {
    const buckets = new TokenBuckets(1, 3);
    buckets.take("EVE", 0);
    for (let index = 0; index < 100; index += 1) {
      buckets.take(`${index}`, 1);
      expect(buckets.take("EVE", 1)).toBeGreaterThan(0);
    }
    expect(buckets.size).toBe(3);
    expect(buckets.take("0", 1)).toBe(0);
  });
});

describe("a rate limit", () => {
  const refusal = (act: () => void) => {
    try {
      act();
    } catch (error) {
      if (error instanceof ServiceError) return { kind: error.kind, retryAfterS: error.retryAfterS };
      throw error;
    }
    return undefined;
  };

  test("is one for each customer, whatever their address", () => {
    const limit = new RateLimit(2, () => 0);
    for (const address of ["a", "b"]) limit.check({ customerId: "EVE", address });
    expect(refusal(() => limit.check({ customerId: "EVE", address: "c" }))).toEqual({
      kind: "too-many",
      retryAfterS: 30,
    });
    limit.check({ customerId: "ANN", address: "c" });
  });

  test("is ten times as much for each address, whichever customers", () => {
    const limit = new RateLimit(2, () => 0);
    for (let index = 0; index < 20; index += 1) limit.check({ customerId: `EVE_${index}`, address: "a" });
    expect(refusal(() => limit.check({ customerId: "EVE", address: "a" }))).toEqual({
      kind: "too-many",
      retryAfterS: 3,
    });
    expect(refusal(() => limit.check({ address: "a" }))?.kind).toBe("too-many");
    limit.check({ customerId: "ANN", address: "b" });
  });

  test("lets no customer use up what others at the same address have", () => {
    const limit = new RateLimit(2, () => 0);
    for (let index = 0; index < 100; index += 1)
      refusal(() => limit.check({ customerId: "EVE", address: "a" }));
    // Of the 20 requests of the address, EVE had 2.
    for (let index = 0; index < 18; index += 1) limit.check({ customerId: `ANN_${index}`, address: "a" });
    expect(refusal(() => limit.check({ customerId: "BOB", address: "a" }))?.kind).toBe("too-many");
  });

  test("that an address has reached takes nothing from its customers", () => {
    const limit = new RateLimit(2, () => 0);
    for (let index = 0; index < 20; index += 1) limit.check({ customerId: `EVE_${index}`, address: "a" });
    for (let index = 0; index < 5; index += 1)
      refusal(() => limit.check({ customerId: "ANN", address: "a" }));
    for (let index = 0; index < 2; index += 1) limit.check({ customerId: "ANN", address: "b" });
    expect(refusal(() => limit.check({ customerId: "ANN", address: "b" }))?.kind).toBe("too-many");
  });

  test("of both is waited for until both have a token", () => {
    const limit = new RateLimit(2, () => 0);
    for (let index = 0; index < 19; index += 1) limit.check({ customerId: `EVE_${index}`, address: "a" });
    limit.check({ customerId: "ANN", address: "a" });
    limit.check({ customerId: "ANN", address: "b" });
    expect(refusal(() => limit.check({ customerId: "ANN", address: "a" }))?.retryAfterS).toBe(30);
  });

  test("of 0 is none", () => {
    const limit = new RateLimit(0, () => 0);
    for (let index = 0; index < 1_000; index += 1) limit.check({ customerId: "ANN", address: "a" });
  });
});

describe("the address of a client", () => {
  const addressOf = (proxies: string[], peer: string, forwarded?: string) =>
    clientAddresses(proxies)(
      new Request("http://h", { headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } }),
      peer,
    );

  test("is that of the connection; X-Forwarded-For of anybody else is not believed", () => {
    expect(addressOf([], "203.0.113.9", "198.51.100.1")).toBe("203.0.113.9");
    expect(addressOf(["10.0.0.0/8"], "203.0.113.9", "198.51.100.1")).toBe("203.0.113.9");
    expect(addressOf([], "::ffff:203.0.113.9")).toBe("203.0.113.9");
  });

  test("is the last one that a trusted proxy has seen; what comes before it is made up", () => {
    const proxies = ["10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"];
    expect(addressOf(proxies, "10.1.2.3", "198.51.100.1")).toBe("198.51.100.1");
    expect(addressOf(proxies, "10.1.2.3", "6.6.6.6, 198.51.100.1, 192.0.2.1")).toBe("198.51.100.1");
    expect(addressOf(proxies, "2001:db8:1::7", "198.51.100.1")).toBe("198.51.100.1");
    expect(addressOf(proxies, "10.1.2.3", "6.6.6.6, not-an-address")).toBe("10.1.2.3");
    expect(addressOf(proxies, "10.1.2.3")).toBe("10.1.2.3");
  });

  test("of IPv6 is its /64 network", () => {
    const addresses = ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::9", "2001:0db8:1:2::"];
    expect(new Set(addresses.map((peer) => addressOf([], peer)))).toEqual(new Set(["2001:db8:1:2::/64"]));
    expect(addressOf([], "::1")).toBe("0:0:0:0::/64");
  });

  test.each(["10.0.0.0.0", "10.0.0.0/33", "::1/129", "1"])("a proxy %s is an error", (proxy) => {
    expect(() => clientAddresses([proxy])).toThrow(`TRUSTED_PROXIES: ${proxy} is no address and no network`);
  });

  test("of a connection that is closed is unknown", () => {
    expect(addressOf(["10.0.0.0/8"], "", "198.51.100.1")).toBe("");
  });
});
