/** The sockets of Bun and those of Node do the same. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { cleanAll, cleanUp } from "../testing/temporary.ts";
import { type ClientSocket, type Listener, listenOnNode, listenTcp, type SocketHandlers } from "./tcp.ts";

afterEach(cleanAll);

const ignore = () => {};
const silent: SocketHandlers<string> = {
  open: ignore,
  data: ignore,
  drain: ignore,
  close: ignore,
  error: ignore,
};

describe.each([
  ["of Bun", listenTcp],
  ["of Node", listenOnNode],
])("sockets %s", (_, listen) => {
  async function started(handlers: Partial<SocketHandlers<string>>): Promise<Listener> {
    const listener = await listen<string>({
      hostname: "127.0.0.1",
      port: 0,
      socket: { ...silent, ...handlers },
    });
    cleanUp(() => listener.stop());
    return listener;
  }

  async function client(port: number): Promise<Socket> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    cleanUp(() => socket.destroy());
    await new Promise((resolve) => socket.once("connect", resolve));
    return socket;
  }

  test("each keeps what its handlers give it, and knows the client", async () => {
    const echoed = Promise.withResolvers<string>();
    const { port } = await started({
      open(socket) {
        expect(socket.data).toBeUndefined();
        socket.data = socket.remoteAddress;
        socket.setNoDelay(true);
        socket.setKeepAlive(true, 60_000);
      },
      data: (socket, chunk) => echoed.resolve(`${socket.data} ${chunk}`),
    });
    (await client(port)).write("hello");
    expect(await echoed.promise).toBe("127.0.0.1 hello");
  });

  test("a write accepts as much as the kernel takes, and goes on after drain; end sends all of it", async () => {
    const bytes = Buffer.alloc(20 * 1024 * 1024, "0123456789");
    const isStuck = Promise.withResolvers<number>();
    let goOn = ignore;
    const send = async (socket: ClientSocket<string>) => {
      for (let sent = 0; ; ) {
        sent += Math.max(0, socket.write(bytes.subarray(sent)));
        if (sent === bytes.length) break;
        isStuck.resolve(sent);
        // Whoever is told that not all was accepted waits for `drain` from now on.
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
      }
      socket.end();
    };
    const { port } = await started({ data: send, drain: () => goOn() });
    const socket = await client(port);
    socket.pause();
    socket.write("send");
    // A reader that does not read gets no more than the buffers of the kernel hold.
    expect(await isStuck.promise).toBeLessThan(bytes.length);
    const received: Buffer[] = [];
    socket.on("data", (chunk) => received.push(Buffer.from(chunk)));
    socket.resume();
    await new Promise((resolve) => socket.once("end", resolve));
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
  });

  test("a socket that is paused is not read until it is resumed, while others are", async () => {
    const received: string[] = [];
    const sockets: ClientSocket<string>[] = [];
    let onReceived = ignore;
    const { port } = await started({
      open(socket) {
        if (sockets.length === 0) socket.pause();
        sockets.push(socket);
      },
      data(_socket, chunk) {
        received.push(String(chunk));
        onReceived();
      },
    });
    const next = () =>
      new Promise<void>((resolve) => {
        onReceived = resolve;
      });
    const first = await client(port);
    await new Promise((resolve) => first.write("first", resolve));
    const second = await client(port);
    const other = next();
    second.write("second");
    await other;
    const resumed = next();
    sockets[0]?.resume();
    await resumed;
    expect(received).toEqual(["second", "first"]);
  });

  test("a connection is closed once, by either side", async () => {
    const closed: string[] = [];
    const sockets: ClientSocket<string>[] = [];
    let onClose = ignore;
    const { port } = await started({
      data(socket, chunk) {
        socket.data = String(chunk);
        if (socket.data === "terminate") socket.terminate();
        sockets.push(socket);
      },
      close(socket) {
        closed.push(socket.data ?? "");
        onClose();
      },
    });
    for (const how of ["terminate", "client ends", "client resets"]) {
      const close = new Promise<void>((resolve) => {
        onClose = resolve;
      });
      const socket = await client(port);
      socket.on("error", ignore);
      socket.resume();
      await new Promise((resolve) => socket.write(how, resolve));
      if (how === "client ends") socket.end();
      if (how === "client resets") socket.resetAndDestroy();
      await close;
    }
    expect(closed.map((how) => how || "client resets")).toEqual([
      "terminate",
      "client ends",
      "client resets",
    ]);
    expect(sockets.length).toBeGreaterThan(1);
  });

  test("a port in use is an error with its code", async () => {
    const { port } = await started({});
    const again = listen<string>({ hostname: "127.0.0.1", port, socket: silent });
    await expect(again).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  test("a listener that was stopped accepts no connection", async () => {
    const listener = await started({});
    listener.stop();
    const refused = new Promise((_resolve, reject) => {
      connect(listener.port, "127.0.0.1").once("error", reject);
    });
    await expect(refused).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});
