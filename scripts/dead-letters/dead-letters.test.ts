import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deadLetterReasons } from "@distributed-messaging/messaging";
import { eventually } from "@distributed-messaging/messaging/testing";
import { serviceNames } from "@distributed-messaging/services/registry";
import { DeadLetterFixture, letter, tokenOf } from "../../shared/service/testing/dead-letter-fixture.ts";
import { UsageError } from "../command/command.ts";
import { StoreSettings } from "../testing/store-process.ts";
import { readArguments } from "./args.ts";

/* The command on a service's real dead letters, and a gateway with nothing but the demo sign-in. */

let fixture: DeadLetterFixture;
let store: StoreSettings;
let gateway: Bun.Server<undefined>;
let folder: string;

beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
  folder = mkdtempSync(join(tmpdir(), "dead-letters-"));
  gateway = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/sessions": {
        POST: async (request) => {
          const { customerId, role } = (await request.json()) as { customerId: string; role: "admin" };
          return Response.json({ token: await tokenOf(role, customerId) }, { status: 201 });
        },
      },
    },
    fetch: () => new Response("", { status: 404 }),
  });
  store = new StoreSettings({
    API_GATEWAY_PORT: String(gateway.port),
    ORDER_PORT: new URL(fixture.url).port,
  });
});
afterEach(async () => {
  await gateway.stop(true);
  await fixture[Symbol.asyncDispose]();
  store.remove();
  rmSync(folder, { recursive: true });
});

const run = (...args: string[]) => store.run("dead-letters.ts", args);
const atOrder = (...args: string[]) => run(...args, "--service", "order");
const idOf = (ids: readonly number[]) => String(ids[0]);

describe("list", () => {
  test("prints one line for each dead letter, oldest first, without control characters", async () => {
    const ids = await fixture.park(letter("a", "poison"), letter("a", "1"));
    await fixture.broker.publish([
      { topic: "letters", key: "\u001b[2Jx\u202e", value: "rubbish\u001b", headers: {} },
    ]);
    await eventually(() => fixture.running.messaging.deadLetters.count() === 3);
    const { stdout, stderr, exitCode } = await atOrder("list");
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    const [header = "", first = "", second = "", third = "", ...rest] = stdout.trimEnd().split("\n");
    expect(header).toMatch(/^SERVICE +ID +AGE +REASON +TOPIC +KEY +TRIES +ERROR$/);
    expect(first).toMatch(new RegExp(`^order +${ids[0]} +\\d+s +domain +letters +a +1 +no poison$`));
    expect(second).toContain("blocked");
    expect(third).toContain("\\u001b[2Jx\\u202e");
    expect([stdout.includes("\u001b"), stdout.includes("\u202e"), rest]).toEqual([false, false, []]);
  });

  test("applies filters, and prints JSON with --json", async () => {
    const ids = await fixture.park(letter("a", "poison"), letter("a", "1"), letter("b", "poison"));
    const found = JSON.parse((await atOrder("list", "--key", "a", "--reason", "domain", "--json")).stdout);
    expect(found).toMatchObject([{ service: "order", id: ids[0], key: "a" }]);
    expect((await atOrder("list", "--older-than", "1h")).stdout).toBe("no dead letters\n");
    expect((await atOrder("list", "--limit", "1")).stdout.trimEnd().split("\n")).toHaveLength(2);
  });

  test("prints the stopped partitions as well, with the command that shows one", async () => {
    fixture.broker.partition("letters", 1).appendUndecodable(Buffer.from("?"), 1, "unknown codec");
    await fixture.broker.publish([]);
    await eventually(() => fixture.running.messaging.partitionStops.list().length === 1);
    const line =
      /^order: partition letters\/1 is stopped at 0 since \S+Z: undecodable-batch; (bun run partitions show letters\/1 --service order)$/m;
    const listed = await atOrder("list");
    expect(listed).toMatchObject({ exitCode: 0, stderr: "" });
    expect(listed.stdout).toMatch(new RegExp(`^no dead letters\n${line.source.slice(1)}`, "m"));
    const [, command = ""] = line.exec(listed.stdout) ?? [];
    const shown = await store.run("partitions.ts", command.split(" ").slice(3));
    expect(shown.stdout).toContain("letters/1 is stopped at offset 0");
    const json = await atOrder("list", "--json");
    expect([JSON.parse(json.stdout), json.stderr]).toEqual([[], expect.stringMatching(line)]);
    expect((await atOrder("list", "--topic", "others")).stdout).toBe("no dead letters\n");
  });

  test("queries every service, and reports those that do not answer", async () => {
    await fixture.park(letter("a", "poison"));
    const { stdout, stderr, exitCode } = await run("list");
    expect(stdout).toContain("no poison");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^dead-letters: inventory: no answer from http\S+; is the store running/m);
    expect(stderr).not.toContain("order:");
  });
});

test("show prints a dead letter in full, with --raw only its message", async () => {
  const envelope = letter("a", "poison");
  const id = idOf(await fixture.park(envelope, letter("a", "1")));
  const { stdout } = await atOrder("show", id);
  for (const part of ["no poison", '"text": "poison"', "2 parked messages, itself included", "DomainError"]) {
    expect(stdout).toContain(part);
  }
  expect((await atOrder("show", id, "--raw")).stdout).toBe(JSON.stringify(envelope));
  expect(JSON.parse((await atOrder("show", id, "--json")).stdout)).toMatchObject({ lineLength: 2 });
});

test("edit, dry run, replay: the edited message is handled, then those that it blocked", async () => {
  const envelope = letter("a", "poison");
  const id = idOf(await fixture.park(envelope, letter("a", "1")));
  const file = join(folder, "message.json");
  writeFileSync(file, JSON.stringify({ ...envelope, data: { name: "a", text: 7 } }));
  expect(await atOrder("edit", id, "--file", file)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/^dead-letters: \S+ answered 422: \/text: .*\n$/),
  });
  writeFileSync(file, JSON.stringify({ ...envelope, data: { name: "a", text: "edited" } }));
  expect((await atOrder("edit", id, "--file", file)).stdout).toContain("is edited");
  expect((await atOrder("replay", id, "--dry-run")).stdout).toContain("1 would-replay");
  expect(fixture.parts.handled()).toEqual([]);
  expect(await atOrder("replay", id)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("1 handled"),
  });
  await eventually(() => fixture.parts.handled().length === 2);
  expect(fixture.parts.handled()).toEqual(["a:edited", "a:1"]);
  expect(fixture.database.sql.query("SELECT DISTINCT actor FROM dead_letter_actions").values()).toEqual([
    ["operator"],
  ]);
});

test("replay with a filter reports how many are left; a replay that fails is exit code 1", async () => {
  await fixture.park(...["a", "b", "c"].map((name) => letter(name, "poison")));
  const failing = await atOrder("replay", "--error", "poison", "--limit", "2");
  expect(failing).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining("2 failed; 1 more match: run the command again"),
  });
  fixture.parts.refused.clear();
  expect((await atOrder("replay", "--all", "--json")).exitCode).toBe(0);
  expect(fixture.parts.handled()).toHaveLength(3);
  expect((await atOrder("replay", "--all")).stdout).toBe("nothing to replay\n");
});

test("discard needs a reason", async () => {
  const id = idOf(await fixture.park(letter("a", "poison")));
  expect((await atOrder("discard", id)).stderr).toStartWith(
    "dead-letters: discard needs --reason TEXT (for help",
  );
  expect((await atOrder("discard", id, "--reason", "a mistake")).stdout).toBe(`${id} is discarded\n`);
  expect((await atOrder("discard", id, "--reason", "again")).stderr).toContain(
    `answered 404: There is no dead letter ${id}.`,
  );
});

test("--token or TOKEN give the token; a customer's is refused", async () => {
  const token = await tokenOf("customer");
  const refused = expect.stringContaining("answered 403: Only an admin may do this.");
  expect(await atOrder("list", "--token", token)).toMatchObject({ exitCode: 1, stderr: refused });
  const args = ["list", "--service", "order"];
  expect(await store.run("dead-letters.ts", args, { TOKEN: token })).toMatchObject({ stderr: refused });
});

test.each([
  [["--nope"], "Unknown option '--nope'"],
  [["find"], "unknown command find; the commands are list, show, edit, replay and discard"],
  [["show", "1"], `--service is missing; expected ${serviceNames.join(", ")}`],
  [["show", "1", "--service", "all"], "a command with an id needs one service: --service"],
  [["show", "x", "--service", "order"], "an id must be a whole number, got 'x'"],
  [["show", "1", "2", "--service", "order"], "unexpected argument '2'"],
  [["list", "--service", "orders"], `unknown service orders; expected ${serviceNames.join(", ")} or all`],
  [["list", "--reason", "bad"], `unknown reason bad; the reasons are ${deadLetterReasons.join(", ")}`],
  [["replay", "--service", "order"], "replay needs ids, filters or --all"],
  [["replay", "1", "--key", "a", "--service", "order"], "replay takes ids or filters, not both"],
  [["edit", "1", "--service", "order"], "edit needs --file FILE"],
])("%p is refused in one line", (args, line) => {
  expect(() => readArguments(args)).toThrow(new UsageError(line));
});

test("an error is one line on standard error", async () => {
  expect(await run("find")).toEqual({
    exitCode: 2,
    stdout: "",
    stderr:
      "dead-letters: unknown command find; the commands are list, show, edit, replay and discard " +
      "(for help: bun run dead-letters --help)\n",
  });
  expect((await atOrder("edit", "1", "--file", "/no/such/file")).stderr).toBe(
    "dead-letters: cannot read /no/such/file\n",
  );
});
