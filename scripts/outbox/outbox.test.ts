import { afterEach, beforeEach, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, letter, tokenOf } from "../../shared/service/testing/dead-letter-fixture.ts";
import { StoreSettings } from "../testing/store-process.ts";

/* The command on a service with parked outgoing messages. */

let fixture: DeadLetterFixture;
let store: StoreSettings;

beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  store = new StoreSettings({ ORDER_PORT: new URL(fixture.url).port });
  park("a", "1", "record");
  park("a", "2", "blocked");
  park("b", "3", "topic");
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
  store.remove();
});

/** As the relay does when the broker refuses a message. */
function park(name: string, text: string, reason: string): void {
  fixture.database.sql.run(
    `INSERT INTO parked_outgoing (topic, key, value, headers, created_at, reason, error, parked_at)
     VALUES ('letters', ?, ?, '{}', 0, ?, 'too \u001b large', 0)`,
    [name, Buffer.from(JSON.stringify(letter(name, text))), reason],
  );
}

const run = async (...args: string[]) =>
  store.run("outbox.ts", [...args, "--service", "order", "--token", await tokenOf("admin")]);

test("lists, shows, retries and drops parked messages", async () => {
  const listed = await run("list");
  expect(listed).toMatchObject({ stderr: "", exitCode: 0 });
  expect(listed.stdout).toMatch(/^order +1 .* record +letters +a +\d+ +too \ufffd large$/m);
  expect(JSON.parse((await run("list", "--after", "1", "--limit", "1", "--json")).stdout)).toMatchObject([
    { service: "order", id: 2, reason: "blocked", key: "a" },
  ]);
  expect((await run("show", "1")).stdout).toContain('"text":"1"');
  expect((await run("retry", "2")).stderr).toContain("2 is blocked by 1.");

  expect(await run("drop", "1")).toMatchObject({ exitCode: 1, stderr: "outbox: drop needs --reason TEXT\n" });
  expect((await run("drop", "1", "--reason", "a test")).stdout).toBe("1 is dropped\n");
  await eventually(() => fixture.parts.handled().length === 1);
  expect((await run("retry", "--topic", "letters")).stdout).toBe(
    "order: messages of 1 keys are sent again\n",
  );
  await eventually(() => fixture.parts.handled().length === 2);
  expect(fixture.parts.handled()).toEqual(["a:2", "b:3"]);
  expect((await run("list")).stdout).toBe("no message is parked\n");
  expect(fixture.running.messaging.outboxAdmin.actions(1)).toMatchObject([
    { action: "drop", actor: "alice", detail: "a test [letters key a]" },
  ]);
});

test("refuses what cannot be done, with exit code 1", async () => {
  expect(await run("show", "9")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("There is no parked outgoing record 9."),
  });
  expect((await run("retry")).stderr).toContain("retry needs an id, --topic or --all");
  expect((await run("jump", "1")).stderr).toContain("unknown command jump");
  const notAdmin = await fetch(`${fixture.url}/outbox/parked`);
  expect(notAdmin.status).toBe(401);
});
