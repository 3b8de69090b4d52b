/**
 * TCP sockets of Bun, or of Node where there is no Bun. On Bun, those of node:net would do as well, but take more time
 * for each request.
 */
import { createServer, type Socket } from "node:net";

/** A subset of Bun's socket. */
export interface ClientSocket<Data> {
  /** What its handlers keep with it. */
  data: Data | undefined;
  readonly remoteAddress: string;
  setNoDelay(noDelay: boolean): unknown;
  setKeepAlive(enable: boolean, initialDelayMs: number): unknown;
  /** @returns how many bytes the kernel has accepted; if not all, write the rest after `drain`. */
  write(bytes: Buffer): number;
  pause(): unknown;
  resume(): unknown;
  /** Closes after the accepted bytes were sent. */
  end(): unknown;
  /** Closes at once. */
  terminate(): unknown;
}

export interface SocketHandlers<Data> {
  open(socket: ClientSocket<Data>): void;
  data(socket: ClientSocket<Data>, chunk: Buffer): void;
  drain(socket: ClientSocket<Data>): void;
  close(socket: ClientSocket<Data>): void;
  /** A reset by the peer: `close` follows. */
  error(): void;
}

export interface Listener {
  readonly port: number;
  /** Accepts no more connections. */
  stop(): void;
}

interface ListenOptions<Data> {
  readonly hostname: string;
  readonly port: number;
  readonly socket: SocketHandlers<Data>;
}

/** @throws Error with a `code`, such as EADDRINUSE, when the address cannot be listened on. */
export async function listenTcp<Data>(options: ListenOptions<Data>): Promise<Listener> {
  if (typeof Bun === "undefined") return listenOnNode(options);
  return Bun.listen<Data | undefined>({ ...options, data: undefined });
}

/** As `listenTcp`, with node:net. */
export function listenOnNode<Data>({
  hostname,
  port,
  socket: handlers,
}: ListenOptions<Data>): Promise<Listener> {
  const server = createServer((socket) => {
    const client = new NodeSocket<Data>(socket, () => handlers.drain(client));
    handlers.open(client);
    socket.on("data", (chunk: Buffer) => handlers.data(client, chunk));
    socket.on("close", () => handlers.close(client));
    socket.on("error", () => handlers.error());
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port }, () => {
      const address = server.address();
      const listening = typeof address === "object" && address !== null ? address.port : port;
      resolve({ port: listening, stop: () => server.close() });
    });
  });
}

/** The bytes that are passed to Node at once: it tells only when all of them are accepted. */
const WRITE_BYTES = 256 * 1024;

class NodeSocket<Data> implements ClientSocket<Data> {
  data: Data | undefined;
  readonly remoteAddress: string;
  /** Whether Node still has the first part of what the next call of `write` is given again. */
  #isWriting = false;

  constructor(
    private readonly socket: Socket,
    private readonly onDrain: () => void,
  ) {
    this.remoteAddress = socket.remoteAddress ?? "";
  }

  setNoDelay(noDelay: boolean): void {
    this.socket.setNoDelay(noDelay);
  }

  setKeepAlive(enable: boolean, initialDelayMs: number): void {
    this.socket.setKeepAlive(enable, initialDelayMs);
  }

  write(bytes: Buffer): number {
    let accepted = 0;
    while (accepted < bytes.length) {
      const part = bytes.subarray(accepted, accepted + WRITE_BYTES);
      if (!this.#isWriting) this.socket.write(part, () => this.onDrain());
      this.#isWriting = this.socket.writableLength > 0;
      if (this.#isWriting) break;
      accepted += part.length;
    }
    return accepted;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.end();
  }

  terminate(): void {
    this.socket.destroy();
  }
}
