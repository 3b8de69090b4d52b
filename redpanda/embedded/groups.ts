/**
 * The coordinator of all consumer groups. Members are kept in memory, committed offsets in the journal: after a restart
 * members receive UNKNOWN_MEMBER_ID, join again and continue at their committed offsets.
 */
import { ErrorCode, KafkaError } from "./errors.ts";
import { Group, type JoinRequest, type MemberIdentity } from "./groups/group.ts";
import type { JoinResult, Member } from "./groups/member.ts";
import type { Committed, Offsets, PartitionRef } from "./groups/offsets.ts";
import { CONSUMER, isSubscribed } from "./groups/subscription.ts";

interface GroupOptions {
  readonly minSessionTimeoutMs: number;
  readonly maxSessionTimeoutMs: number;
  readonly initialRebalanceDelayMs: number;
}

export interface SyncRequest extends MemberIdentity {
  readonly generation: number;
  /** Null in versions without it. */
  readonly protocolType: string | null;
  /** Null in versions without it. */
  readonly protocol: string | null;
  readonly assignments: ReadonlyMap<string, Buffer>;
}

export interface SyncResult {
  readonly protocolType: string;
  readonly protocol: string;
  readonly assignment: Buffer;
}

export interface GroupDescription {
  readonly state: string;
  readonly protocolType: string;
  readonly protocol: string;
  readonly members: readonly Member[];
}

export class GroupCoordinator {
  readonly #groups = new Map<string, Group>();
  #closed = false;

  constructor(
    readonly offsets: Offsets,
    private readonly options: GroupOptions,
  ) {}

  /** Resolves when the group has a new generation that contains this member. @throws KafkaError */
  async join(groupId: string, request: JoinRequest): Promise<JoinResult> {
    this.#checkGroupId(groupId);
    const { minSessionTimeoutMs, maxSessionTimeoutMs, initialRebalanceDelayMs } = this.options;
    if (request.sessionTimeoutMs < minSessionTimeoutMs || request.sessionTimeoutMs > maxSessionTimeoutMs) {
      throw new KafkaError(ErrorCode.INVALID_SESSION_TIMEOUT);
    }
    let group = this.#groups.get(groupId);
    if (!group) {
      if (request.memberId !== "") throw new KafkaError(ErrorCode.UNKNOWN_MEMBER_ID);
      group = new Group(groupId, initialRebalanceDelayMs, () => this.#groups.delete(groupId));
      this.#groups.set(groupId, group);
    }
    try {
      return await group.join(request);
    } catch (error) {
      // A refused first join must not leave an empty group.
      if (group.isUnused) this.#groups.delete(groupId);
      throw error;
    }
  }

  /** Resolves with the member's assignment when the leader has sent it. @throws KafkaError */
  async sync(groupId: string, request: SyncRequest): Promise<SyncResult> {
    const { rebalance, member } = this.#member(groupId, request, request.generation);
    const { protocolType, protocol } = rebalance;
    if (
      (request.protocolType ?? protocolType) !== protocolType ||
      (request.protocol ?? protocol) !== protocol
    ) {
      throw new KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    }
    return { protocolType, protocol, assignment: await rebalance.sync(member, request.assignments) };
  }

  /** Restarts the member's session timeout. @throws KafkaError REBALANCE_IN_PROGRESS when it must join again. */
  heartbeat(groupId: string, identity: MemberIdentity, generation: number): void {
    const { rebalance } = this.#member(groupId, identity, generation);
    if (rebalance.state === "PreparingRebalance") throw new KafkaError(ErrorCode.REBALANCE_IN_PROGRESS);
  }

  /** @throws KafkaError when there is no such member. */
  leave(groupId: string, identity: MemberIdentity): void {
    const group = this.#groups.get(groupId);
    if (!group) throw new KafkaError(ErrorCode.UNKNOWN_MEMBER_ID);
    group.leave(identity);
  }

  /**
   * Resolves when the offsets are durable. A generation below 0 comes from outside the group (an admin client, a
   * consumer with manual assignment) and is accepted only while the group has no members.
   * @throws KafkaError
   */
  async commit(
    groupId: string,
    identity: MemberIdentity,
    generation: number,
    commits: readonly (PartitionRef & Committed)[],
  ): Promise<void> {
    this.#checkGroupId(groupId);
    const group = this.#groups.get(groupId);
    if (generation >= 0) {
      if (!group) throw new KafkaError(ErrorCode.ILLEGAL_GENERATION);
      group.member(identity, generation);
      if (group.rebalance.state === "CompletingRebalance") {
        throw new KafkaError(ErrorCode.REBALANCE_IN_PROGRESS);
      }
    } else if (group && !group.isEmpty) {
      throw new KafkaError(ErrorCode.UNKNOWN_MEMBER_ID);
    }
    const protocolType = group?.rebalance.protocolType ?? this.offsets.protocolType(groupId) ?? "";
    if (commits.length > 0) await this.offsets.commit(groupId, protocolType, commits);
  }

  /**
   * Whether a transaction may commit offsets of the group. Before version 3 its request names no member, and is accepted.
   * @throws KafkaError
   */
  checkTransactionalCommit(groupId: string, identity: MemberIdentity, generation: number): void {
    this.#checkGroupId(groupId);
    const group = this.#groups.get(groupId);
    if (!group && generation >= 0) throw new KafkaError(ErrorCode.ILLEGAL_GENERATION);
    if (!group || (generation < 0 && group.isEmpty)) return;
    const namesMember = generation >= 0 || identity.memberId !== "" || identity.instanceId !== null;
    if (namesMember) group.member(identity, generation);
  }

  /** Undefined when the group has neither members nor offsets. */
  describe(groupId: string): GroupDescription | undefined {
    const group = this.#groups.get(groupId);
    if (group) {
      const { state, protocolType, protocol, members } = group.rebalance;
      return {
        state,
        protocolType,
        protocol: state === "Stable" ? protocol : "",
        members: [...members.values()],
      };
    }
    const protocolType = this.offsets.protocolType(groupId);
    return protocolType === undefined
      ? undefined
      : { state: "Empty", protocolType, protocol: "", members: [] };
  }

  /** The ids of all groups that have members or offsets. */
  list(): string[] {
    return [...new Set([...this.#groups.keys(), ...this.offsets.groups()])];
  }

  /** Deletes the group's committed offsets. @throws KafkaError NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND */
  async delete(groupId: string): Promise<void> {
    const description = this.describe(groupId);
    if (!description) throw new KafkaError(ErrorCode.GROUP_ID_NOT_FOUND);
    if (description.state !== "Empty") throw new KafkaError(ErrorCode.NON_EMPTY_GROUP);
    this.#groups.get(groupId)?.close(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    this.#groups.delete(groupId);
    await this.offsets.deleteGroup(groupId);
  }

  /**
   * Deletes committed offsets, except those of topics that a member subscribes to. Resolves with the topics of the latter.
   * @throws KafkaError GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP when it is not known what the members subscribe to
   */
  async deleteOffsets(groupId: string, partitions: readonly PartitionRef[]): Promise<Set<string>> {
    this.#checkGroupId(groupId);
    if (!this.describe(groupId)) throw new KafkaError(ErrorCode.GROUP_ID_NOT_FOUND);
    const rebalance = this.#groups.get(groupId)?.rebalance;
    const hasMembers = rebalance !== undefined && rebalance.members.size > 0;
    if (hasMembers && rebalance.protocolType !== CONSUMER) throw new KafkaError(ErrorCode.NON_EMPTY_GROUP);
    const topics = [...new Set(partitions.map(({ topic }) => topic))];
    const subscribed = new Set(hasMembers ? topics.filter((topic) => isSubscribed(rebalance, topic)) : []);
    await this.offsets.delete(
      groupId,
      partitions.filter(({ topic }) => !subscribed.has(topic)),
    );
    return subscribed;
  }

  /** Stops all timers; waiting joins and syncs fail with NOT_COORDINATOR. */
  close(): void {
    this.#closed = true;
    for (const group of this.#groups.values()) group.close(ErrorCode.NOT_COORDINATOR);
    this.#groups.clear();
  }

  #member(groupId: string, identity: MemberIdentity, generation: number) {
    this.#checkGroupId(groupId);
    const group = this.#groups.get(groupId);
    if (!group) throw new KafkaError(ErrorCode.UNKNOWN_MEMBER_ID);
    return { rebalance: group.rebalance, member: group.member(identity, generation) };
  }

  #checkGroupId(groupId: string): void {
    if (this.#closed) throw new KafkaError(ErrorCode.NOT_COORDINATOR);
    // NUL separates the parts of journal keys.
    if (groupId === "" || groupId.includes("\0")) throw new KafkaError(ErrorCode.INVALID_GROUP_ID);
  }
}
