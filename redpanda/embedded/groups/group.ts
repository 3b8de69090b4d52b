/**
 * One consumer group as its members see it: who may join, speak and leave. `rebalance.ts` does the rest.
 * Source: Apache Kafka's GroupMetadataManager; KIP-394 (member ids), KIP-345 (static membership).
 *
 * Left out: a static member that comes back fences off its former self, as it should, but causes a rebalance where
 * Kafka spares it; and one that does not come back in time for a rebalance is out, like any other.
 */
import { randomUUID } from "node:crypto";
import { ErrorCode, KafkaError } from "../errors.ts";
import { type JoinResult, Member, type MemberProfile } from "./member.ts";
import { Rebalance } from "./rebalance.ts";

/** Of members and of ids given out, each: a bound, far above what one machine runs. */
const MAX_MEMBERS = 1000;

export interface JoinRequest extends MemberProfile {
  /** Empty for a new member. */
  readonly memberId: string;
  readonly protocolType: string;
  /** KIP-394: a new member is told its id first and joins with it, so that a lost answer leaves no ghost. */
  readonly mustKnowId: boolean;
}

export interface MemberIdentity {
  readonly memberId: string;
  readonly instanceId: string | null;
}

export class Group {
  readonly rebalance: Rebalance;
  /** Ids given out and not used yet, with the timer that withdraws them. */
  readonly #pending = new Map<string, Timer>();

  /** @param onUnused called when the last member is gone. */
  constructor(
    readonly id: string,
    initialDelayMs: number,
    private readonly onUnused: () => void,
  ) {
    this.rebalance = new Rebalance({
      initialDelayMs,
      nobodyIsComing: () => this.#pending.size === 0,
      onEmpty: () => this.#settle(),
    });
  }

  get isEmpty(): boolean {
    return this.rebalance.state === "Empty";
  }

  /** Nobody is in it and nobody is expected. */
  get isUnused(): boolean {
    return this.isEmpty && this.#pending.size === 0;
  }

  /** Resolves when the rebalance that this causes, or takes part in, completes. */
  async join(request: JoinRequest): Promise<JoinResult> {
    this.#checkProtocols(request);
    if (request.memberId === "") return this.#joinNew(request);
    if (this.#withdraw(request.memberId)) return this.#admit(request.memberId, request);
    const member = this.member(request);
    const unchanged = member.hasSameProtocols(request.protocols);
    member.profile = request;
    member.refresh();
    const { state, leader } = this.rebalance;
    // The answer to an earlier request was lost, so the same one again; or a follower that has nothing new to say. A
    // leader that joins a stable group wants to assign anew.
    const keeps = state === "CompletingRebalance" || (state === "Stable" && member.id !== leader);
    return unchanged && keeps ? this.rebalance.resultFor(member) : this.rebalance.join(member);
  }

  /** @throws KafkaError when there is no such member. */
  leave({ memberId, instanceId }: MemberIdentity): void {
    if (this.#withdraw(memberId)) {
      this.#settle();
      return;
    }
    // An administrator removes a static member by its instance id alone.
    const byInstance = memberId === "" && instanceId !== null ? this.#findStatic(instanceId) : undefined;
    this.rebalance.remove(byInstance ?? this.member({ memberId, instanceId }), ErrorCode.UNKNOWN_MEMBER_ID);
  }

  /**
   * The member that speaks, and hears so that it is alive.
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

  /** Ends every timer and answers whoever waits with `code`. */
  close(code: ErrorCode): void {
    this.rebalance.close(code);
    for (const id of [...this.#pending.keys()]) this.#withdraw(id);
  }

  #checkProtocols({ protocolType, protocols, memberId }: JoinRequest): void {
    const others = [...this.rebalance.members.values()].filter(({ id }) => id !== memberId);
    const typeFits =
      protocolType !== "" && (others.length === 0 || protocolType === this.rebalance.protocolType);
    const shared = protocols.some(({ name }) => others.every((other) => other.supports(name)));
    if (!typeFits || !shared) throw new KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
  }

  #joinNew(request: JoinRequest): Promise<JoinResult> {
    const { instanceId, clientId, mustKnowId } = request;
    const id = `${instanceId ?? clientId}-${randomUUID()}`;
    const former = instanceId === null ? undefined : this.#findStatic(instanceId);
    if (former) this.rebalance.forget(former, ErrorCode.FENCED_INSTANCE_ID);
    if (this.rebalance.members.size >= MAX_MEMBERS || this.#pending.size >= MAX_MEMBERS) {
      throw new KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED);
    }
    if (instanceId !== null || !mustKnowId) return this.#admit(id, request);
    const expire = () => {
      this.#withdraw(id);
      this.#settle();
    };
    this.#pending.set(id, setTimeout(expire, request.sessionTimeoutMs));
    throw new MemberIdRequired(id);
  }

  #admit(id: string, request: JoinRequest): Promise<JoinResult> {
    const member = new Member(id, request, () => this.rebalance.remove(member, ErrorCode.UNKNOWN_MEMBER_ID));
    this.rebalance.protocolType = request.protocolType;
    return this.rebalance.join(member);
  }

  /** Whether the id had been given out and not been used. */
  #withdraw(id: string): boolean {
    clearTimeout(this.#pending.get(id));
    return this.#pending.delete(id);
  }

  /** Somebody who was expected will not come. */
  #settle(): void {
    if (!this.isEmpty) this.rebalance.completeIfAllJoined();
    else if (this.isUnused) this.onUnused();
  }

  #findStatic(instanceId: string): Member | undefined {
    return [...this.rebalance.members.values()].find(({ profile }) => profile.instanceId === instanceId);
  }
}

/** KIP-394: not a failure but the answer to a first join; it carries the id to join with. */
export class MemberIdRequired extends KafkaError {
  constructor(readonly memberId: string) {
    super(ErrorCode.MEMBER_ID_REQUIRED);
  }
}
