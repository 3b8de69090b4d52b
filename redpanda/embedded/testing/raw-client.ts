/** A client that can send any bytes, and every API in every version. */
import type { Socket } from "bun";
import { apis } from "../registry.ts";
import { Frames } from "../server/frames.ts";
import { Reader } from "../wire/reader.ts";
import { Writer } from "../wire/writer.ts";
import { cleanUp } from "./temporary.ts";

interface Address {
  readonly port: number;
}

export class RawClient {
  /** Resolves when the broker has closed the connection. */
  readonly closed: Promise<void>;
  readonly #close: () => void;
  readonly #frames = new Frames(2 ** 30);
  readonly #responses: Buffer[] = [];
  readonly #waiting: ((frame: Buffer) => void)[] = [];
  #socket: Socket | undefined;
  #correlationId = 0;

  private constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#close = resolve;
  }

  static async connect(broker: Address & { readonly listening?: Address }): Promise<RawClient> {
    const client = new RawClient();
    client.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: (broker.listening ?? broker).port,
      socket: {
        data: (_socket, chunk) => client.#receive(chunk),
        close: () => client.#close(),
        error: () => {},
      },
    });
    cleanUp(() => client.#socket?.terminate());
    return client;
  }

  /** Sends a request and resolves with the body of its response. */
  async request(apiKey: number, version: number, body: (writer: Writer) => void = () => {}): Promise<Reader> {
    this.send(apiKey, version, body);
    return this.response(apiKey, version);
  }

  send(apiKey: number, version: number, body: (writer: Writer) => void = () => {}): void {
    const flexible = version >= (apis.get(apiKey)?.flexibleFrom ?? Number.POSITIVE_INFINITY);
    const header = new Writer(false)
      .int16(apiKey)
      .int16(version)
      .int32(this.#correlationId++)
      .nullableString("raw");
    const rest = new Writer(flexible).noTags();
    body(rest);
    rest.noTags();
    this.sendFrame(Buffer.concat([header.finish(), rest.finish()]));
  }

  /** The body of the next response, for this API and version. */
  async response(apiKey: number, version: number): Promise<Reader> {
    const flexible = version >= (apis.get(apiKey)?.flexibleFrom ?? Number.POSITIVE_INFINITY);
    const frame = new Reader(await this.nextFrame());
    frame.int32();
    const body = frame.rest(flexible);
    if (apiKey !== 18) body.skipTags();
    return body;
  }

  sendFrame(frame: Uint8Array): void {
    this.sendBytes(Buffer.concat([new Writer().int32(frame.length).finish(), frame]));
  }

  /** Sends raw bytes, which must fit into the buffer of the socket. */
  sendBytes(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  nextFrame(): Promise<Buffer> {
    const frame = this.#responses.shift();
    if (frame) return Promise.resolve(frame);
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      void this.closed.then(() => reject(new Error("the broker closed the connection")));
    });
  }

  /** Stops reading. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  end(): void {
    this.#socket?.end();
  }

  #receive(chunk: Buffer): void {
    this.#frames.push(chunk);
    for (let frame = this.#frames.next(); frame; frame = this.#frames.next()) {
      const waiting = this.#waiting.shift();
      if (waiting) waiting(frame);
      else this.#responses.push(frame);
    }
  }
}
