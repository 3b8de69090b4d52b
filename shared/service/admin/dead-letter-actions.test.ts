import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterBench, letter } from "./dead-letter-fixture.ts";

let bench: DeadLetterBench;
beforeEach(async () => {
  bench = await DeadLetterBench.open();
});
afterEach(() => bench.close());

describe("PUT /dead-letters/:id/message", () => {
  test("keeps the mended message beside the one that came, and who mended it", async () => {
    const envelope = letter("a", "poison");
    const [id] = await bench.park(envelope);
    const mended = { ...envelope, data: { name: "a", text: "mended" } };
    expect(await bench.ask("PUT", `/${id}/message`, mended)).toMatchObject({
      status: 200,
      body: {
        edited: { text: JSON.stringify(mended) },
        raw: { text: JSON.stringify(envelope) },
        decoded: { message: { data: { text: "mended" } } },
        actions: [{ action: "edit", actor: "alice" }],
      },
    });
    expect((await bench.ask("POST", `/${id}/replay`)).body).toEqual({ id, outcome: "handled" });
    expect(bench.service.applied()).toEqual(["a:mended"]);
  });

  test("refuses what is no valid message of its key, with the reason", async () => {
    const envelope = letter("a", "poison");
    const [id] = await bench.park(envelope);
    const refusals = [
      [{ ...envelope, data: { name: "a", text: 7 } }, "/text"],
      [letter("b", "x"), "Its subject must stay a."],
      [{ hello: 1 }, "Not a CloudEvent"],
    ] as const;
    for (const [body, reason] of refusals) {
      expect(await bench.ask("PUT", `/${id}/message`, body)).toMatchObject({
        status: 422,
        body: { type: "urn:problem-type:edit-invalid", detail: expect.stringContaining(reason) },
      });
    }
    expect((await bench.ask("PUT", `/${id}/message`)).status).toBe(422);
    expect((await bench.ask("PUT", "/999/message", envelope)).status).toBe(404);
    expect((await bench.ask("GET", `/${id}`)).body).toMatchObject({ edited: null, actions: [] });
  });
});

describe("POST /dead-letters/:id/replay", () => {
  test("handles it, and those behind it follow in order", async () => {
    const [id] = await bench.park(letter("a", "poison"), letter("a", "1"), letter("a", "2"));
    bench.refused.clear();
    expect(await bench.ask("POST", `/${id}/replay`)).toEqual({
      status: 200,
      body: { id, outcome: "handled" },
    });
    await eventually(() => bench.service.applied().length === 3);
    expect(bench.service.applied()).toEqual(["a:poison", "a:1", "a:2"]);
  });

  test("says that it failed again, and why", async () => {
    const [id] = await bench.park(letter("a", "poison"));
    expect(await bench.ask("POST", `/${id}/replay`)).toEqual({
      status: 200,
      body: { id, outcome: "failed", detail: "no poison" },
    });
    expect((await bench.ask("GET", `/${id}`)).body).toMatchObject({
      attempts: 2,
      replays: 1,
      actions: [{ action: "replay", actor: "alice", detail: "failed: no poison" }],
    });
  });

  test("changes nothing in a dry run, and nothing where the body is not understood", async () => {
    const [id] = await bench.park(letter("a", "poison"));
    bench.refused.clear();
    expect((await bench.ask("POST", `/${id}/replay`, { dryRun: true })).body).toEqual({
      id,
      outcome: "would-replay",
      detail: "test.letter.v1, blocks 0 messages",
    });
    expect((await bench.ask("POST", `/${id}/replay`, { dryrun: true })).status).toBe(422);
    expect(bench.service.applied()).toEqual([]);
    expect((await bench.ask("POST", `/${id}/replay`, {})).body).toEqual({ id, outcome: "handled" });
  });

  test("refuses one that waits behind another, one replayed too often and one that is not there", async () => {
    const [head = 0, second] = await bench.park(letter("a", "poison"), letter("a", "1"));
    expect(await bench.ask("POST", `/${second}/replay`)).toMatchObject({
      status: 409,
      body: { type: "urn:problem-type:blocked" },
    });
    bench.service.database.sql.run("UPDATE dead_letters SET replays = 10 WHERE id = ?", [head]);
    expect(await bench.ask("POST", `/${head}/replay`)).toMatchObject({
      status: 409,
      body: { type: "urn:problem-type:replayed-too-often" },
    });
    expect((await bench.ask("POST", "/999/replay")).status).toBe(404);
  });
});

describe("POST /dead-letters/replay", () => {
  test("replays those named, one result each", async () => {
    const [a, b] = await bench.park(letter("a", "poison"), letter("b", "poison"));
    bench.refused.clear();
    expect((await bench.ask("POST", "/replay", { ids: [b, 999, a] })).body).toEqual({
      results: [
        { id: b, outcome: "handled" },
        { id: 999, outcome: "refused", detail: "there is no dead letter 999" },
        { id: a, outcome: "handled" },
      ],
      left: 0,
    });
  });

  test("replays those that match up to a limit, and says how many are left", async () => {
    await bench.park(...["a", "b", "c"].map((name) => letter(name, "poison")));
    bench.refused.clear();
    const filter = { reason: "domain", limit: 2 };
    const dry = await bench.ask("POST", "/replay", { filter, dryRun: true });
    expect(dry.body).toMatchObject({ results: [{ outcome: "would-replay" }, {}], left: 1 });
    expect(bench.service.applied()).toEqual([]);
    const { body } = await bench.ask("POST", "/replay", { filter });
    expect(body).toMatchObject({ results: [{ outcome: "handled" }, { outcome: "handled" }], left: 1 });
    expect((await bench.ask("POST", "/replay", { filter: {} })).body).toMatchObject({ left: 0 });
    expect(bench.service.applied()).toHaveLength(3);
  });

  test("asks for ids or a filter, not for both and not for neither", async () => {
    for (const body of [
      {},
      { ids: [1], filter: {} },
      { ids: [] },
      { ids: [1, 1] },
      { filter: { limit: 1_001 } },
    ]) {
      expect((await bench.ask("POST", "/replay", body)).status).toBe(422);
    }
  });
});

describe("DELETE /dead-letters/:id", () => {
  test("takes a reason; those behind it go on", async () => {
    const [id] = await bench.park(letter("a", "poison"), letter("a", "1"));
    expect((await bench.ask("DELETE", `/${id}`, {})).status).toBe(422);
    expect(await bench.ask("DELETE", `/${id}`, { reason: "sent by mistake" })).toEqual({
      status: 204,
      body: undefined,
    });
    await eventually(() => bench.service.applied().length === 1);
    expect((await bench.ask("DELETE", `/${id}`, { reason: "again" })).status).toBe(404);
    expect(
      bench.service.database.sql.query("SELECT action, actor, detail FROM dead_letter_actions").all(),
    ).toEqual([{ action: "discard", actor: "alice", detail: expect.stringContaining("sent by mistake") }]);
  });
});

test("a disk that refuses is a 503, and nothing is changed", async () => {
  const [id] = await bench.park(letter("a", "poison"));
  bench.service.database.sql.run("PRAGMA query_only = ON");
  for (const answer of [
    await bench.ask("POST", `/${id}/replay`),
    await bench.ask("DELETE", `/${id}`, { reason: "x" }),
    await bench.ask("PUT", `/${id}/message`, letter("a", "mended")),
  ]) {
    expect(answer).toMatchObject({ status: 503, body: { type: "urn:problem-type:storage-unavailable" } });
  }
  bench.service.database.sql.run("PRAGMA query_only = OFF");
  expect((await bench.ask("GET", `/${id}`)).body).toMatchObject({ attempts: 1, replays: 0, actions: [] });
});
