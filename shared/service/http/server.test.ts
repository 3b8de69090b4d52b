import { describe, expect, test } from "bun:test";
import { StartError } from "../errors.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { captureLogger, serveForTest } from "../testing/http.ts";
import { rawRequest } from "../testing/raw-request.ts";
import { createHttpApp, listen } from "./app.ts";

const newApp = () => createHttpApp({ app: "test", log: captureLogger().log, metrics: createMetrics("test") });

/** A barrier in a route: reached by the request, opened by the test. */
function gate() {
  const opened = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  return { opened, reached };
}

describe("listen", () => {
  test("uses a free port for 0", async () => {
    await using server = await serveForTest(() => {});
    expect(server.listening.port).toBeGreaterThan(0);
    expect((await fetch(`${server.url}/liveness`)).status).toBe(200);
  });

  test("names the port that is taken, and its setting, in one line", async () => {
    await using server = await serveForTest(() => {});
    const attempt = listen(newApp(), {
      host: "127.0.0.1",
      port: server.listening.port,
      setting: "ORDER_PORT",
    });
    await expect(attempt).rejects.toThrow(
      new StartError(`port ${server.listening.port} on 127.0.0.1 is taken (ORDER_PORT)`),
    );
  });

  test("names the host that is not an address of this machine, in one line", async () => {
    for (const host of ["192.0.2.1", "no-such-host.invalid"]) {
      const attempt = listen(newApp(), { host, port: 0 });
      await expect(attempt).rejects.toThrow(
        new StartError(`cannot listen at port 0 on ${host}: is HOST an address of this machine?`),
      );
    }
  });
});

describe("stop", () => {
  test("lets a running request finish and accepts no new one", async () => {
    const { opened, reached } = gate();
    const server = await serveForTest((app) => {
      app.get("/slow", async () => {
        reached.resolve();
        await opened.promise;
        return "finished";
      });
    });
    const slow = fetch(`${server.url}/slow`);
    await reached.promise;
    const stopped = server.listening.stop(10_000);
    await expect(fetch(`${server.url}/liveness`)).rejects.toThrow();
    opened.resolve();
    expect(await (await slow).text()).toBe("finished");
    await stopped;
  });

  test("closes the connection of a request that is not finished by the deadline", async () => {
    const { reached } = gate();
    const server = await serveForTest((app) => {
      app.get("/never", () => {
        reached.resolve();
        return new Promise(() => {});
      });
    });
    const never = fetch(`${server.url}/never`);
    never.catch(() => {});
    await reached.promise;
    await server.listening.stop(20);
    await expect(never).rejects.toThrow();
  });

  test("can be called twice, and frees the port", async () => {
    const server = await serveForTest(() => {});
    const { port } = server.listening;
    // An idle keep-alive connection must not delay the stop.
    await fetch(`${server.url}/liveness`);
    await Promise.all([server.listening.stop(10_000), server.listening.stop(10_000)]);
    await server.listening.stop(10_000);
    const again = await listen(newApp(), { host: "127.0.0.1", port });
    expect(again.port).toBe(port);
    await again.stop(1000);
  });
});

test("an app that is replaced answers the requests that it had, and none of the later ones", async () => {
  const { opened, reached } = gate();
  const order: string[] = [];
  await using server = await serveForTest((app) => {
    app.get("/slow", async () => {
      reached.resolve();
      await opened.promise;
      order.push("former");
      return "former";
    });
  });
  const slow = fetch(`${server.url}/slow`);
  await reached.promise;
  const later = gate();
  const next = newApp().get("/slow", async () => {
    later.reached.resolve();
    await later.opened.promise;
    return "next";
  });
  const replaced = await server.listening.replace(next);
  const ofNext = fetch(`${server.url}/slow`);
  await later.reached.promise;
  await replaced.answered(0);
  const answered = replaced.answered(60_000).then(() => order.push("answered"));
  await fetch(`${server.url}/liveness`);
  opened.resolve();
  await answered;
  expect(order).toEqual(["former", "answered"]);
  expect(await (await slow).text()).toBe("former");
  later.opened.resolve();
  expect(await (await ofNext).text()).toBe("next");
});

test("a server that drains ends each connection with its answer", async () => {
  await using server = await serveForTest(() => {});
  const { port } = server.listening;
  const request = "GET /liveness HTTP/1.1\r\nHost: localhost\r\n\r\n";
  expect(await rawRequest(port, request, '"UP"}')).not.toMatch(/^connection: close\r$/im);
  server.listening.drain();
  // Read until the server ends it.
  expect(await rawRequest(port, request)).toMatch(/^connection: close\r$/im);
});

describe("an invalid HTTP request", () => {
  test.each([
    ["a Host with a path", "GET /orders HTTP/1.1\r\nHost: a/b\r\n\r\n"],
    ["a Host with a query", "GET /orders HTTP/1.1\r\nHost: a?b=/liveness\r\n\r\n"],
    ["an empty Host", "GET /orders HTTP/1.1\r\nHost: \r\n\r\n"],
    ["no Host", "GET /orders HTTP/1.1\r\n\r\n"],
    ["two lengths", "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"],
    [
      "a length and chunks",
      "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["a length that is not a number", "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\nx"],
    ["a negative length", "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nx"],
  ])("with %s gets 400, and the server goes on", async (_what, bytes) => {
    await using server = await serveForTest(() => {});
    expect(await rawRequest(server.listening.port, bytes, "\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
    expect((await fetch(`${server.url}/liveness`)).status).toBe(200);
  });

  const hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const post = "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  const chunks = `0\r\n\r\n${hidden}`;
  test.each([
    ["a space before a colon", `${post}Transfer-Encoding : chunked\r\n\r\n${chunks}`],
    ["a space before the colon of a length", `${post}Content-Length : 5\r\n\r\n{}   ${hidden}`],
    [
      "an unknown coding and a length",
      `${post}Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n${chunks}`,
    ],
    ["two codings", `${post}Transfer-Encoding: chunked, identity\r\n\r\n${chunks}`],
    [
      "two headers of codings",
      `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n${chunks}`,
    ],
    [
      "a coding after a tab, and a length",
      `${post}Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n${chunks}`,
    ],
    ["a folded header", `${post}Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n${chunks}`],
    [
      "a coding in capitals, and a length",
      `${post}TRANSFER-ENCODING: CHUNKED\r\nContent-Length: 3\r\n\r\n${chunks}`,
    ],
    ["chunks in HTTP/1.0", `${post.replace("1.1", "1.0")}Transfer-Encoding: chunked\r\n\r\n${chunks}`],
    ["line feeds alone", `POST /x HTTP/1.1\nHost: localhost\nContent-Length: ${hidden.length}\n\n${hidden}`],
    ["a carriage return in a header", `${post}X: a\rContent-Length: 0\r\n\r\n${hidden}`],
    ["a NUL in a header", `${post}X: a\0b\r\nContent-Length: 0\r\n\r\n${hidden}`],
    ["a NUL in the path", `GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n${hidden}`],
    ["a length with a sign", `${post}Content-Length: +5\r\n\r\n{}   ${hidden}`],
    ["a list of lengths", `${post}Content-Length: 5, 5\r\n\r\n{}   ${hidden}`],
    ["a length in hexadecimal", `${post}Content-Length: 0x5\r\n\r\n{}   ${hidden}`],
    ["a length beyond any number", `${post}Content-Length: ${"9".repeat(30)}\r\n\r\n${hidden}`],
    ["a negative chunk", `${post}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${hidden}`],
    ["a chunk beyond any number", `${post}Transfer-Encoding: chunked\r\n\r\n${"f".repeat(17)}\r\n${hidden}`],
    ["a line feed in a chunk", `${post}Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n{}\r\n${chunks}`],
    ["the version 0.9", `GET /hidden\r\n\r\n${hidden}`],
    ["the preface of HTTP/2", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${hidden}`],
  ])("with %s is refused, and no request is found in it", async (_what, bytes) => {
    const reached: string[] = [];
    await using server = await serveForTest((app) => {
      app.get("/hidden", () => void reached.push("/hidden"));
      app.post("/x", () => void reached.push("/x"));
    });
    // The server closes the connection: it does not know where the next request begins.
    expect(await rawRequest(server.listening.port, bytes)).toMatch(/^HTTP\/1.1 (400|505) /);
    expect(reached).toEqual([]);
  });

  test("with a Host of any length finds its route", async () => {
    const hosts = ["h", "a.b", "x".repeat(200)];
    await using server = await serveForTest((app) => void app.get("/a/b", () => "found"), {
      allowed: { hosts },
    });
    for (const host of hosts) {
      const answer = await rawRequest(
        server.listening.port,
        `GET /a/b HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        "found",
      );
      expect(answer).toStartWith("HTTP/1.1 200 ");
    }
  });
});

describe("pipelined requests", () => {
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  const numbersIn = (answer: string) => [...answer.matchAll(/"n":(\d)/g)].map(([, n]) => Number(n));

  test("whose answers are ready at once are answered in order", async () => {
    await using server = await serveForTest(
      (app) => void app.get("/n/:n", ({ params: { n } }) => `"n":${n}`),
    );
    const bytes = [1, 2, 3].map((n) => get(`/n/${n}`)).join("");
    expect(numbersIn(await rawRequest(server.listening.port, bytes, '"n":3'))).toEqual([1, 2, 3]);
  });

  test("behind one that takes time: the connection is closed, no answer is another request's", async () => {
    let started = 0;
    await using server = await serveForTest(
      (app) =>
        void app.get("/n/:n", async ({ params: { n } }) => {
          started++;
          await Bun.sleep(1);
          return `"n":${n}`;
        }),
    );
    const bytes = [1, 2, 3].map((n) => get(`/n/${n}`)).join("");
    const answered = numbersIn(await rawRequest(server.listening.port, bytes, '"n":3'));
    expect(answered).toEqual([1, 2, 3].slice(0, answered.length));
    expect(started).toBe(Math.max(1, answered.length));
    expect((await fetch(`${server.url}/liveness`)).status).toBe(200);
  });

  test("hidden in a body are a body", async () => {
    await using server = await serveForTest((app) => {
      app.get("/n/:n", ({ params: { n } }) => `"n":${n}`);
      app.post("/n", () => `"n":0`);
    });
    const hidden = get("/n/1");
    const bytes = `POST /n HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}${get("/n/2")}`;
    const answered = numbersIn(await rawRequest(server.listening.port, bytes, '"n":2'));
    expect(answered).not.toContain(1);
  });
});
