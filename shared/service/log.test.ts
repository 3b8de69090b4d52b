import { describe, expect, test } from "bun:test";
import { logLevelOf } from "./log.ts";
import { captureLogger } from "./testing/http.ts";

describe("a logger", () => {
  test("writes one JSON object a line", () => {
    const { log, lines } = captureLogger("order");
    log.info({ port: 1 }, "ready");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toEndWith("}\n");
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      app: "order",
      port: 1,
      msg: "ready",
    });
  });

  test("redacts tokens and passwords at any depth", () => {
    const { log, lines } = captureLogger();
    log.info({
      token: "hunter2",
      headers: { authorization: "Bearer hunter2" },
      config: { kafka: { password: "hunter2" } },
    });
    expect(lines.join("")).not.toContain("hunter2");
    expect(lines.join("")).toContain("[redacted]");
  });

  test("logs type, message, code, stack and cause of an error, and no other property", () => {
    const { log, lines } = captureLogger();
    const cause = new Error("disk is full");
    const error = Object.assign(new Error("cannot save", { cause }), { code: "E1", params: ["hunter2"] });
    log.error({ err: error }, "failed");
    const { err } = JSON.parse(lines[0] ?? "");
    expect(err).toMatchObject({
      type: "Error",
      message: "cannot save",
      code: "E1",
      cause: { message: "disk is full" },
    });
    expect(err.stack).toContain("log.test.ts");
    expect(lines.join("")).not.toContain("hunter2");
  });

  test("logs the stack of an error at debug only: a line says the cause in words", () => {
    const { log, lines } = captureLogger("order", "info");
    log.error({ err: new Error("cannot save", { cause: new Error("disk is full") }) }, "failed");
    expect(JSON.parse(lines[0] ?? "").err).toEqual({
      type: "Error",
      message: "cannot save",
      cause: { type: "Error", message: "disk is full" },
    });
  });

  test("accepts an error that is its own cause, and a thrown string", () => {
    const { log, lines } = captureLogger();
    const error = new Error("loop");
    error.cause = error;
    log.error({ err: error });
    log.error({ err: "text" });
    expect(lines).toHaveLength(2);
  });

  test("writes what could hide or reorder a line as JSON escapes, which mean the same", () => {
    const { log, lines } = captureLogger();
    const key = "gpj.\u202eexe\u009b\u2028";
    log.warn({ key }, `parked ${key}`);
    expect(lines.join("")).toContain("parked gpj.\\u202eexe\\u009b\\u2028");
    expect(lines.join("")).not.toMatch(/[\u202e\u009b\u2028]/);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ key, msg: `parked ${key}` });
  });

  test("writes nothing below its level", () => {
    const { log, lines } = captureLogger("order", "warn");
    log.info("no");
    log.warn("yes");
    expect(lines).toHaveLength(1);
    expect(logLevelOf("debug")).toBe("debug");
    expect(logLevelOf("loud")).toBe("info");
    expect(logLevelOf(undefined)).toBe("info");
  });
});
