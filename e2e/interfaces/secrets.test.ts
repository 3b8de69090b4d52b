import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deadLetterTopic } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { issueToken } from "@distributed-messaging/service/identity";
import { operatorToken } from "@distributed-messaging/service/operator";
import { generateSigningKey } from "@distributed-messaging/service/signing-key";
import { serviceNames } from "@distributed-messaging/services/registry";
import { eachLine } from "@distributed-messaging/supervisor/child";
import { processNames, ROOT } from "@distributed-messaging/supervisor/store";
import { badRecords } from "../support/bad-messages.ts";
import { Listener } from "../support/listener.ts";
import { describeOwn, useOwnStore } from "../support/own-store.ts";
import { untilIdle } from "../support/state.ts";

const LIMIT_MS = 90_000;
const signingKey = await generateSigningKey();

describeOwn("a run at the most detailed log level", () => {
  const store = useOwnStore({
    env: { LOG_LEVEL: "trace", AUTH_SIGNING_KEY: JSON.stringify(signingKey.privateJwk) },
  });

  test(
    "shows no token and no private key in logs, metrics, dead letters and answers",
    async () => {
      await store.seed();
      const [customer, admin] = [await store.signIn("ANN"), await store.signIn("ADMIN", "admin")];
      const operatorJwk = readFileSync(join(store.dataDir, "operator.jwk"), "utf8");
      const operator = (await operatorToken(join(store.dataDir, "operator.jwk"))) ?? "";
      const claims = { issuer: "x", audience: "x", customerId: "ANN", role: "admin", ttlS: 60 } as const;
      const { keyId, privateJwk } = await generateSigningKey();
      const forged = await issueToken(privateJwk, { ...claims, keyId, now: Date.now() });
      const tokens = [customer.session.token, admin.session.token, operator, forged];

      const { orderId } = await customer.place({ items: [{ productId: "PRODUCT_006", quantity: 1 }] });
      await customer.until(orderId, "confirmed");
      const answers: string[] = [];
      for (const name of serviceNames) {
        for (const token of tokens) {
          for (const [path, init] of [
            [`/dead-letters?token=${token}`, {}],
            [`/dead-letters/${token}`, {}],
            ["/dead-letters/1/replay", { method: "POST", body: JSON.stringify({ token }) }],
            ["/orders", { method: "POST", body: `{"items": "${token}` }],
            [`/${token}`, {}],
          ] as const) {
            const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
            answers.push(JSON.stringify((await store.request(name, path, { ...init, headers })).body));
          }
        }
        answers.push(String((await store.request(name, "/metrics")).body));
        answers.push(JSON.stringify((await store.request(name, "/openapi/json")).body));
        await store.records.write(badRecords(deadLetterTopic(name).name).slice(0, 2));
      }
      const socket = `${store.url("notification").replace(/^http/, "ws")}/notifications`;
      for (const token of tokens) {
        for (const listener of [
          new Listener(`${socket}?token=${token}`),
          new Listener(socket, ["bearer", token]),
        ]) {
          await listener.opened();
          await listener.terminate();
        }
      }
      await store.records.write(badRecords("api-gateway.keys"));
      await untilIdle(store);

      const secrets = [
        ...tokens,
        // The signature alone shows that a token was cut into pieces.
        ...tokens.map((token) => token.split(".")[2] ?? ""),
        signingKey.privateJwk.d,
        (JSON.parse(operatorJwk) as { d: string }).d,
      ];
      const shown = [
        ...processNames.flatMap((name) => store.log(name)),
        ...serviceNames.map((name) => Bun.inspect(store.rows(name, "SELECT * FROM dead_letters"))),
        ...answers,
      ];
      for (const secret of secrets) {
        expect(secret.length).toBeGreaterThan(40);
        expect(shown.filter((text) => text.includes(secret))).toEqual([]);
      }
      // What is searched has the requests, the dead letters and the metrics.
      for (const part of ['"request"', "not JSON", "http_requests"]) {
        expect([part, shown.some((text) => text.includes(part))]).toEqual([part, true]);
      }
    },
    LIMIT_MS,
  );
});

const folder = mkdtempSync(join(tmpdir(), "secrets-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A broker that speaks SASL PLAIN and refuses every password. */
function refusingBroker() {
  const int16 = (value: number) => [value >> 8, value & 0xff];
  const int32 = (value: number) => [...int16(value >>> 16), ...int16(value & 0xffff)];
  const text = (value: string) => [...int16(value.length), ...Buffer.from(value)];
  const apis = [
    [18, 2],
    [17, 1],
    [36, 1],
    [3, 5],
  ] as const;
  const bodies: Readonly<Record<number, readonly number[]>> = {
    18: [
      ...int16(0),
      ...int32(apis.length),
      ...apis.flatMap(([key, highest]) => [...int16(key), ...int16(0), ...int16(highest)]),
      ...int32(0),
    ],
    17: [...int16(0), ...int32(1), ...text("PLAIN")],
    36: [...int16(58), ...text("wrong password"), ...int32(0), ...int32(0), ...int32(0)],
  };
  const received: Buffer[] = [];
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        received.push(Buffer.from(data));
        // kafkajs waits for each answer before the next request, so a request is a chunk.
        const body = bodies[data.readInt16BE(4)];
        if (body === undefined) return void socket.end();
        const answer = [...data.subarray(8, 12), ...body];
        socket.write(Buffer.from([...int32(answer.length), ...answer]));
      },
    },
  });
  return {
    port: server.port,
    received: () => Buffer.concat(received).toString("latin1"),
    stop: () => server.stop(true),
  };
}

test(
  "a broker password is in no log of a service whose password is refused",
  async () => {
    const password = crypto.randomUUID();
    const broker = refusingBroker();
    const lines: string[] = [];
    const child = Bun.spawn([process.execPath, join(ROOT, "services/order/main.ts")], {
      env: {
        PATH: process.env.PATH ?? "",
        DATA_DIR: folder,
        ORDER_PORT: "0",
        LOG_LEVEL: "trace",
        KAFKA_BROKERS: `127.0.0.1:${broker.port}`,
        KAFKA_SASL_MECHANISM: "plain",
        KAFKA_SASL_USERNAME: "order",
        KAFKA_SASL_PASSWORD: password,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    try {
      const add = (line: string) => void lines.push(line);
      const output = Promise.all([eachLine(child.stdout, add), eachLine(child.stderr, add)]);
      await eventually(
        () => lines.some((line) => line.includes("wrong password")),
        "the refusal to be logged",
      );
      child.kill("SIGTERM");
      await child.exited;
      await output;
      expect(broker.received()).toContain(password);
      expect(lines.filter((line) => line.includes(password))).toEqual([]);
      const encoded = Buffer.from(`\0order\0${password}`).toString("base64");
      expect(lines.filter((line) => line.includes(encoded))).toEqual([]);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
      broker.stop();
    }
  },
  LIMIT_MS,
);
