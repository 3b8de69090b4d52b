/**
 * The state machine of the classic rebalance protocol, from one generation of a consumer group to the next.
 * Source: Apache Kafka's ClassicGroup; KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-345 (static members).
 *
 *   Empty ──join──▶ PreparingRebalance ──all joined, or timeout──▶ CompletingRebalance ──leader syncs──▶ Stable
 *                        ▲                                               │                                  │
 *                        └──────────────── a member joins, leaves or times out ────────────────────────────┘
 */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { JoinResult, Member } from "./member.ts";

type GroupState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead";

interface RebalanceOptions {
  /** How long the first generation waits for more members. */
  readonly initialDelayMs: number;
  /** Whether a member id has been assigned that has not joined yet. */
  readonly hasPendingMembers: () => boolean;
  readonly onEmpty: () => void;
}

export class Rebalance {
  state: GroupState = "Empty";
  generation = 0;
  protocolType = "";
  protocol = "";
  leader = "";
  readonly members = new Map<string, Member>();
  #deadline: Timer | undefined;
  /** True during the initial delay, which alone ends the wait for the first generation. */
  #inInitialDelay = false;

  constructor(private readonly options: RebalanceOptions) {}

  /** Adds the member, new or known, to the next generation. Resolves when that generation starts. */
  join(member: Member): Promise<JoinResult> {
    this.members.set(member.id, member);
    const result = member.awaitJoin();
    if (this.state === "PreparingRebalance") this.completeIfAllJoined();
    else this.#prepare();
    return result;
  }

  /**
   * A static member returns under another id, and its earlier session is fenced. In a stable group it takes over the
   * assignment without a rebalance, unless the group would now elect another protocol; otherwise it joins.
   * @param canSkipAssignment whether the member, if it was the leader, can be so again. If not, the answer names its
   * earlier id as the leader, so that it computes no assignment.
   */
  async replace(previous: Member, member: Member, canSkipAssignment: boolean): Promise<JoinResult> {
    this.drop(previous, ErrorCode.FENCED_INSTANCE_ID);
    this.members.set(member.id, member);
    member.assignment = previous.assignment;
    const wasLeader = previous.id === this.leader;
    if (wasLeader) this.leader = member.id;
    if (this.state !== "Stable" || this.#electProtocol() !== this.protocol) return this.join(member);
    const result = this.resultFor(member);
    if (!wasLeader) return result;
    return canSkipAssignment
      ? { ...result, skipAssignment: true }
      : { ...result, leader: previous.id, members: [] };
  }

  /** Resolves with the member's assignment. @param assignments by member id; only the leader's are used. */
  async sync(member: Member, assignments: ReadonlyMap<string, Buffer>): Promise<Buffer> {
    if (this.state === "PreparingRebalance") throw new KafkaError(ErrorCode.REBALANCE_IN_PROGRESS);
    if (this.state === "Stable") return member.assignment;
    const answer = member.awaitSync();
    if (member.id === this.leader) {
      this.state = "Stable";
      clearTimeout(this.#deadline);
      for (const each of this.members.values()) {
        each.assignment = assignments.get(each.id) ?? Buffer.alloc(0);
        each.answerSync();
      }
    }
    return answer;
  }

  /** Removes a member and starts a rebalance. @param code the answer to its waiting requests. */
  remove(member: Member, code: ErrorCode): void {
    this.drop(member, code);
    if (this.state === "PreparingRebalance") this.completeIfAllJoined();
    else this.#prepare();
  }

  /** Removes a member without starting a rebalance; the caller does. */
  drop(member: Member, code: ErrorCode): void {
    member.close(code);
    this.members.delete(member.id);
  }

  completeIfAllJoined(): void {
    if (this.state !== "PreparingRebalance" || this.#inInitialDelay || this.options.hasPendingMembers())
      return;
    if (this.all((member) => member.isJoining)) this.#complete();
  }

  /** The JoinGroup result of the current generation; for the leader with the metadata of all members. */
  resultFor({ id }: Member): JoinResult {
    const { generation, protocolType, protocol, leader } = this;
    const members = [...this.members.values()].map((member) => ({
      id: member.id,
      instanceId: member.profile.instanceId,
      metadata: member.metadataFor(protocol),
    }));
    return {
      memberId: id,
      generation,
      protocolType,
      protocol,
      leader,
      members: id === leader ? members : [],
      skipAssignment: false,
    };
  }

  all(holds: (member: Member) => boolean): boolean {
    return [...this.members.values()].every(holds);
  }

  close(code: ErrorCode): void {
    this.state = "Dead";
    clearTimeout(this.#deadline);
    for (const member of [...this.members.values()]) this.drop(member, code);
  }

  #prepare(): void {
    this.#inInitialDelay = this.state === "Empty";
    this.state = "PreparingRebalance";
    for (const member of this.members.values()) member.rejectSync(ErrorCode.REBALANCE_IN_PROGRESS);
    if (this.#inInitialDelay) this.#setDeadline(this.options.initialDelayMs, () => this.#endInitialDelay());
    else this.#awaitAll();
  }

  #endInitialDelay(): void {
    this.#inInitialDelay = false;
    this.#awaitAll();
  }

  #awaitAll(): void {
    this.#setDeadline(this.#timeoutMs(), () => this.#complete());
    this.completeIfAllJoined();
  }

  /** Removes the members that did not rejoin and starts a new generation with the others. */
  #complete(): void {
    for (const member of [...this.members.values()]) {
      if (!member.isJoining) this.drop(member, ErrorCode.UNKNOWN_MEMBER_ID);
    }
    const [first] = this.members.keys();
    if (first === undefined) {
      clearTimeout(this.#deadline);
      this.state = "Empty";
      this.options.onEmpty();
      return;
    }
    if (!this.members.has(this.leader)) this.leader = first;
    this.generation += 1;
    this.protocol = this.#electProtocol();
    this.state = "CompletingRebalance";
    for (const member of this.members.values()) member.answerJoin(this.resultFor(member));
    // A member that sends heartbeats but never syncs must not block the group, least of all the leader.
    this.#setDeadline(this.#timeoutMs(), () => this.#dropUnsynced());
  }

  #dropUnsynced(): void {
    const unsynced = [...this.members.values()].filter((member) => !member.isSyncing);
    for (const member of unsynced) this.remove(member, ErrorCode.UNKNOWN_MEMBER_ID);
  }

  /** Each member votes for its first protocol that all members support; the most votes win. */
  #electProtocol(): string {
    const votes = new Map<string, number>();
    for (const { profile } of this.members.values()) {
      const choice = profile.protocols.find(({ name }) => this.all((member) => member.supports(name)));
      if (choice) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1);
    }
    return [...votes].sort(([, a], [, b]) => b - a)[0]?.[0] ?? "";
  }

  /** The longest rebalance timeout of all members. */
  #timeoutMs(): number {
    return Math.max(0, ...[...this.members.values()].map(({ profile }) => profile.rebalanceTimeoutMs));
  }

  #setDeadline(afterMs: number, action: () => void): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(action, afterMs);
  }
}
