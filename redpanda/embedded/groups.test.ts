import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { ErrorCode } from "./errors.ts";
import { type JoinRequest, MemberIdRequired } from "./groups/group.ts";
import type { JoinResult } from "./groups/member.ts";
import { Offsets } from "./groups/offsets.ts";
import { GroupCoordinator } from "./groups.ts";
import { createLogger } from "./logger.ts";
import { ApiKey } from "./registry.ts";
import { Disk } from "./storage/disk.ts";
import { Journal } from "./storage/journal.ts";
import { RawClient } from "./testing/raw-client.ts";
import { cleanAll, cleanUp, temporaryBroker, temporaryDirectory } from "./testing/temporary.ts";

afterEach(cleanAll);

/** Longer than any test, so that no timeout causes the tested effect. */
const LONG = 60_000;
/** Short enough for a test to wait for. */
const SHORT = 20;

async function coordinator(directory?: string): Promise<GroupCoordinator> {
  const path = join(directory ?? (await temporaryDirectory()), "journal");
  const journal = await Journal.open(new Disk(), path, { cleanStop: true, logger: createLogger("silent") });
  const groups = new GroupCoordinator(new Offsets(journal), {
    minSessionTimeoutMs: 1,
    maxSessionTimeoutMs: LONG,
    initialRebalanceDelayMs: 0,
  });
  cleanUp(async () => {
    groups.close();
    await journal.close();
  });
  return groups;
}

function profile(request: Partial<JoinRequest> = {}): JoinRequest {
  return {
    memberId: "",
    instanceId: null,
    clientId: "client",
    clientHost: "127.0.0.1",
    sessionTimeoutMs: LONG,
    rebalanceTimeoutMs: LONG,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: Buffer.from("topics") }],
    requiresMemberId: false,
    canSkipAssignment: false,
    ...request,
  };
}

/** Sends the assignment if the member is the leader; resolves with the member's part. */
async function sync(groups: GroupCoordinator, joined: JoinResult, assignments: Record<string, string> = {}) {
  const { assignment } = await groups.sync("g", {
    memberId: joined.memberId,
    instanceId: null,
    generation: joined.generation,
    protocolType: null,
    protocol: null,
    assignments: new Map(Object.entries(assignments).map(([id, part]) => [id, Buffer.from(part)])),
  });
  return assignment.toString();
}

/** A stable group of these members, the first as leader, with assignments "part 0", "part 1"… */
async function stableGroup(
  groups: GroupCoordinator,
  ...members: Partial<JoinRequest>[]
): Promise<JoinResult[]> {
  let joined: JoinResult[] = [];
  for (const member of members) {
    // The new member starts a rebalance, in which the others join again.
    const newcomer = groups.join("g", profile(member));
    const others = joined.map(({ memberId }, index) =>
      groups.join("g", profile({ ...members[index], memberId })),
    );
    joined = [...(await Promise.all(others)), await newcomer];
    const parts = Object.fromEntries(joined.map(({ memberId }, index) => [memberId, `part ${index}`]));
    await Promise.all(joined.map((each) => sync(groups, each, parts)));
  }
  return joined;
}

const identity = ({ memberId }: JoinResult) => ({ memberId, instanceId: null });
const codeOf = (code: ErrorCode) => expect.objectContaining({ code });

test("the first member is the leader; each member receives its part of the assignment", async () => {
  const groups = await coordinator();
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => groups.join("g", profile())));
  if (!a || !b || !c) throw new Error("three joined");
  expect([a.leader, b.leader, c.leader]).toEqual([a.memberId, a.memberId, a.memberId]);
  expect(a.members.map(({ id }) => id).sort()).toEqual([a, b, c].map(({ memberId }) => memberId).sort());
  expect([b.members, c.members]).toEqual([[], []]);
  expect(groups.describe("g")?.state).toBe("CompletingRebalance");
  const parts = [sync(groups, b), sync(groups, c), sync(groups, a, { [a.memberId]: "A", [b.memberId]: "B" })];
  expect(await Promise.all(parts)).toEqual(["B", "", "A"]);
  expect(groups.describe("g")).toMatchObject({
    state: "Stable",
    protocol: "range",
    protocolType: "consumer",
  });
});

test("a second member starts a rebalance, in which the first joins again", async () => {
  const groups = await coordinator();
  const [a] = await stableGroup(groups, {});
  if (!a) throw new Error("joined");
  groups.heartbeat("g", identity(a), a.generation);
  const joining = groups.join("g", profile());
  expect(() => groups.heartbeat("g", identity(a), a.generation)).toThrow(
    codeOf(ErrorCode.REBALANCE_IN_PROGRESS),
  );
  const again = await groups.join("g", profile({ memberId: a.memberId }));
  const b = await joining;
  expect([again.generation, b.generation]).toEqual([a.generation + 1, a.generation + 1]);
  expect(again.members).toHaveLength(2);
  expect(() => groups.heartbeat("g", identity(a), a.generation)).toThrow(
    codeOf(ErrorCode.ILLEGAL_GENERATION),
  );
});

test("a member that does not rejoin within the rebalance timeout is removed", async () => {
  const groups = await coordinator();
  const [a] = await stableGroup(groups, { rebalanceTimeoutMs: SHORT });
  if (!a) throw new Error("joined");
  const b = await groups.join("g", profile({ rebalanceTimeoutMs: SHORT }));
  expect(b.members.map(({ id }) => id)).toEqual([b.memberId]);
  expect(() => groups.heartbeat("g", identity(a), a.generation)).toThrow(codeOf(ErrorCode.UNKNOWN_MEMBER_ID));
});

test("a member without heartbeat for its session timeout is removed, and its part is reassigned", async () => {
  const groups = await coordinator();
  const [a, b] = await stableGroup(groups, {}, { sessionTimeoutMs: SHORT });
  if (!a || !b) throw new Error("joined");
  while (groups.describe("g")?.state === "Stable") await Bun.sleep(1);
  const again = await groups.join("g", profile({ memberId: a.memberId }));
  expect(again.members.map(({ id }) => id)).toEqual([a.memberId]);
  await expect(groups.join("g", profile({ memberId: b.memberId }))).rejects.toMatchObject({
    code: ErrorCode.UNKNOWN_MEMBER_ID,
  });
});

test("when the leader leaves, another member becomes the leader", async () => {
  const groups = await coordinator();
  const [a, b] = await stableGroup(groups, {}, {});
  if (!a || !b) throw new Error("joined");
  groups.leave("g", identity(a));
  const again = await groups.join("g", profile({ memberId: b.memberId }));
  expect(again.leader).toBe(b.memberId);
  expect(() => groups.leave("g", identity(a))).toThrow(codeOf(ErrorCode.UNKNOWN_MEMBER_ID));
});

test("when the leader leaves before the assignment, waiting members are answered", async () => {
  const groups = await coordinator();
  const [a, b] = await Promise.all([groups.join("g", profile()), groups.join("g", profile())]);
  const waiting = sync(groups, b);
  groups.leave("g", identity(a));
  await expect(waiting).rejects.toMatchObject({ code: ErrorCode.REBALANCE_IN_PROGRESS });
});

test("a leader that sends no assignment is removed after the rebalance timeout", async () => {
  const groups = await coordinator();
  const request = profile({ rebalanceTimeoutMs: SHORT });
  const [a, b] = await Promise.all([groups.join("g", request), groups.join("g", request)]);
  await expect(sync(groups, b)).rejects.toMatchObject({ code: ErrorCode.REBALANCE_IN_PROGRESS });
  expect(() => groups.heartbeat("g", identity(a), a.generation)).toThrow(codeOf(ErrorCode.UNKNOWN_MEMBER_ID));
});

test("the group is removed when the last member leaves", async () => {
  const groups = await coordinator();
  const [a] = await stableGroup(groups, {});
  if (!a) throw new Error("joined");
  groups.leave("g", identity(a));
  expect(groups.describe("g")).toBeUndefined();
  expect(groups.list()).toEqual([]);
});

test("a follower that rejoins unchanged causes no rebalance; a leader, or new metadata, does", async () => {
  const groups = await coordinator();
  const [a, b] = await stableGroup(groups, {}, {});
  if (!a || !b) throw new Error("joined");
  const same = await groups.join("g", profile({ memberId: b.memberId }));
  expect([same.generation, groups.describe("g")?.state]).toEqual([b.generation, "Stable"]);
  const protocols = [{ name: "range", metadata: Buffer.from("more topics") }];
  const changed = groups.join("g", profile({ memberId: b.memberId, protocols }));
  expect(groups.describe("g")?.state).toBe("PreparingRebalance");
  const leader = await groups.join("g", profile({ memberId: a.memberId }));
  expect((await changed).generation).toBe(leader.generation);
  expect(leader.members.find(({ id }) => id === b.memberId)?.metadata.toString()).toBe("more topics");
});

test("a repeated join gets the same response", async () => {
  const groups = await coordinator();
  const a = await groups.join("g", profile());
  expect(await groups.join("g", profile({ memberId: a.memberId }))).toEqual(a);
});

test("a repeated sync gets the same assignment", async () => {
  const groups = await coordinator();
  const [a, b] = await stableGroup(groups, {}, {});
  if (!a || !b) throw new Error("joined");
  expect([await sync(groups, a), await sync(groups, b)]).toEqual(["part 0", "part 1"]);
});

test("the elected protocol is supported by all members and preferred by most", async () => {
  const groups = await coordinator();
  const protocols = (...names: string[]) => names.map((name) => ({ name, metadata: Buffer.from(name) }));
  const joined = await Promise.all([
    groups.join("g", profile({ protocols: protocols("sticky", "range", "robin") })),
    groups.join("g", profile({ protocols: protocols("robin", "range") })),
    groups.join("g", profile({ protocols: protocols("range", "robin") })),
  ]);
  expect(joined.map(({ protocol }) => protocol)).toEqual(["range", "range", "range"]);
});

test("a member without a common protocol, or with another protocol type, is refused", async () => {
  const groups = await coordinator();
  await stableGroup(groups, {});
  const refused = { code: ErrorCode.INCONSISTENT_GROUP_PROTOCOL };
  const other = [{ name: "other", metadata: Buffer.alloc(0) }];
  await expect(groups.join("g", profile({ protocols: other }))).rejects.toMatchObject(refused);
  await expect(groups.join("g", profile({ protocolType: "connect" }))).rejects.toMatchObject(refused);
  await expect(groups.join("h", profile({ protocols: [] }))).rejects.toMatchObject(refused);
  expect(groups.list()).toEqual(["g"]);
});

test("a new member first receives its id (KIP-394); an unused id expires", async () => {
  const groups = await coordinator();
  const join = groups.join("g", profile({ requiresMemberId: true, sessionTimeoutMs: SHORT }));
  const { memberId } = await join.then(
    () => ({ memberId: "" }),
    (error: unknown) => (error instanceof MemberIdRequired ? error : { memberId: "" }),
  );
  expect(memberId).toStartWith("client-");
  expect(groups.describe("g")?.members).toEqual([]);
  const joined = await groups.join("g", profile({ memberId, requiresMemberId: true }));
  expect(joined.memberId).toBe(memberId);
  await expect(groups.join("h", profile({ requiresMemberId: true, sessionTimeoutMs: 1 }))).rejects.toThrow();
  while (groups.list().includes("h")) await Bun.sleep(1);
  await expect(groups.join("h", profile({ memberId: "made up" }))).rejects.toMatchObject({
    code: ErrorCode.UNKNOWN_MEMBER_ID,
  });
});

test("a static member that returns fences its previous session", async () => {
  const groups = await coordinator();
  const instance = profile({ instanceId: "i" });
  const former = await groups.join("g", instance);
  const waiting = groups.join("g", { ...instance, memberId: former.memberId });
  const back = await groups.join("g", instance);
  expect(back.memberId).not.toBe(former.memberId);
  await waiting.catch(() => {});
  const old = { memberId: former.memberId, instanceId: "i" };
  expect(() => groups.heartbeat("g", old, back.generation)).toThrow(codeOf(ErrorCode.FENCED_INSTANCE_ID));
  groups.heartbeat("g", { memberId: back.memberId, instanceId: "i" }, back.generation);
  groups.leave("g", { memberId: "", instanceId: "i" });
  expect(groups.describe("g")).toBeUndefined();
});

const asStatic = (memberId: string, instanceId: string) => ({ memberId, instanceId });

test.each([
  ["a follower", 1, false],
  ["the leader, which cannot skip the assignment (before JoinGroup 9)", 0, false],
  ["the leader", 0, true],
])(
  "a static member that returns keeps its assignment, without a rebalance: %s",
  async (_who, at, canSkip) => {
    const groups = await coordinator();
    const members = await stableGroup(groups, { instanceId: "i0" }, { instanceId: "i1" });
    const [former, other] = at === 0 ? members : members.toReversed();
    if (!former || !other) throw new Error("two joined");
    const request = profile({ instanceId: `i${at}`, canSkipAssignment: canSkip });
    // The response to the first return is lost.
    const lost = await groups.join("g", request);
    const back = await groups.join("g", request);
    expect(new Set([former.memberId, lost.memberId, back.memberId]).size).toBe(3);
    expect([back.generation, back.protocol]).toEqual([former.generation, "range"]);
    const isLeaderAgain = at === 0 && canSkip;
    expect([back.leader === back.memberId, back.skipAssignment]).toEqual([isLeaderAgain, isLeaderAgain]);
    expect(back.members.map(({ instanceId }) => instanceId).sort()).toEqual(
      isLeaderAgain ? ["i0", "i1"] : [],
    );
    expect(await sync(groups, back)).toBe(`part ${at}`);
    groups.heartbeat("g", asStatic(other.memberId, `i${1 - at}`), other.generation);
    for (const { memberId } of [former, lost]) {
      expect(() => groups.heartbeat("g", asStatic(memberId, `i${at}`), back.generation)).toThrow(
        codeOf(ErrorCode.FENCED_INSTANCE_ID),
      );
    }
    expect(groups.describe("g")).toMatchObject({ state: "Stable", members: { length: 2 } });
  },
);

test("a static member that returns with another protocol starts a rebalance when the group would elect it", async () => {
  const groups = await coordinator();
  const both = [
    { name: "range", metadata: Buffer.from("topics") },
    { name: "sticky", metadata: Buffer.from("topics") },
  ];
  const [member] = await stableGroup(groups, { instanceId: "i", protocols: both });
  if (!member) throw new Error("joined");
  const back = await groups.join("g", profile({ instanceId: "i", protocols: both.toReversed() }));
  expect([back.generation, back.protocol, back.leader]).toEqual([
    member.generation + 1,
    "sticky",
    back.memberId,
  ]);
});

test("a member id fits into every response, whatever the client is called", async () => {
  const groups = await coordinator();
  const { memberId } = await groups.join("g", profile({ clientId: "\u4e16".repeat(10_000) }));
  expect(Buffer.byteLength(memberId)).toBeLessThan(1_000);
});

test("session timeouts are bounded; an empty group id is refused", async () => {
  const groups = await coordinator();
  const refused = { code: ErrorCode.INVALID_SESSION_TIMEOUT };
  await expect(groups.join("g", profile({ sessionTimeoutMs: 0 }))).rejects.toMatchObject(refused);
  await expect(groups.join("g", profile({ sessionTimeoutMs: LONG + 1 }))).rejects.toMatchObject(refused);
  await expect(groups.join("", profile())).rejects.toMatchObject({ code: ErrorCode.INVALID_GROUP_ID });
});

const offset = (value: number) => [
  { topic: "t", partition: 0, offset: value, leaderEpoch: -1, metadata: "note" },
];

test("only members of the current generation can commit", async () => {
  const groups = await coordinator();
  const [a] = await stableGroup(groups, {});
  if (!a) throw new Error("joined");
  const commit = (memberId: string, generation: number) =>
    groups.commit("g", { memberId, instanceId: null }, generation, offset(generation));
  await commit(a.memberId, a.generation);
  const refusals = [
    [commit(a.memberId, a.generation - 1), ErrorCode.ILLEGAL_GENERATION],
    [commit("somebody", a.generation), ErrorCode.UNKNOWN_MEMBER_ID],
    [commit("", -1), ErrorCode.UNKNOWN_MEMBER_ID],
    [groups.commit("h", identity(a), 1, offset(1)), ErrorCode.ILLEGAL_GENERATION],
  ] as const;
  for (const [refused, code] of refusals) await expect(refused).rejects.toMatchObject({ code });
  expect(groups.offsets.get("g", { topic: "t", partition: 0 })?.offset).toBe(a.generation);
});

test("commits between the join and the sync of a generation are refused", async () => {
  const groups = await coordinator();
  const a = await groups.join("g", profile());
  await expect(groups.commit("g", identity(a), a.generation, offset(1))).rejects.toMatchObject({
    code: ErrorCode.REBALANCE_IN_PROGRESS,
  });
});

test("an admin client sets the offsets of an empty group; they survive a restart and are deleted with the group", async () => {
  const directory = await temporaryDirectory();
  const groups = await coordinator(directory);
  await groups.commit("g", { memberId: "", instanceId: null }, -1, offset(41));
  const again = await coordinator(directory);
  expect(again.offsets.get("g", { topic: "t", partition: 0 })).toEqual({
    offset: 41,
    leaderEpoch: -1,
    metadata: "note",
  });
  expect([again.list(), again.describe("g")?.state]).toEqual([["g"], "Empty"]);
  await again.delete("g");
  expect([again.list(), again.offsets.partitions("g")]).toEqual([[], []]);
  await expect(again.delete("g")).rejects.toMatchObject({ code: ErrorCode.GROUP_ID_NOT_FOUND });
});

test("a group with members cannot be deleted", async () => {
  const groups = await coordinator();
  await stableGroup(groups, {});
  await expect(groups.delete("g")).rejects.toMatchObject({ code: ErrorCode.NON_EMPTY_GROUP });
});

test("after a restart members are unknown and rejoin; committed offsets remain", async () => {
  const directory = await temporaryDirectory();
  const groups = await coordinator(directory);
  const [a] = await stableGroup(groups, {});
  if (!a) throw new Error("joined");
  await groups.commit("g", identity(a), a.generation, offset(7));
  const again = await coordinator(directory);
  expect(() => again.heartbeat("g", identity(a), a.generation)).toThrow(codeOf(ErrorCode.UNKNOWN_MEMBER_ID));
  expect(again.describe("g")).toMatchObject({ state: "Empty", protocolType: "consumer" });
  expect(again.offsets.get("g", { topic: "t", partition: 0 })?.offset).toBe(7);
});

test("waiting joins and syncs are answered when the broker stops", async () => {
  const groups = await coordinator();
  await stableGroup(groups, {});
  const waiting = groups.join("g", profile());
  groups.close();
  await expect(waiting).rejects.toMatchObject({ code: ErrorCode.NOT_COORDINATOR });
});

test("deleted offsets stay deleted after a restart; those of a topic that a member subscribes to are kept", async () => {
  const directory = await temporaryDirectory();
  const groups = await coordinator(directory);
  const commits = ["a", "b"].map((topic) => ({
    topic,
    partition: 0,
    offset: 5,
    leaderEpoch: -1,
    metadata: "",
  }));
  await groups.commit("g", { memberId: "", instanceId: null }, -1, commits);
  const subscribesToA = Buffer.concat([
    Buffer.from([0, 0, 0, 0, 0, 1, 0, 1]),
    Buffer.from("a"),
    Buffer.alloc(4),
  ]);
  const joined = await groups.join("g", profile({ protocols: [{ name: "range", metadata: subscribesToA }] }));
  expect(await groups.deleteOffsets("g", commits)).toEqual(new Set(["a"]));
  groups.leave("g", identity(joined));
  const topicsIn = ({ offsets }: GroupCoordinator) => offsets.partitions("g").map(({ topic }) => topic);
  expect(topicsIn(groups)).toEqual(["a"]);
  expect(topicsIn(await coordinator(directory))).toEqual(["a"]);
  expect(await groups.deleteOffsets("g", commits)).toEqual(new Set());
  expect(topicsIn(groups)).toEqual([]);
  expect(groups.list()).toEqual(["g"]);
});

test("a stored group whose id is too long is logged at the start, and the others are listed in every version", async () => {
  const dataDir = await temporaryDirectory();
  const silent = createLogger("silent");
  const path = join(dataDir, "state.journal");
  const journal = await Journal.open(new Disk(), path, { cleanStop: true, logger: silent });
  const long = "x".repeat(40_000);
  await journal.write([
    [`group/${long}`, "consumer"],
    ["group/short", "consumer"],
  ]);
  await journal.close();
  const lines: string[] = [];
  const logger = createLogger("warn", (line) => lines.push(line));
  const broker = await temporaryBroker({ dataDir, logger });
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ msg: expect.stringContaining("not listed"), bytes: 40_000 }),
  ]);
  const client = await RawClient.connect(broker);
  for (const version of [0, 1, 2, 3, 4, 5]) {
    const none: string[] = [];
    const response = await client.request(ApiKey.ListGroups, version, (writer) => {
      if (version >= 4) writer.array(none, () => {});
      if (version >= 5) writer.array(none, () => {});
    });
    if (version >= 1) response.int32();
    expect(response.int16()).toBe(ErrorCode.NONE);
    const [first, ...others] = response.structs(() => {
      const group = response.string();
      response.string();
      if (version >= 4) response.string();
      if (version >= 5) response.string();
      return group;
    });
    expect([first, others]).toEqual(["short", []]);
  }
});

test("an offset that is committed while its topic is deleted is deleted with it", async () => {
  const broker = await temporaryBroker({ topics: [{ name: "t" }] });
  const { topics, groups, disk } = broker;
  const ref = { name: "t", id: null };
  const deletion = () =>
    topics.delete(topics.resolve(ref), () => groups.offsets.deletions((topic) => topic === "t"));
  const commit = () => groups.commit("g", { memberId: "", instanceId: null }, -1, [committed]);
  const committed = { topic: "t", partition: 0, offset: 5, leaderEpoch: 0, metadata: "" };
  // A failed deletion leaves both.
  await commit();
  disk.fault = (operation) => {
    if (operation === "write") throw new Error("no space left on device");
  };
  await expect(deletion()).rejects.toMatchObject({ code: ErrorCode.KAFKA_STORAGE_ERROR });
  disk.fault = undefined;
  expect(topics.resolve(ref).partitions).toHaveLength(1);
  expect(groups.offsets.get("g", committed)?.offset).toBe(5);
  await groups.offsets.delete("g", [committed]);
  // The commit is not on disk when the deletion begins.
  await Promise.all([commit(), deletion()]);
  expect(() => topics.resolve(ref)).toThrow();
  expect(groups.offsets.partitions("g")).toEqual([]);
});

test("an offset that is committed during an interrupted deletion of its topic is deleted at the next start", async () => {
  const dataDir = await temporaryDirectory();
  const broker = await temporaryBroker({ dataDir, topics: [{ name: "t" }, { name: "kept" }] });
  const { topics, groups, disk } = broker;
  const ref = { name: "t", id: null };
  const commit = (topic: string) => {
    const committed = { topic, partition: 0, offset: 5, leaderEpoch: 0, metadata: "" };
    return groups.commit("g", { memberId: "", instanceId: null }, -1, [committed]);
  };
  await commit("kept");
  // Nothing is written any more from the moment when the topic is deleted: the late offset stays.
  disk.fault = (operation) => {
    if (operation === "write" && !topics.find(ref)) throw new Error("no space left on device");
  };
  const late = commit("t");
  const deletion = topics.delete(topics.resolve(ref), () =>
    groups.offsets.deletions((topic) => topic === "t"),
  );
  await expect(deletion).rejects.toMatchObject({ code: ErrorCode.KAFKA_STORAGE_ERROR });
  await late;
  expect(groups.offsets.partitions("g").map(({ topic }) => topic)).toEqual(["kept", "t"]);
  disk.fault = undefined;
  await broker.stop();
  const again = await temporaryBroker({ dataDir });
  expect(again.groups.offsets.partitions("g").map(({ topic }) => topic)).toEqual(["kept"]);
});

test("an offset that is committed while its group is deleted does not remain without the group", async () => {
  const { groups } = await temporaryBroker({ topics: [{ name: "t", partitions: 2 }] });
  const commit = (partition: number) => {
    const committed = { topic: "t", partition, offset: 5, leaderEpoch: 0, metadata: "" };
    return groups.commit("g", { memberId: "", instanceId: null }, -1, [committed]);
  };
  await commit(0);
  await Promise.all([commit(1), groups.delete("g")]);
  expect([groups.describe("g"), groups.offsets.partitions("g")]).toEqual([undefined, []]);
  await commit(1);
  expect([groups.list(), groups.offsets.partitions("g")]).toEqual([["g"], [{ topic: "t", partition: 1 }]]);
});
