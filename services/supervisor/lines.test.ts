import { expect, test } from "bun:test";
import { eachLine } from "./lines.ts";

async function linesOf(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
  const lines: string[] = [];
  const encoder = new TextEncoder();
  const bytes = chunks.map((chunk) => (typeof chunk === "string" ? encoder.encode(chunk) : chunk));
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of bytes) controller.enqueue(chunk);
      controller.close();
    },
  });
  await eachLine(stream, (line) => lines.push(line));
  return lines;
}

test("joins what arrives in pieces, and ends with the last line even if it lacks its end", async () => {
  expect(await linesOf(["one\ntw", "o\r\n", "\n", "three"])).toEqual(["one", "two", "", "three"]);
});

test("keeps a character together whose bytes arrive apart", async () => {
  expect(await linesOf([Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xac, 0x0a)])).toEqual(["€"]);
});

test("cuts a line without end into pieces", async () => {
  const lines = await linesOf(["x".repeat(100_000), "y".repeat(100_000)]);
  expect(lines.length).toBeGreaterThan(1);
  expect(lines.join("")).toBe("x".repeat(100_000) + "y".repeat(100_000));
});
