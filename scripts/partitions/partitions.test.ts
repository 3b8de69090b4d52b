import { afterEach, beforeEach, expect, test } from "bun:test";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, letters, tokenOf } from "../../shared/service/testing/dead-letter-fixture.ts";
import { StoreSettings } from "../testing/store-process.ts";

/* The command on a service one of whose partitions is stopped. */

let fixture: DeadLetterFixture;
let store: StoreSettings;

beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  fixture.broker.partition(letters.name, 1).appendUndecodable(Buffer.from("?"), 1, "unknown codec");
  await fixture.broker.publish([]);
  await eventually(() => fixture.running.messaging.partitionStops.list().length === 1);
  store = new StoreSettings({ ORDER_PORT: new URL(fixture.url).port });
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
  store.remove();
});

const run = async (...args: string[]) =>
  store.run("partitions.ts", [...args, "--service", "order", "--token", await tokenOf("admin")]);

slowTest("lists, shows and skips a stopped partition", async () => {
  const listed = await run("list");
  expect(listed).toMatchObject({ stderr: "", exitCode: 0 });
  expect(listed.stdout).toMatch(/order +letters\/1 +0 +undecodable-batch .*unknown codec/);
  expect((await run("show", "letters/1")).stdout).toContain(
    "after a skip it goes on at offset 1\nbytes: Pw==",
  );
  expect((await run("skip", "letters/1")).stderr).toStartWith(
    "partitions: skip needs --reason TEXT (for help",
  );
  expect(await run("skip", "letters/1", "--reason", "sent by mistake", "--offset", "3")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("letters/1 is stopped at offset 0, not 3"),
  });
  const skipped = await run("skip", "letters/1", "--reason", "sent by mistake", "--offset", "0");
  expect(skipped).toMatchObject({ stdout: "letters/1 of order goes on\n", exitCode: 0 });
  expect((await run("list")).stdout).toBe("no partition is stopped\n");
  expect((await run("show", "letters/1")).stdout).toContain(
    "alice  skip at offset 0 (undecodable-batch)  sent by mistake",
  );
});

test("refuses what cannot be done, with exit code 1", async () => {
  expect(await run("skip", "letters/2", "--reason", "?")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("Partition letters/2 is not stopped."),
  });
  expect((await run("skip", "letters", "--reason", "?")).stderr).toContain("skip needs TOPIC/PARTITION");
  expect((await run("jump", "letters/1")).stderr).toContain("unknown command jump");
});
