/** Addresses as users write them. */

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, or `[address]:port` for IPv6; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host && port <= 65535 ? { host, port } : undefined;
}

/** As `parseAddress`; also undefined for an address that nobody can connect to. */
export function parseConnectable(text: string): Address | undefined {
  const address = parseAddress(text);
  return address && address.port > 0 && !isWildcard(address.host) ? address : undefined;
}

/** The reverse of `parseAddress`. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A wildcard address can be listened on but not connected to. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** Whether only this machine can connect to the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
