import type { Prng } from "../simulation/prng.ts";
import {
  type CodecName,
  codecNumber,
  codecs,
  compress,
  type RawRecord,
  recordBatch,
  recordBytes,
  varint,
} from "./raw-producer.ts";

/* Records and batches as any client may write them. Nothing here is chosen by what the kit decodes. */

export interface Generated extends RawRecord {
  /** If it has the form of an event, or nearly: two texts, of which one change of the record leaves one as it is. */
  readonly event?: { readonly id: string; readonly text: string };
}

export interface GeneratedBatch {
  readonly bytes: Buffer;
  /** The number of offsets that it takes. */
  readonly count: number;
  /** Undefined if it is damaged: what it contains then is not known. */
  readonly records: readonly Generated[] | undefined;
}

export const EVENT_TYPE = "fuzz.letter.v1";
/** Of a message that the service knows and does not handle. */
export const IGNORED_TYPE = "fuzz.note.v1";
export const SOURCE = "fuzz";

const MAX_RECORDS = 30;
const names = [
  "",
  "a",
  "__proto__",
  "constructor",
  "toString",
  "content-type",
  "ce_id",
  "ce_specversion",
  "ce_type",
];
const texts = [
  "",
  "1.0",
  "application/json",
  "application/cloudevents+json",
  "[object Object]",
  "\u0000",
  "ключ",
];

export class Generator {
  readonly #random: Prng;

  constructor(random: Prng) {
    this.#random = random;
  }

  batch(): GeneratedBatch {
    const random = this.#random;
    const codec = random.pick(codecs);
    const count = random.between(1, random.chance(0.1) ? MAX_RECORDS * 4 : MAX_RECORDS);
    if (random.chance(0.12)) return { ...this.#damaged(codec, count), records: undefined };
    const records = Array.from({ length: count }, () => this.#record());
    const bytes = recordBatch(codecNumber(codec), count, compress(codec, recordBytes(records)));
    return { bytes, count, records };
  }

  #damaged(codec: CodecName, count: number): { bytes: Buffer; count: number } {
    const random = this.#random;
    const records = Array.from({ length: count }, () => this.#foreign());
    const plain = recordBytes(records);
    const packed = compress(codec, plain);
    const number = codecNumber(codec);
    const of = (payload: Buffer, claimed = count, label = number) => ({
      bytes: recordBatch(label, claimed, payload),
      count: claimed,
    });
    switch (random.between(0, 9)) {
      case 0:
        return of(this.#bytes(2_000));
      case 1:
        return of(packed.subarray(0, random.between(0, packed.length - 1)));
      case 2:
        return of(this.#flipped(packed));
      case 3:
        return of(compress(codec, this.#flipped(plain)));
      case 4:
        return of(packed, count + random.pick([1, 2, 1_000, 1_000_000]));
      case 5:
        return of(packed, random.between(1, count));
      case 6:
        return of(packed, count, random.between(0, 4));
      case 7:
        return of(compress(codec, Buffer.concat([plain, this.#bytes(50)])));
      case 8: {
        const deltas = records.map(() => random.between(0, count - 1));
        return of(compress(codec, recordBytes(records, deltas)));
      }
      default: {
        const size = random.pick([2 ** 31 - 1, -(2 ** 31), 2 ** 32, 2 ** 53, -2, 2n ** 63n - 1n]);
        const at = random.between(0, plain.length);
        return of(compress(codec, Buffer.concat([plain.subarray(0, at), varint(size), plain.subarray(at)])));
      }
    }
  }

  #record(): Generated {
    const share = this.#random.float();
    if (share < 0.2) return this.#event({});
    if (share < 0.23) return this.#event({ type: IGNORED_TYPE });
    return share < 0.45 ? this.#nearlyEvent() : this.#foreign();
  }

  /** Without any form. */
  #foreign(): Generated {
    const random = this.#random;
    const form = random.between(0, 4);
    const value =
      form === 0
        ? null
        : form < 3
          ? this.#bytes(random.chance(0.01) ? 20_000 : 200)
          : Buffer.from(JSON.stringify(this.#json(0)));
    return { key: this.#key(), value, headers: this.#headers() };
  }

  /** A valid message of the service, with the attributes given replaced. */
  #event(changes: Readonly<Record<string, unknown>>): Generated {
    const { id, text, name, attributes } = this.#attributes();
    const value = Buffer.from(JSON.stringify({ ...attributes, ...changes }));
    return { key: Buffer.from(name), value, headers: [], event: { id, text } };
  }

  #attributes() {
    const random = this.#random;
    const hex = () => random.bits().toString(16).padStart(8, "0");
    const [first, second, third, last] = [hex(), hex(), hex(), hex()];
    const id = `${first}-${second.slice(0, 4)}-${second.slice(4)}-${third.slice(0, 4)}-${third.slice(4)}${last}`;
    const [text, name] = [`text ${hex()}${hex()}`, `foreign ${hex()}${hex()}`];
    const time = new Date().toISOString();
    const attributes: Record<string, unknown> = {
      ...{ specversion: "1.0", id, source: SOURCE, type: EVENT_TYPE, subject: name, time },
      ...{ datacontenttype: "application/json", correlationid: id, causationid: id, data: { name, text } },
    };
    return { id, text, name, attributes };
  }

  /** A message with one fault, which may leave it valid. */
  #nearlyEvent(): Generated {
    const random = this.#random;
    const { id, text, name, attributes } = this.#attributes();
    const event = { id, text };
    const key = Buffer.from(name);
    const attribute = random.pick(Object.keys(attributes).filter((one) => one !== "id" && one !== "data"));
    const json = (changed: unknown) => Buffer.from(JSON.stringify(changed));
    switch (random.between(0, 6)) {
      case 0: {
        const { [attribute]: _, ...rest } = attributes;
        return { key, value: json(rest), headers: this.#headers(), event };
      }
      case 1:
        return { key, value: json({ ...attributes, [attribute]: this.#json(0) }), headers: [], event };
      case 2:
        return { key, value: this.#flipped(json(attributes)), headers: this.#headers(), event };
      case 3:
        return { key: this.#key(), value: json(attributes), headers: this.#headers(), event };
      case 4: {
        const whole = json(attributes);
        const value = whole.subarray(0, random.between(0, whole.length));
        return { key, value, headers: this.#headers(), event };
      }
      case 5:
        return { key, value: json({ ...attributes, data: this.#json(0) }), headers: [], event };
      default: {
        const { data, ...rest } = attributes;
        const headers = Object.entries(rest).map(
          ([header, content]) => [Buffer.from(`ce_${header}`), Buffer.from(String(content))] as const,
        );
        return { key, value: json(data), headers: [...headers, ...this.#headers()], event };
      }
    }
  }

  #key(): Buffer | null {
    const random = this.#random;
    if (random.chance(0.2)) return null;
    return random.chance(0.05) ? Buffer.alloc(0) : this.#bytes(40);
  }

  #headers(): [Buffer, Buffer | null][] {
    const random = this.#random;
    const headers: [Buffer, Buffer | null][] = [];
    const count = random.chance(0.5) ? 0 : random.between(1, random.chance(0.02) ? 300 : 4);
    for (let index = 0; index < count; index++) {
      const before = random.chance(0.2) ? headers[0]?.[0] : undefined;
      const name = before ?? (random.chance(0.5) ? Buffer.from(random.pick(names)) : this.#bytes(20));
      const content = random.chance(0.5) ? Buffer.from(random.pick(texts)) : this.#bytes(60);
      headers.push([name, random.chance(0.2) ? null : content]);
    }
    return headers;
  }

  #json(depth: number): unknown {
    const random = this.#random;
    const form = random.between(0, depth > 3 ? 4 : 6);
    if (form === 0) return null;
    if (form === 1) return random.chance(0.5);
    if (form === 2) return random.pick([0, -1, 1e308, 0.1, 2 ** 53, random.bits()]);
    if (form === 3) return random.pick(texts);
    if (form === 4) return this.#bytes(30).toString("latin1");
    const items = Array.from({ length: random.between(0, 4) }, () => this.#json(depth + 1));
    if (form === 5) return items;
    return Object.fromEntries(items.map((item) => [random.pick(names), item]));
  }

  /** Up to so many bytes: any, or printable ones. */
  #bytes(most: number): Buffer {
    const random = this.#random;
    const bytes = Buffer.alloc(random.between(0, most));
    const isText = random.chance(0.3);
    for (let at = 0; at < bytes.length; at++) bytes[at] = isText ? random.between(32, 126) : random.bits();
    return bytes;
  }

  #flipped(bytes: Buffer): Buffer {
    const random = this.#random;
    const changed = Buffer.from(bytes);
    const at = random.between(0, Math.max(0, bytes.length - 1));
    changed[at] = (changed[at] ?? 0) ^ random.between(1, 255);
    return changed;
  }
}
