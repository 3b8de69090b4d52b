/** The TCP server: listens, creates a `Connection` per socket, and drains them on stop. */
import { Connection, type ConnectionOptions } from "./server/connection.ts";
import { type Listener, listenTcp, type SocketHandlers } from "./server/tcp.ts";

interface ServerOptions extends ConnectionOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Why there cannot be one more connection than so many. */
  readonly refusal: (open: number) => string | undefined;
  /** Called when a connection is refused, once until one closes. */
  readonly onRefused: (reason: string) => void;
}

export interface Server {
  readonly port: number;
  /** Stops listening, waits up to `graceMs` for requests in flight, closes all connections. */
  stop(graceMs: number): Promise<void>;
}

/** The longest time between two looks at how long the connections take. */
const MAX_CHECK_INTERVAL_MS = 1_000;

/** Attempts to find a port that is free on both addresses of localhost. */
const PORT_ATTEMPTS = 20;

/** @throws Error with the reason when the address cannot be listened on. */
export async function listen(options: ServerOptions): Promise<Server> {
  const connections = new Set<Connection>();
  const listeners = await listenAll(options, connections);
  const [first] = listeners;
  const { maxIdleMs, frameTimeoutMs, stallTimeoutMs } = options;
  const shortest = Math.min(maxIdleMs, frameTimeoutMs, stallTimeoutMs);
  const watch = setInterval(
    () => {
      for (const connection of connections) connection.checkTimes();
    },
    Math.min(MAX_CHECK_INTERVAL_MS, Math.ceil(shortest / 4)),
  );
  return {
    port: first?.port ?? options.port,
    async stop(graceMs) {
      clearInterval(watch);
      for (const listener of listeners) listener.stop();
      const timeout = setTimeout(() => terminateAll(connections), graceMs);
      await Promise.all([...connections].map((connection) => connection.drain()));
      clearTimeout(timeout);
    },
  };
}

function terminateAll(connections: Iterable<Connection>): void {
  for (const connection of connections) connection.terminate();
}

/**
 * `localhost` resolves to two addresses and clients use either, so both are listened on, with the same port. Without
 * IPv6 one address is enough.
 */
async function listenAll(options: ServerOptions, connections: Set<Connection>): Promise<Listener[]> {
  if (options.host !== "localhost") return [await listenOn(options.host, options.port, options, connections)];
  for (let attempt = 1; ; attempt++) {
    const first = await listenOn("127.0.0.1", options.port, options, connections);
    try {
      return [first, await listenOn("::1", first.port, options, connections)];
    } catch (error) {
      if (!(error instanceof AddressInUse)) return [first];
      first.stop();
      if (options.port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

async function listenOn(
  hostname: string,
  port: number,
  options: ServerOptions,
  connections: Set<Connection>,
): Promise<Listener> {
  try {
    return await listenTcp<Connection>({ hostname, port, socket: handlers(options, connections) });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const inUse = code === "EADDRINUSE";
    if (inUse) throw new AddressInUse(`port ${port} of ${hostname} is in use by another process`);
    throw new Error(`cannot listen on ${hostname}:${port}${code ? ` (${code})` : ""}`);
  }
}

function handlers(options: ServerOptions, connections: Set<Connection>): SocketHandlers<Connection> {
  let isFull = false;
  return {
    open(socket) {
      const refusal = options.refusal(connections.size);
      if (refusal !== undefined) {
        if (!isFull) options.onRefused(refusal);
        isFull = true;
        socket.terminate();
        return;
      }
      socket.data = new Connection(socket, options);
      connections.add(socket.data);
    },
    data: (socket, chunk) => socket.data?.onData(chunk),
    drain: (socket) => socket.data?.onWritable(),
    close(socket) {
      if (!socket.data) return;
      isFull = false;
      connections.delete(socket.data);
      socket.data.onClose();
    },
    error: () => {},
  };
}

class AddressInUse extends Error {
  override readonly name = "AddressInUse";
}
