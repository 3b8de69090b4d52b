import { expect, test } from "bun:test";
import { freePorts, whyUnusable } from "./ports.ts";

test("free ports are different and usable", () => {
  const ports = freePorts(5);
  expect(new Set(ports).size).toBe(5);
  expect(ports.map((port) => whyUnusable("127.0.0.1", port))).toEqual(Array(5).fill(undefined));
});

test("a port in use", () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  expect(whyUnusable("127.0.0.1", listener.port)).toBe("is used by another program");
  listener.stop(true);
  expect(whyUnusable("127.0.0.1", listener.port)).toBeUndefined();
});

test("a host that is no address of this machine", () => {
  expect(whyUnusable("192.0.2.1", 20_000)).toContain("cannot be opened on 192.0.2.1");
});
