import { connect } from "node:net";

/**
 * Sends bytes that an HTTP client would not send.
 *
 * @returns the response until the server closes the connection or `until` occurs in it
 */
export function rawRequest(port: number, bytes: string | Uint8Array, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (data) => {
      answer += data.toString("latin1");
      if (until !== undefined && answer.includes(until)) socket.destroy();
    });
    socket.on("close", () => resolve(answer));
    // A server that refuses may close before everything is written; the response until then counts.
    socket.on("error", (error) =>
      "code" in error && error.code === "ECONNREFUSED" ? reject(error) : undefined,
    );
    socket.write(bytes);
  });
}
