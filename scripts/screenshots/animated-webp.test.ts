import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { animatedWebp } from "./animated-webp.ts";
import { MAX_RECORDING_BYTES, RECORDING_FILE, RECORDING_SIZE } from "./recording.ts";

interface Chunk {
  readonly name: string;
  readonly payload: Buffer;
}

/** The chunks of a RIFF file (WebP container specification), each with its padding checked. */
function chunksOf(file: Uint8Array): Chunk[] {
  const bytes = Buffer.from(file);
  expect(bytes.toString("latin1", 0, 4)).toBe("RIFF");
  expect(bytes.readUInt32LE(4)).toBe(bytes.byteLength - 8);
  expect(bytes.toString("latin1", 8, 12)).toBe("WEBP");
  const chunks: Chunk[] = [];
  for (let at = 12; at < bytes.byteLength; ) {
    const length = bytes.readUInt32LE(at + 4);
    chunks.push({
      name: bytes.toString("latin1", at, at + 4),
      payload: bytes.subarray(at + 8, at + 8 + length),
    });
    at += 8 + length + (length % 2);
  }
  return chunks;
}

/** A file with one chunk, whose content nobody decodes here. */
function still(name: string, content: string): Uint8Array {
  const padded = content.length % 2 === 0 ? content : `${content}\0`;
  const file = Buffer.alloc(20 + padded.length);
  file.write("RIFF", 0);
  file.writeUInt32LE(file.byteLength - 8, 4);
  file.write(`WEBP${name}`, 8);
  file.writeUInt32LE(content.length, 16);
  file.write(padded, 20, "latin1");
  return file;
}

test("has the size, and each frame with its picture and its duration", () => {
  const frames = [
    { image: still("VP8 ", "odd"), durationMs: 125, part: { top: 0, height: 700 } },
    { image: still("VP8 ", "even"), durationMs: 70_000, part: { top: 96, height: 604 } },
  ];
  const [extended, animation, ...pictures] = chunksOf(animatedWebp({ width: 1120, height: 700 }, frames));
  expect(extended?.name).toBe("VP8X");
  expect([extended?.payload.readUIntLE(4, 3), extended?.payload.readUIntLE(7, 3)]).toEqual([1119, 699]);
  expect(animation?.name).toBe("ANIM");
  expect(pictures.map(({ name }) => name)).toEqual(["ANMF", "ANMF"]);
  const numbersAt = (offset: number) => pictures.map(({ payload }) => payload.readUIntLE(offset, 3));
  expect([numbersAt(0), numbersAt(3)]).toEqual([
    [0, 0],
    [0, 48],
  ]);
  expect([numbersAt(6), numbersAt(9)]).toEqual([
    [1119, 1119],
    [699, 603],
  ]);
  expect(numbersAt(12)).toEqual([125, 70_000]);
  expect(pictures.map(({ payload }) => payload.toString("latin1", 16, 20))).toEqual(["VP8 ", "VP8 "]);
  expect(pictures.map(({ payload }) => payload.toString("latin1", 24))).toEqual(["odd\0", "even"]);
});

test("refuses no frame, and an image that is not lossy WebP", () => {
  const size = { width: 2, height: 2 };
  expect(() => animatedWebp(size, [])).toThrow("an animation has frames");
  expect(() =>
    animatedWebp(size, [{ image: still("VP8L", "lossless"), durationMs: 1, part: { top: 0, height: 2 } }]),
  ).toThrow("not a lossy WebP image");
});

test("the picture of the README moves, and is small enough", () => {
  const file = readFileSync(join(ROOT, "docs/screenshots", RECORDING_FILE));
  expect(file.byteLength).toBeLessThan(MAX_RECORDING_BYTES);
  const [extended, , ...frames] = chunksOf(file);
  expect(extended?.payload.readUIntLE(4, 3)).toBe(RECORDING_SIZE.width - 1);
  expect(frames.length).toBeGreaterThan(5);
});
