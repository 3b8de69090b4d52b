import { afterEach, beforeEach, expect, test } from "bun:test";
import { slowTest } from "@distributed-messaging/e2e/support/slow-test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, tokenOf } from "../../shared/service/testing/dead-letter-fixture.ts";
import { StoreSettings } from "../testing/store-process.ts";

/* The command on a service that has two dead effects. */

let fixture: DeadLetterFixture;
let store: StoreSettings;

beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  const { messaging, parts } = fixture.running;
  await messaging.unitOfWork.run((transaction) => {
    for (const name of ["a", "b"]) transaction.enqueue(parts.Call, { name });
  });
  await eventually(() => messaging.effects.counts().dead === 2);
  store = new StoreSettings({ ORDER_PORT: new URL(fixture.url).port });
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
  store.remove();
});

const run = async (...args: string[]) =>
  store.run("effects.ts", [...args, "--service", "order", "--token", await tokenOf("admin")]);

slowTest("lists, shows, retries and discards dead effects", async () => {
  const listed = await run("list");
  expect(listed).toMatchObject({ stderr: "", exitCode: 0 });
  expect(listed.stdout).toMatch(/\norder +1 +call +\S+Z +1 +0 +no call\norder +2 +call /);
  expect((await run("show", "1")).stdout).toContain("error: no call\n");
  expect((await run("show", "1")).stdout).toEndWith('{\n  "name": "a"\n}\n');
  expect((await run("discard", "1")).stderr).toStartWith("effects: discard needs --reason TEXT (for help");
  expect((await run("discard", "1", "--reason", "paid by hand")).stdout).toBe("1 is discarded\n");
  fixture.parts.refused.clear();
  expect((await run("retry", "--all")).stdout).toBe("order: 1 effects are tried again\n");
  await eventually(() => fixture.parts.handled().length === 1);
  expect(fixture.parts.handled()).toEqual(["b:called"]);
  expect((await run("list")).stdout).toBe("no effect is dead\n");
});

test("refuses what cannot be done, with exit code 1", async () => {
  expect(await run("retry", "99")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("There is no dead effect 99."),
  });
  expect((await run("retry")).stderr).toContain("retry needs an id, --name or --all");
  expect((await run("show", "1", "2")).stderr).toStartWith("effects: unexpected argument '2' (for help");
  expect((await run("jump", "1")).stderr).toContain("unknown command jump");
});
