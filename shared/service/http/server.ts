import type { AnyElysia } from "elysia";
import { StartError } from "../errors.ts";

/** A server that accepts connections. */
export interface Listening {
  /** The actual port, also when 0 was requested. */
  readonly port: number;
  readonly url: string;
  /** Serves another app from now on, in place of this one. Requests that run are finished by the former. */
  replace(app: AnyElysia): Promise<Replaced>;
  /** The process is about to stop: from now on each answer ends its connection, so that the next request goes elsewhere. */
  drain(): void;
  /**
   * Accepts no more connections, closes WebSockets (1001), lets running requests finish until the deadline, and
   * then closes their connections. Resolves when the port is free. A second call waits for the first.
   */
  stop(deadlineMs: number): Promise<void>;
}

interface Replaced {
  /** Resolves when the former app has answered the requests that it had, or at the deadline. */
  answered(deadlineMs: number): Promise<void>;
}

interface ListenOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The setting that gives the port, for error messages. */
  readonly setting?: string;
}

/** Clients send short messages. One that reads too slowly is disconnected when its buffer is full. */
const SOCKET_LIMITS = {
  maxPayloadLength: 16 * 1024,
  idleTimeout: 60,
  sendPings: true,
  backpressureLimit: 1024 * 1024,
  closeOnBackpressureLimit: true,
} as const;

/** RFC 6455 §7.4.1: an endpoint is going away. */
const GOING_AWAY = 1001;

/**
 * Serves an app. Elysia's own `listen` shares the port with other processes, serves Bun's error page, and does not
 * let us close its WebSockets on a stop.
 *
 * @throws StartError when the port is taken or the host is not an address of this machine
 */
export async function listen(app: AnyElysia, options: ListenOptions): Promise<Listening> {
  await app.modules;
  const sockets = new Set<Bun.ServerWebSocket<SocketData>>();
  const running = new Set<Promise<unknown>>();
  let current = app;
  let isDraining = false;
  const answer = async (request: Request) => {
    const response = await current.fetch(request);
    if (isDraining) response?.headers.set("connection", "close");
    return response;
  };
  const track = (request: Request) => {
    const answered = answer(request);
    running.add(answered);
    return answered.finally(() => running.delete(answered));
  };
  const server = serve(track, options, sockets);
  app.server = server;
  const { port } = server;
  if (port === undefined) throw new StartError(`${options.host} gave no port`);
  let stopped: Promise<void> | undefined;
  return {
    port,
    url: `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    async replace(next) {
      await next.modules;
      next.server = server;
      current = next;
      const former = [...running];
      return { answered: (deadlineMs) => within(deadlineMs, Promise.allSettled(former)) };
    },
    drain() {
      isDraining = true;
    },
    stop(deadlineMs) {
      stopped ??= stop(server, sockets, deadlineMs);
      return stopped;
    },
  };
}

/** Elysia stores the handlers of the route in the data of its socket. */
interface SocketData {
  open?(socket: Socket): unknown;
  message?(socket: Socket, message: string | Buffer): unknown;
  drain?(socket: Socket): unknown;
  close?(socket: Socket, code: number, reason: string): unknown;
  ping?(socket: Socket, data: Buffer): unknown;
  pong?(socket: Socket, data: Buffer): unknown;
}
type Socket = Bun.ServerWebSocket<SocketData>;

function serve(
  fetch: AnyElysia["fetch"],
  options: ListenOptions,
  sockets: Set<Socket>,
): Bun.Server<SocketData> {
  try {
    return Bun.serve<SocketData>({
      hostname: options.host,
      port: options.port,
      reusePort: false,
      development: false,
      idleTimeout: 30,
      // Bun refuses with an empty 413; input.ts enforces the limit with a problem. Bun does not buffer a body that
      // is not read.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch,
      websocket: {
        ...SOCKET_LIMITS,
        open(socket) {
          sockets.add(socket);
          socket.data.open?.(socket);
        },
        message: (socket, message) => void socket.data.message?.(socket, message),
        drain: (socket) => void socket.data.drain?.(socket),
        ping: (socket, data) => void socket.data.ping?.(socket, data),
        pong: (socket, data) => void socket.data.pong?.(socket, data),
        close(socket, code, reason) {
          sockets.delete(socket);
          socket.data.close?.(socket, code, reason);
        },
      },
    });
  } catch (error) {
    throw cannotListen(error, options);
  }
}

function cannotListen(error: unknown, { host, port, setting }: ListenOptions): StartError {
  const hint = setting === undefined ? "" : ` (${setting})`;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") return new StartError(`port ${port} on ${host} is taken${hint}`);
  if (code === "EACCES")
    return new StartError(`port ${port} on ${host} needs more rights than this user has${hint}`);
  return new StartError(
    `cannot listen at port ${port} on ${host}${hint}: is HOST an address of this machine?`,
  );
}

/** Resolves when it ends, or at the deadline. */
async function within(deadlineMs: number, ending: Promise<unknown>): Promise<void> {
  const deadline = Promise.withResolvers<void>();
  const timer = setTimeout(deadline.resolve, Math.max(0, deadlineMs));
  await Promise.race([ending, deadline.promise]);
  clearTimeout(timer);
}

async function stop(server: Bun.Server<SocketData>, sockets: Set<Socket>, deadlineMs: number): Promise<void> {
  const drained = server.stop();
  for (const socket of sockets) socket.close(GOING_AWAY, "the service is stopping");
  await within(deadlineMs, drained);
  // Closes the connections of requests that are still running.
  await server.stop(true);
}
