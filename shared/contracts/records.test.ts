import { expect, test } from "bun:test";
import { join } from "node:path";
import { contractProblems, readRecords } from "@distributed-messaging/messaging/records";
import { allMessages } from "./messages.ts";

test("every contract of the store is as it was recorded", () => {
  const location = { folder: "shared/contracts/schemas", command: "bun run record-contracts" };
  const recorded = readRecords(join(import.meta.dir, "schemas"));
  expect(contractProblems(allMessages, recorded, location)).toEqual([]);
});
