/**
 * The membership of one consumer group: join, identity checks, leave. `rebalance.ts` has the state machine.
 * Source: Apache Kafka's GroupMetadataManager; KIP-394 (member ids), KIP-345 (static membership).
 *
 * Difference: a static member that misses a rebalance is removed like any other.
 */
import { randomUUID } from "node:crypto";
import { ErrorCode, KafkaError } from "../errors.ts";
import { type JoinResult, Member, type MemberProfile } from "./member.ts";
import { Rebalance } from "./rebalance.ts";

/** The bound on members, and on assigned but unused member ids. */
const MAX_MEMBERS = 1000;
/** The name in a member id is for people. A longer one is cut, so that the id fits into every response. */
const MAX_NAME_LENGTH = 249;

export interface JoinRequest extends MemberProfile {
  /** Empty for a new member. */
  readonly memberId: string;
  readonly protocolType: string;
  /** KIP-394: a new member first receives its id and joins again with it, so a lost response leaves no stale member. */
  readonly requiresMemberId: boolean;
  /** KIP-814: the member can be the leader of a generation whose assignment it does not compute. */
  readonly canSkipAssignment: boolean;
}

export interface MemberIdentity {
  readonly memberId: string;
  readonly instanceId: string | null;
}

export class Group {
  readonly rebalance: Rebalance;
  /** Assigned member ids that have not joined yet, with the timer that expires them. */
  readonly #pending = new Map<string, Timer>();

  /** @param onUnused called when the group has no member and no pending id left. */
  constructor(
    readonly id: string,
    initialDelayMs: number,
    private readonly onUnused: () => void,
  ) {
    this.rebalance = new Rebalance({
      initialDelayMs,
      hasPendingMembers: () => this.#pending.size > 0,
      onEmpty: () => this.#completeOrRemove(),
    });
  }

  get isEmpty(): boolean {
    return this.rebalance.state === "Empty";
  }

  /** Has neither members nor pending ids. */
  get isUnused(): boolean {
    return this.isEmpty && this.#pending.size === 0;
  }

  /** Resolves when the rebalance that this starts or joins completes. */
  async join(request: JoinRequest): Promise<JoinResult> {
    this.#checkProtocols(request);
    if (request.memberId === "") return this.#joinNew(request);
    if (this.#takePending(request.memberId)) return this.#admit(request.memberId, request);
    const member = this.member(request);
    const unchanged = member.hasSameProtocols(request.protocols);
    member.profile = request;
    member.refresh();
    const { state, leader } = this.rebalance;
    // A join without a change is a retry after a lost response, or a follower's: the current result answers it. A leader
    // that joins a stable group asks for a new assignment.
    const keepsGeneration = state === "CompletingRebalance" || (state === "Stable" && member.id !== leader);
    return unchanged && keepsGeneration ? this.rebalance.resultFor(member) : this.rebalance.join(member);
  }

  /** @throws KafkaError when there is no such member. */
  leave({ memberId, instanceId }: MemberIdentity): void {
    if (this.#takePending(memberId)) {
      this.#completeOrRemove();
      return;
    }
    // An admin client removes a static member by its instance id alone.
    const byInstance = memberId === "" && instanceId !== null ? this.#findStatic(instanceId) : undefined;
    this.rebalance.remove(byInstance ?? this.member({ memberId, instanceId }), ErrorCode.UNKNOWN_MEMBER_ID);
  }

  /**
   * The member with this identity; restarts its session timeout.
   * @throws KafkaError UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or, when a generation is given, ILLEGAL_GENERATION.
   */
  member({ memberId, instanceId }: MemberIdentity, generation?: number): Member {
    const owner = instanceId === null ? undefined : this.#findStatic(instanceId);
    if (owner && owner.id !== memberId) throw new KafkaError(ErrorCode.FENCED_INSTANCE_ID);
    const member = this.rebalance.members.get(memberId);
    if (!member || (instanceId !== null && !owner)) throw new KafkaError(ErrorCode.UNKNOWN_MEMBER_ID);
    if (generation !== undefined && generation !== this.rebalance.generation) {
      throw new KafkaError(ErrorCode.ILLEGAL_GENERATION);
    }
    member.refresh();
    return member;
  }

  /** Stops every timer and rejects waiting requests with `code`. */
  close(code: ErrorCode): void {
    this.rebalance.close(code);
    for (const id of [...this.#pending.keys()]) this.#takePending(id);
  }

  #checkProtocols({ protocolType, protocols, memberId }: JoinRequest): void {
    const others = [...this.rebalance.members.values()].filter(({ id }) => id !== memberId);
    const typeFits =
      protocolType !== "" && (others.length === 0 || protocolType === this.rebalance.protocolType);
    const shared = protocols.some(({ name }) => others.every((other) => other.supports(name)));
    if (!typeFits || !shared) throw new KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  }

  #joinNew(request: JoinRequest): Promise<JoinResult> {
    const { instanceId, clientId, requiresMemberId } = request;
    const id = `${(instanceId ?? clientId).slice(0, MAX_NAME_LENGTH)}-${randomUUID()}`;
    const previous = instanceId === null ? undefined : this.#findStatic(instanceId);
    if (previous) {
      return this.rebalance.replace(previous, this.#create(id, request), request.canSkipAssignment);
    }
    if (this.rebalance.members.size >= MAX_MEMBERS || this.#pending.size >= MAX_MEMBERS) {
      throw new KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED);
    }
    if (instanceId !== null || !requiresMemberId) return this.#admit(id, request);
    const expire = () => {
      this.#takePending(id);
      this.#completeOrRemove();
    };
    this.#pending.set(id, setTimeout(expire, request.sessionTimeoutMs));
    throw new MemberIdRequired(id);
  }

  #admit(id: string, request: JoinRequest): Promise<JoinResult> {
    this.rebalance.protocolType = request.protocolType;
    return this.rebalance.join(this.#create(id, request));
  }

  #create(id: string, request: JoinRequest): Member {
    const member = new Member(id, request, () => this.rebalance.remove(member, ErrorCode.UNKNOWN_MEMBER_ID));
    return member;
  }

  /** Removes a pending id. @returns false when the id is not pending. */
  #takePending(id: string): boolean {
    clearTimeout(this.#pending.get(id));
    return this.#pending.delete(id);
  }

  /** An expected member will not join, or none is left: completes the rebalance or removes the group. */
  #completeOrRemove(): void {
    if (!this.isEmpty) this.rebalance.completeIfAllJoined();
    else if (this.isUnused) this.onUnused();
  }

  #findStatic(instanceId: string): Member | undefined {
    return [...this.rebalance.members.values()].find(({ profile }) => profile.instanceId === instanceId);
  }
}

/** KIP-394: the regular answer to a first join, with the id to join with. */
export class MemberIdRequired extends KafkaError {
  constructor(readonly memberId: string) {
    super(ErrorCode.MEMBER_ID_REQUIRED);
  }
}
