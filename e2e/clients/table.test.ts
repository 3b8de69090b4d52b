import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "@distributed-messaging/supervisor/store";
import { matrixClients } from "./clients.ts";
import { rowsInReadme } from "./table.ts";

/** Where the version of a client is pinned, and the text before it. kcat is the machine's. */
const pins: Readonly<Record<string, readonly [file: string, before: string]>> = {
  "franz-go": ["e2e/clients/franz-go/go.mod", "github.com/twmb/franz-go v"],
  kafkajs: ["e2e/package.json", '"kafkajs": "'],
  platformatic: ["e2e/package.json", '"@platformatic/kafka": "'],
  java: ["redpanda/apache-kafka/pom.xml", "<artifactId>kafka_2.13</artifactId>\n      <version>"],
  "confluent-kafka": ["e2e/clients/python/requirements.txt", "confluent-kafka=="],
  aiokafka: ["e2e/clients/python/requirements.txt", "aiokafka=="],
  "kafka-python": ["e2e/clients/python/requirements.txt", "kafka-python=="],
};

test("the README of the embedded broker has a row for each client of the matrix, with the version that is pinned", () => {
  const rows = rowsInReadme();
  expect(rows.map(([title]) => title)).toEqual(matrixClients.map(({ title }) => title));
  for (const { name, title } of matrixClients) {
    const [file, before] = pins[name] ?? [];
    if (file === undefined || before === undefined) {
      expect(name).toBe("kcat");
      continue;
    }
    const [, after = ""] = readFileSync(join(ROOT, file), "utf8").split(before);
    const [, version] = rows.find(([found]) => found === title) ?? [];
    expect([title, version]).toEqual([title, /^[\d.]+/.exec(after)?.[0]]);
  }
});
