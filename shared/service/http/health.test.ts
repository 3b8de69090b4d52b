import { describe, expect, test } from "bun:test";
import { serveForTest } from "../testing/http.ts";
import type { HealthCheck } from "./health.ts";

const problem = { detail: "It is broken.", remedy: "Mend it." };
const up = (name: string, required = true): HealthCheck => ({ name, required, problems: () => [] });
const down = (name: string, required = true): HealthCheck => ({
  name,
  required,
  problems: async () => [problem],
});

describe("health", () => {
  test("GET /liveness is 200 whatever the checks say", async () => {
    await using server = await serveForTest(() => {}, { app: "order", checks: [down("database")] });
    const response = await fetch(`${server.url}/liveness`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ app: "order", status: "UP" });
  });

  test("GET /readiness is 200 when every check passes", async () => {
    await using server = await serveForTest(() => {}, {
      app: "order",
      checks: [up("database"), up("broker")],
    });
    const response = await fetch(`${server.url}/readiness`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      app: "order",
      ready: true,
      checks: { database: "UP", broker: "UP" },
      problems: [],
    });
  });

  test("GET /readiness is 503 when a required check fails", async () => {
    await using server = await serveForTest(() => {}, {
      app: "order",
      checks: [up("database"), down("broker")],
    });
    const response = await fetch(`${server.url}/readiness`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      app: "order",
      ready: false,
      checks: { database: "UP", broker: "DOWN" },
      problems: [{ check: "broker", ...problem }],
    });
  });

  test("a check that is not required is shown only", async () => {
    await using server = await serveForTest(() => {}, { checks: [up("database"), down("broker", false)] });
    const response = await fetch(`${server.url}/readiness`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      ready: true,
      checks: { broker: "DOWN" },
      problems: [{ check: "broker", ...problem }],
    });
  });

  test("a check that throws, rejects or does not return in time is down", async () => {
    const throws: HealthCheck = {
      name: "throws",
      required: true,
      problems() {
        throw new Error("no");
      },
    };
    const rejects: HealthCheck = {
      name: "rejects",
      required: true,
      problems: () => Promise.reject(new Error("no")),
    };
    const hangs: HealthCheck = { name: "hangs", required: true, problems: () => new Promise(() => {}) };
    await using server = await serveForTest(() => {}, { checks: [throws, rejects, hangs] });
    const response = await fetch(`${server.url}/readiness`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      app: "test",
      ready: false,
      checks: { throws: "DOWN", rejects: "DOWN", hangs: "DOWN" },
      problems: [
        {
          check: "throws",
          detail: "The check throws failed: no.",
          remedy: "Look at the log of the service.",
        },
        {
          check: "rejects",
          detail: "The check rejects failed: no.",
          remedy: "Look at the log of the service.",
        },
        {
          check: "hangs",
          detail: "The check hangs gave no result within a second.",
          remedy: "Look at the log of the service.",
        },
      ],
    });
  });
});
