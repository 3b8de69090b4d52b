/**
 * The coordinator of all consumer groups. Members live in memory, committed offsets in the journal: after a restart
 * members hear UNKNOWN_MEMBER_ID, join again, and go on from what they had committed.
 */
import { ErrorCode, KafkaError } from "./errors.ts";
import { Group, type JoinRequest, type MemberIdentity } from "./groups/group.ts";
import type { JoinResult, Member } from "./groups/member.ts";
import type { Committed, Offsets, PartitionRef } from "./groups/offsets.ts";

export interface GroupOptions {
  readonly minSessionTimeoutMs: number;
  readonly maxSessionTimeoutMs: number;
  readonly initialRebalanceDelayMs: number;
}

export interface SyncRequest extends MemberIdentity {
  readonly generation: number;
  /** Null in versions that do not send it; so for the next. */
  readonly protocolType: string | null;
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

  /** Resolves when the group has a new generation with this member in it. @throws KafkaError */
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
      // A refused first join leaves no group behind.
      if (group.isUnused) this.#groups.delete(groupId);
      throw error;
    }
  }

  /** Resolves with the member's assignment once the leader has made it. @throws KafkaError */
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

  /** Keeps the member alive. @throws KafkaError REBALANCE_IN_PROGRESS when it has to join again. */
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
   * Resolves when the offsets are durable. A generation below 0 comes from outside the group (an administrator, a
   * consumer that assigns itself) and is for groups without members only.
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

  /** Forgets the group's offsets. @throws KafkaError NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND */
  async delete(groupId: string): Promise<void> {
    const description = this.describe(groupId);
    if (!description) throw new KafkaError(ErrorCode.GROUP_ID_NOT_FOUND);
    if (description.state !== "Empty") throw new KafkaError(ErrorCode.NON_EMPTY_GROUP);
    this.#groups.get(groupId)?.close(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    this.#groups.delete(groupId);
    await this.offsets.deleteGroup(groupId);
  }

  /** Ends all timers; whoever waits in a join or sync is told to look for the coordinator again. */
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
    // The zero character separates the parts of journal keys.
    if (groupId === "" || groupId.includes("\0")) throw new KafkaError(ErrorCode.INVALID_GROUP_ID);
  }
}
