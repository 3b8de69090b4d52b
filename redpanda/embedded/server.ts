/** The TCP side: listens, makes a `Connection` of each socket, and at the end lets them finish. */
import type { SocketHandler, TCPSocketListener } from "bun";
import { Connection, type ConnectionOptions } from "./server/connection.ts";

export interface ServerOptions extends ConnectionOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export interface Server {
  readonly port: number;
  /** Stops listening, lets requests in flight be answered for up to `graceMs`, closes all connections. */
  stop(graceMs: number): Promise<void>;
}

/** How often another free port is tried when the one found is taken on the second address. */
const PORT_ATTEMPTS = 20;

/** @throws Error that says why the address cannot be listened on. */
export function listen(options: ServerOptions): Server {
  const connections = new Set<Connection>();
  const listeners = listenAll(options, connections);
  const [first] = listeners;
  return {
    port: first?.port ?? options.port,
    async stop(graceMs) {
      for (const listener of listeners) listener.stop();
      const impatience = setTimeout(() => terminateAll(connections), graceMs);
      await Promise.all([...connections].map((connection) => connection.drain()));
      clearTimeout(impatience);
    },
  };
}

function terminateAll(connections: Iterable<Connection>): void {
  for (const connection of connections) connection.terminate();
}

type Listener = TCPSocketListener<Connection>;

/**
 * `localhost` is two addresses, and clients choose either: so both are listened on, with the same port. A machine
 * without IPv6 does with one.
 */
function listenAll(options: ServerOptions, connections: Set<Connection>): Listener[] {
  if (options.host !== "localhost") return [listenOn(options.host, options.port, options, connections)];
  for (let attempt = 1; ; attempt++) {
    const first = listenOn("127.0.0.1", options.port, options, connections);
    try {
      return [first, listenOn("::1", first.port, options, connections)];
    } catch (error) {
      if (!(error instanceof AddressInUse)) return [first];
      first.stop(true);
      if (options.port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

function listenOn(
  hostname: string,
  port: number,
  options: ServerOptions,
  connections: Set<Connection>,
): Listener {
  try {
    return Bun.listen<Connection>({ hostname, port, socket: handlers(options, connections) });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const inUse = code === "EADDRINUSE";
    if (inUse) throw new AddressInUse(`port ${port} of ${hostname} is in use by another process`);
    throw new Error(`cannot listen on ${hostname}:${port}${code ? ` (${code})` : ""}`);
  }
}

function handlers(options: ConnectionOptions, connections: Set<Connection>): SocketHandler<Connection> {
  return {
    open(socket) {
      socket.data = new Connection(socket, options);
      connections.add(socket.data);
    },
    data: (socket, chunk) => socket.data.onData(chunk),
    drain: (socket) => socket.data.onWritable(),
    close(socket) {
      connections.delete(socket.data);
      socket.data.onClose();
    },
    // A reset by the peer: `close` follows.
    error: () => {},
  };
}

class AddressInUse extends Error {
  override readonly name = "AddressInUse";
}
