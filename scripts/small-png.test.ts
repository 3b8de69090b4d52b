import { expect, test } from "bun:test";
import { deflateSync, inflateSync } from "node:zlib";
import { smallPng } from "./small-png.ts";

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const frame = Buffer.alloc(8 + body.byteLength);
  frame.writeUInt32BE(data.byteLength, 0);
  frame.set(body, 4);
  frame.writeUInt32BE(Bun.hash.crc32(body), 4 + body.byteLength);
  return frame;
}

/** A picture of 3 by 5 pixels, each row with another filter (PNG §9), and what its pixels are. */
function picture(channels: 3 | 4) {
  const [width, height] = [3, 5];
  const pixels = Array.from({ length: height * width }, (_, pixel) =>
    [pixel * 17, 255 - pixel * 9, (pixel * 40) % 256, 255].slice(0, channels),
  );
  const at = (x: number, y: number, channel: number) =>
    x < 0 || y < 0 ? 0 : (pixels[y * width + x]?.[channel] ?? 0);
  const rows: number[] = [];
  for (let filter = 0; filter < height; filter++) {
    rows.push(filter);
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++) {
        const [left, up, corner] = [
          at(x - 1, filter, channel),
          at(x, filter - 1, channel),
          at(x - 1, filter - 1, channel),
        ];
        const paeth = [left, up, corner].sort(
          (a, b) => Math.abs(left + up - corner - a) - Math.abs(left + up - corner - b),
        );
        const guesses = [0, left, up, (left + up) >> 1, paeth[0] ?? 0];
        rows.push((at(x, filter, channel) - (guesses[filter] ?? 0) + 256) % 256);
      }
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, channels === 4 ? 6 : 2], 8);
  const data = deflateSync(Buffer.from(rows));
  const png = Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", data.subarray(0, 5)),
    chunk("IDAT", data.subarray(5)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
  return { png, pixels: pixels.map((pixel) => pixel.slice(0, 3)) };
}

/** The pixels of a picture with a palette. */
function pixelsOf(png: Uint8Array): number[][] {
  const file = Buffer.from(png);
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < file.byteLength; ) {
    const length = file.readUInt32BE(at);
    chunks.set(file.toString("latin1", at + 4, at + 8), file.subarray(at + 8, at + 8 + length));
    const body = file.subarray(at + 4, at + 8 + length);
    expect(file.readUInt32BE(at + 8 + length)).toBe(Bun.hash.crc32(body));
    at += length + 12;
  }
  const width = chunks.get("IHDR")?.readUInt32BE(0) ?? 0;
  const palette = chunks.get("PLTE") ?? Buffer.alloc(0);
  const rows = inflateSync(chunks.get("IDAT") ?? Buffer.alloc(0));
  return [...rows]
    .filter((_, index) => index % (width + 1) !== 0)
    .map((index) => [...palette.subarray(index * 3, index * 3 + 3)]);
}

test.each([3, 4] as const)(
  "a picture of few colours stays as it is, however it was filtered (%d channels)",
  (channels) => {
    const { png, pixels } = picture(channels);
    expect(pixelsOf(smallPng(png))).toEqual(pixels);
  },
);

test("what is no screenshot is refused", () => {
  expect(() => smallPng(Buffer.from("GIF89a"))).toThrow("not a PNG");
  const interlaced = picture(3).png;
  interlaced[28] = 1;
  expect(() => smallPng(interlaced)).toThrow("not a screenshot's PNG");
});
