/**
 * Free ports are taken from below the range that systems use for outgoing connections: a port in that range may be
 * in use when a process that was killed listens on it again.
 */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 31_999;
const ATTEMPTS = 200;
/** `bun test --parallel` numbers its workers from 1; `npm test` has four at most. Each takes ports of its own part of the range. */
const PARTS = 4;
const PART_SIZE = (HIGHEST_PORT - LOWEST_PORT + 1) / PARTS;

/** What this process has chosen: its user may not listen yet, or may be about to start again. */
const chosen = new Set<number>();

/**
 * TCP ports that were free when they were tried. Neither another call in this process nor another worker of the same
 * `npm test` chooses one of them.
 *
 * @throws when too few are found
 */
export function freePorts(count: number, host = "127.0.0.1"): number[] {
  const worker = Number(process.env.BUN_TEST_WORKER_ID ?? 0);
  const lowest = worker === 0 ? LOWEST_PORT : LOWEST_PORT + ((worker - 1) % PARTS) * PART_SIZE;
  const size = worker === 0 ? PARTS * PART_SIZE : PART_SIZE;
  const found: number[] = [];
  for (let attempt = 0; attempt < ATTEMPTS && found.length < count; attempt++) {
    const port = lowest + Math.floor(Math.random() * size);
    if (chosen.has(port) || whyUnusable(host, port) !== undefined) continue;
    chosen.add(port);
    found.push(port);
  }
  if (found.length < count) throw new Error(`no free port on ${host} from ${lowest} to ${lowest + size - 1}`);
  return found;
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
