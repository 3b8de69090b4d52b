import { BlockList, isIP, isIPv6 } from "node:net";
import { Type } from "@sinclair/typebox";
import { ServiceError, StartError } from "../errors.ts";

/** Customers and addresses that are remembered for each kind of request: 100 bytes each. */
const MAX_KEYS = 10_000;
/** Several customers may be behind one address. */
const CUSTOMERS_PER_ADDRESS = 10;
const MINUTE_MS = 60_000;

interface Bucket {
  tokens: number;
  /** When `tokens` was right, in milliseconds. */
  at: number;
}

/**
 * A token bucket for each key: it holds the requests of one minute, and refills evenly. Of more keys than `maxKeys`,
 * the one that was used longest ago is forgotten, so that it has a full bucket again.
 */
export class TokenBuckets {
  readonly #perMinute: number;
  readonly #maxKeys: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perMinute: number, maxKeys = MAX_KEYS) {
    this.#perMinute = perMinute;
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /**
   * @param now milliseconds of a clock that is not set back
   * @returns 0 when there is a token, or the milliseconds until there is one
   */
  waitMs(key: string, now: number): number {
    return this.#waitMs(this.#refilled(key, now));
  }

  /**
   * Takes a token if there is one.
   *
   * @param now milliseconds of a clock that is not set back
   * @returns 0, or the milliseconds until there is a token again
   */
  take(key: string, now: number): number {
    const bucket = this.#refilled(key, now);
    const waitMs = this.#waitMs(bucket);
    if (waitMs === 0) bucket.tokens -= 1;
    return waitMs;
  }

  #waitMs({ tokens }: Bucket): number {
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) * MINUTE_MS) / this.#perMinute);
  }

  #refilled(key: string, now: number): Bucket {
    const bucket = this.#buckets.get(key) ?? { tokens: this.#perMinute, at: now };
    const refill = ((now - bucket.at) * this.#perMinute) / MINUTE_MS;
    const refilled = { tokens: Math.min(this.#perMinute, bucket.tokens + refill), at: now };
    // In order of use: a key that is refused is in use, too.
    this.#buckets.delete(key);
    this.#buckets.set(key, refilled);
    if (this.#buckets.size > this.#maxKeys) this.#forgetOldest();
    return refilled;
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}

/** Who sends a request. */
interface Sender {
  /** Of a request without identity, only its address counts. */
  readonly customerId?: string;
  /** As `clientAddress` returns it. */
  readonly address: string;
}

/** Limits one kind of request for each customer, and for each address ten times as much. */
export class RateLimit {
  readonly #customers: TokenBuckets | undefined;
  readonly #addresses: TokenBuckets | undefined;
  readonly #now: () => number;

  /**
   * @param perMinute 0 for no limit
   * @param now milliseconds of a clock that is not set back
   */
  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.#now = now;
    if (perMinute === 0) return;
    this.#customers = new TokenBuckets(perMinute);
    this.#addresses = new TokenBuckets(perMinute * CUSTOMERS_PER_ADDRESS);
  }

  /**
   * Takes a token of the customer and one of the address, or none: a customer who is refused cannot use up what others at
   * the same address have, nor others there what the customer has.
   *
   * @throws ServiceError too-many: rate-limited, with the time to wait
   */
  check({ customerId, address }: Sender): void {
    const now = this.#now();
    const ofCustomer = customerId === undefined ? undefined : this.#customers?.waitMs(customerId, now);
    const waitMs = Math.max(ofCustomer ?? 0, this.#addresses?.waitMs(address, now) ?? 0);
    if (waitMs === 0) {
      if (customerId !== undefined) this.#customers?.take(customerId, now);
      this.#addresses?.take(address, now);
      return;
    }
    throw new ServiceError("too-many", "rate-limited", "There were too many requests of this kind.", {
      retryAfterS: waitMs / 1000,
    });
  }
}

/** The setting of a rate limit. @param perMinute the default for each customer */
export function PerMinute(perMinute: number, description: string) {
  return Type.Integer({
    minimum: 0,
    maximum: 1_000_000_000,
    default: perMinute,
    description: `${description}; 0: no limit`,
  });
}

const Address = Type.String({
  pattern: "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
  expected: "an address, or a network such as 10.0.0.0/8",
});

/** The setting of the proxies whose `X-Forwarded-For` is believed. */
export const TrustedProxies = Type.Array(Address, {
  default: [],
  description: "proxies whose X-Forwarded-For is believed",
});

/** The address at the other end of a request's connection; empty when that is closed already. */
export function peerOf(
  request: Request,
  server: { requestIP(request: Request): { readonly address: string } | null } | null,
): string {
  return server?.requestIP(request)?.address ?? "";
}

/**
 * Tells the address of a request's sender: that of the connection. Where that is a trusted proxy, the last address in
 * `X-Forwarded-For` that no trusted proxy has; the entries before that one could be made up.
 *
 * @param proxies addresses and networks
 * @throws StartError when one of them is none
 */
export function clientAddresses(proxies: readonly string[]): (request: Request, peer: string) => string {
  const trusted = new BlockList();
  for (const proxy of proxies) {
    const [address = "", prefix] = proxy.split("/");
    try {
      if (isIP(address) === 0) throw new TypeError("not an address");
      if (prefix === undefined) trusted.addAddress(address, familyOf(address));
      else trusted.addSubnet(address, Number(prefix), familyOf(address));
    } catch {
      throw new StartError(`TRUSTED_PROXIES: ${proxy} is no address and no network`);
    }
  }
  const isTrusted = (address: string) => isIP(address) !== 0 && trusted.check(address, familyOf(address));
  return (request, peer) => {
    let address = plain(peer);
    const hops = request.headers.get("x-forwarded-for")?.split(",") ?? [];
    while (isTrusted(address)) {
      const before = plain(hops.pop()?.trim() ?? "");
      if (isIP(before) === 0) break;
      address = before;
    }
    return networkOf(address);
  };
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv6(address) ? "ipv6" : "ipv4";
}

/** An IPv4 address in an IPv6 one is the IPv4 address (RFC 4291 §2.5.5.2). */
function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

/** Whoever has an IPv6 address has all of its /64 network (RFC 6177). */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [start = "", end] = address.split("::");
  const groups = start === "" ? [] : start.split(":");
  const rest = end === undefined || end === "" ? [] : end.split(":");
  const zeros = end === undefined ? [] : Array.from({ length: 8 - groups.length - rest.length }, () => "0");
  return `${[...groups, ...zeros, ...rest]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
