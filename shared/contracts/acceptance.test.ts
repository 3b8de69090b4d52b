import { describe, expect, test } from "bun:test";
import { byType, decode } from "@distributed-messaging/messaging";
import { allMessages } from "./messages.ts";
import { allTopics } from "./topics.ts";

const known = byType(allMessages);
const services = [...new Set(allMessages.map(({ source }) => source))];

/** Without data: what is refused for its data only has the right topic, source and key. */
function outcomeOf(type: string, where: { topic: string; source: string; key?: string | null }): string {
  const id = "01890a5d-ac96-774b-bcce-b302099a8057";
  const envelope = {
    ...{ specversion: "1.0", id, source: where.source, type, subject: "KEY", time: "2026-01-01T00:00:00Z" },
    ...{ datacontenttype: "application/json", correlationid: id, causationid: id, data: {} },
  };
  const { topic, key = "KEY" } = where;
  const decoded = decode(known, { topic, key, value: Buffer.from(JSON.stringify(envelope)), headers: {} });
  return decoded.status === "rejected" ? decoded.reason : decoded.status;
}

describe.each(allMessages.map(({ type, topic, source }) => ({ type, topic: topic.name, source })))(
  "$type",
  ({ type, topic, source }) => {
    test("is accepted on its topic, from its service and from an instance of it", () => {
      expect(outcomeOf(type, { topic, source })).toBe("schema");
      expect(outcomeOf(type, { topic, source: `${source}/2` })).toBe("schema");
    });

    test("is refused on every other topic", () => {
      const others = [...allTopics.map(({ name }) => name), `${source}.dead-letters`].filter(
        (name) => name !== topic,
      );
      expect(others.length).toBeGreaterThanOrEqual(6);
      for (const other of others) expect(outcomeOf(type, { topic: other, source })).toBe("wrong-topic");
    });

    test("is refused from every other source", () => {
      const others = [
        ...services.filter((other) => other !== source),
        `${source}2`,
        `x/${source}`,
        "mallory",
      ];
      for (const other of others) expect(outcomeOf(type, { topic, source: other })).toBe("wrong-source");
    });

    test("is refused under another key", () => {
      for (const key of ["OTHER", "key", "", null]) {
        expect(outcomeOf(type, { topic, source, key })).toBe("wrong-key");
      }
    });
  },
);
