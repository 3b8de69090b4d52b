import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eventually } from "@distributed-messaging/messaging/testing";
import { DeadLetterFixture, letter } from "../testing/dead-letter-fixture.ts";

let fixture: DeadLetterFixture;
beforeEach(async () => {
  fixture = await DeadLetterFixture.open();
});
afterEach(() => fixture[Symbol.asyncDispose]());

describe("PUT /dead-letters/:id/message", () => {
  test("stores the edited message beside the received one, and who edited it", async () => {
    const envelope = letter("a", "poison");
    const [id] = await fixture.park(envelope);
    const edited = { ...envelope, data: { name: "a", text: "edited" } };
    expect(await fixture.ask("PUT", `/${id}/message`, edited)).toMatchObject({
      status: 200,
      body: {
        edited: { text: JSON.stringify(edited) },
        raw: { text: JSON.stringify(envelope) },
        decoded: { message: { data: { text: "edited" } } },
        actions: [{ action: "edit", actor: "alice" }],
      },
    });
    expect((await fixture.ask("POST", `/${id}/replay`)).body).toEqual({ id, outcome: "handled" });
    expect(fixture.parts.handled()).toEqual(["a:edited"]);
  });

  test("refuses an invalid message, or one of another key, with the reason", async () => {
    const envelope = letter("a", "poison");
    const [id] = await fixture.park(envelope);
    const refusals = [
      [{ ...envelope, data: { name: "a", text: 7 } }, "/text"],
      [letter("b", "x"), "The subject b is not the key of the record, a."],
      [{ hello: 1 }, "Not a CloudEvent"],
    ] as const;
    for (const [body, reason] of refusals) {
      expect(await fixture.ask("PUT", `/${id}/message`, body)).toMatchObject({
        status: 422,
        body: { type: "urn:problem-type:edit-invalid", detail: expect.stringContaining(reason) },
      });
    }
    expect((await fixture.ask("PUT", `/${id}/message`)).status).toBe(422);
    expect((await fixture.ask("PUT", "/999/message", envelope)).status).toBe(404);
    expect((await fixture.ask("GET", `/${id}`)).body).toMatchObject({ edited: null, actions: [] });
  });
});

describe("POST /dead-letters/:id/replay", () => {
  test("handles the message, then those that it blocked, in order", async () => {
    const [id] = await fixture.park(letter("a", "poison"), letter("a", "1"), letter("a", "2"));
    fixture.parts.refused.clear();
    expect(await fixture.ask("POST", `/${id}/replay`)).toEqual({
      status: 200,
      body: { id, outcome: "handled" },
    });
    await eventually(() => fixture.parts.handled().length === 3);
    expect(fixture.parts.handled()).toEqual(["a:poison", "a:1", "a:2"]);
  });

  test("answers with the error when the message fails again", async () => {
    const [id] = await fixture.park(letter("a", "poison"));
    expect(await fixture.ask("POST", `/${id}/replay`)).toEqual({
      status: 200,
      body: { id, outcome: "failed", detail: "no poison" },
    });
    expect((await fixture.ask("GET", `/${id}`)).body).toMatchObject({
      attempts: 2,
      replays: 1,
      actions: [{ action: "replay", actor: "alice", detail: "failed: no poison" }],
    });
  });

  test("changes nothing in a dry run or for an invalid body", async () => {
    const [id] = await fixture.park(letter("a", "poison"));
    fixture.parts.refused.clear();
    expect((await fixture.ask("POST", `/${id}/replay`, { dryRun: true })).body).toEqual({
      id,
      outcome: "would-replay",
      detail: "test.letter.v1, blocks 0 messages",
    });
    expect((await fixture.ask("POST", `/${id}/replay`, { dryrun: true })).status).toBe(422);
    expect(fixture.parts.handled()).toEqual([]);
    expect((await fixture.ask("POST", `/${id}/replay`, {})).body).toEqual({ id, outcome: "handled" });
  });

  test("refuses a blocked message, one replayed too often and one that does not exist", async () => {
    const [head = 0, second] = await fixture.park(letter("a", "poison"), letter("a", "1"));
    expect(await fixture.ask("POST", `/${second}/replay`)).toMatchObject({
      status: 409,
      body: { type: "urn:problem-type:blocked" },
    });
    fixture.database.sql.run("UPDATE dead_letters SET replays = 10 WHERE id = ?", [head]);
    expect(await fixture.ask("POST", `/${head}/replay`)).toMatchObject({
      status: 409,
      body: { type: "urn:problem-type:replayed-too-often" },
    });
    expect((await fixture.ask("POST", "/999/replay")).status).toBe(404);
  });
});

describe("POST /dead-letters/replay", () => {
  test("replays the given ids, with one result each", async () => {
    const [a, b] = await fixture.park(letter("a", "poison"), letter("b", "poison"));
    fixture.parts.refused.clear();
    expect((await fixture.ask("POST", "/replay", { ids: [b, 999, a] })).body).toEqual({
      results: [
        { id: b, outcome: "handled" },
        { id: 999, outcome: "refused", detail: "there is no dead letter 999" },
        { id: a, outcome: "handled" },
      ],
      left: 0,
    });
  });

  test("replays those that match up to a limit, and returns how many are left", async () => {
    await fixture.park(...["a", "b", "c"].map((name) => letter(name, "poison")));
    fixture.parts.refused.clear();
    const filter = { reason: "domain", limit: 2 };
    const dry = await fixture.ask("POST", "/replay", { filter, dryRun: true });
    expect(dry.body).toMatchObject({ results: [{ outcome: "would-replay" }, {}], left: 1 });
    expect(fixture.parts.handled()).toEqual([]);
    const { body } = await fixture.ask("POST", "/replay", { filter });
    expect(body).toMatchObject({ results: [{ outcome: "handled" }, { outcome: "handled" }], left: 1 });
    expect((await fixture.ask("POST", "/replay", { filter: {} })).body).toMatchObject({ left: 0 });
    expect(fixture.parts.handled()).toHaveLength(3);
  });

  test("requires either ids or a filter", async () => {
    for (const body of [
      {},
      { ids: [1], filter: {} },
      { ids: [] },
      { ids: [1, 1] },
      { filter: { limit: 1_001 } },
    ]) {
      expect((await fixture.ask("POST", "/replay", body)).status).toBe(422);
    }
  });
});

describe("DELETE /dead-letters/:id", () => {
  test("needs a reason; the messages that it blocked are handled", async () => {
    const [id] = await fixture.park(letter("a", "poison"), letter("a", "1"));
    expect((await fixture.ask("DELETE", `/${id}`, {})).status).toBe(422);
    expect(await fixture.ask("DELETE", `/${id}`, { reason: "sent by mistake" })).toEqual({
      status: 204,
      body: undefined,
    });
    await eventually(() => fixture.parts.handled().length === 1);
    expect((await fixture.ask("DELETE", `/${id}`, { reason: "again" })).status).toBe(404);
    expect(fixture.database.sql.query("SELECT action, actor, detail FROM dead_letter_actions").all()).toEqual(
      [{ action: "discard", actor: "alice", detail: expect.stringContaining("sent by mistake") }],
    );
  });
});

test("a read-only database is a 503, and nothing is changed", async () => {
  const [id] = await fixture.park(letter("a", "poison"));
  fixture.database.sql.run("PRAGMA query_only = ON");
  for (const answer of [
    await fixture.ask("POST", `/${id}/replay`),
    await fixture.ask("DELETE", `/${id}`, { reason: "x" }),
    await fixture.ask("PUT", `/${id}/message`, letter("a", "edited")),
  ]) {
    expect(answer).toMatchObject({ status: 503, body: { type: "urn:problem-type:storage-unavailable" } });
  }
  fixture.database.sql.run("PRAGMA query_only = OFF");
  expect((await fixture.ask("GET", `/${id}`)).body).toMatchObject({ attempts: 1, replays: 0, actions: [] });
});
