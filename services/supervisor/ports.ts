/**
 * Free ports are taken from below the range that systems use for outgoing connections: a port in that range may be
 * in use when a process that was killed listens on it again.
 */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 31_999;
const ATTEMPTS = 200;

/** Different TCP ports that were free when they were tried. @throws when too few are found */
export function freePorts(count: number, host = "127.0.0.1"): number[] {
  const found = new Set<number>();
  for (let attempt = 0; attempt < ATTEMPTS && found.size < count; attempt++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT + 1));
    if (whyUnusable(host, port) === undefined) found.add(port);
  }
  if (found.size < count) throw new Error(`no free port on ${host} from ${LOWEST_PORT} to ${HIGHEST_PORT}`);
  return [...found];
}

/** Why a process cannot listen on the port; `undefined` when it can. */
export function whyUnusable(host: string, port: number): string | undefined {
  try {
    Bun.listen({ hostname: host, port, exclusive: true, socket: { data() {} } }).stop(true);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    if (code === "EADDRINUSE") return "is used by another program";
    if (code === "EACCES") return "needs a permission that this user does not have";
    return `cannot be opened on ${host} (${code ?? String(error)})`;
  }
}
