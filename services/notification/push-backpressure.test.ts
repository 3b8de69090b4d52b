import { afterEach, beforeEach, expect, test } from "bun:test";
import { connect, type Socket as TcpSocket } from "node:net";
import { eventually } from "@distributed-messaging/messaging/testing";
import { Push } from "./push.ts";
import type { Notification } from "./store.ts";

const DAY_MS = 86_400_000;
/** With 240 bytes each, more than the kernel's buffers of a connection hold. */
const MANY = 100_000;
const MESSAGE = "confirmed".padEnd(150, ".");

/** A customer's notifications, of which the first `stored` are there. */
let stored: number;
let reads: number;
let push: Push;
let server: Bun.Server<undefined>;
let client: TcpSocket;
let socket: Bun.ServerWebSocket<undefined> | undefined;
beforeEach(async () => {
  stored = 0;
  reads = 0;
  socket = undefined;
  push = new Push((_customerId, after, limit) => {
    reads += 1;
    return Array.from({ length: Math.min(limit, stored - Number(after)) }, (_, index) =>
      notification(Number(after) + index + 1),
    );
  });
  server = Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0 },
    fetch: (request, self) => void self.upgrade(request),
    websocket: {
      open(opened) {
        socket = opened;
        push.open(opened, "ANN", "0", DAY_MS);
      },
      message() {},
      drain: (drained) => push.drained(drained),
      close: (closed) => push.close(closed),
    },
  });
  // Not a WebSocket of this process, which reads whatever arrives.
  client = connect({ host: "127.0.0.1", port: server.port ?? 0 });
  client.write(
    [
      "GET / HTTP/1.1",
      "Host: localhost",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ].join("\r\n"),
  );
  await eventually(() => socket !== undefined);
});
afterEach(async () => {
  client.destroy();
  await eventually(() => push.size === 0);
  await server.stop(true);
});

function notification(seq: number): Notification {
  const texts = {
    notificationId: String(seq),
    orderId: "X",
    message: MESSAGE,
    at: "now",
    cursor: String(seq),
  };
  return { seq, ...texts, type: "order.confirmed" };
}

/** The numbers of the notifications in what a client received. */
function numbersIn(bytes: Buffer): number[] {
  const numbers: number[] = [];
  // RFC 6455 §5.2: a text in one frame, with a length of less than 126 in its second byte, or else in the two that follow.
  let at = bytes.indexOf("\r\n\r\n") + 4;
  while (at < bytes.length) {
    const short = bytes.readUInt8(at + 1);
    const start = at + (short < 126 ? 2 : 4);
    at = start + (short < 126 ? short : bytes.readUInt16BE(at + 2));
    numbers.push((JSON.parse(bytes.toString("utf8", start, at)) as Notification).seq);
  }
  return numbers;
}

test("a client that does not read has a page waiting in memory, not all; once it reads, it receives each once and in order", async () => {
  client.pause();
  const received: Buffer[] = [];
  client.on("data", (chunk: Buffer) => void received.push(chunk));
  client.pause();
  stored = MANY;
  await push.notify("ANN");
  const buffered = socket?.getBufferedAmount() ?? 0;
  expect(buffered).toBeGreaterThan(0);
  expect(buffered).toBeLessThan(100_000);
  const before = reads;
  stored += 1;
  await push.notify("ANN");
  // Its buffer is full: nothing is read that could not be sent.
  expect(reads).toBe(before);
  client.resume();
  await eventually(() => Buffer.concat(received.slice(-2)).includes(`"seq":${stored},`));
  await eventually(() => Buffer.concat(received.slice(-2)).toString().endsWith("}"));
  expect(numbersIn(Buffer.concat(received))).toEqual(Array.from({ length: stored }, (_, index) => index + 1));
});
