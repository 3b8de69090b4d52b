/**
 * How a consumer group gets from one generation to the next: the state machine of the classic rebalance protocol.
 * Source: Apache Kafka's ClassicGroup; KIP-62 (rebalance timeout), KIP-134 (initial delay).
 *
 *   Empty ──join──▶ PreparingRebalance ──all joined, or timeout──▶ CompletingRebalance ──leader syncs──▶ Stable
 *                        ▲                                               │                                  │
 *                        └──────────────── a member joins, leaves or falls silent ─────────────────────────┘
 */
import { ErrorCode, KafkaError } from "../errors.ts";
import type { JoinResult, Member } from "./member.ts";

export type GroupState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead";

export interface RebalanceOptions {
  /** How long the first generation waits for others that start at the same time. */
  readonly initialDelayMs: number;
  /** False while somebody who is known is still on the way. */
  readonly nobodyIsComing: () => boolean;
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
  /** Before the first generation nobody is known to be missing, so only the delay ends the wait. */
  #gathering = false;

  constructor(private readonly options: RebalanceOptions) {}

  /** Takes the member, new or known, into the next generation; resolves when that has begun. */
  join(member: Member): Promise<JoinResult> {
    this.members.set(member.id, member);
    const result = member.awaitJoin();
    if (this.state === "PreparingRebalance") this.completeIfAllJoined();
    else this.#prepare();
    return result;
  }

  /** Resolves with the member's part. @param assignments by member id; only the leader's count. */
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

  /** Takes a member out and lets the others share its part. @param code what its open requests are answered with. */
  remove(member: Member, code: ErrorCode): void {
    this.forget(member, code);
    if (this.state === "PreparingRebalance") this.completeIfAllJoined();
    else this.#prepare();
  }

  /** As `remove`, when another rebalance follows anyway. */
  forget(member: Member, code: ErrorCode): void {
    member.dismiss(code);
    this.members.delete(member.id);
  }

  completeIfAllJoined(): void {
    if (this.state !== "PreparingRebalance" || this.#gathering || !this.options.nobodyIsComing()) return;
    if (this.all((member) => member.isJoining)) this.#complete();
  }

  /** What a member is told of the present generation; the leader gets everyone's metadata, to assign by. */
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
    };
  }

  all(holds: (member: Member) => boolean): boolean {
    return [...this.members.values()].every(holds);
  }

  close(code: ErrorCode): void {
    this.state = "Dead";
    clearTimeout(this.#deadline);
    for (const member of [...this.members.values()]) this.forget(member, code);
  }

  #prepare(): void {
    this.#gathering = this.state === "Empty";
    this.state = "PreparingRebalance";
    for (const member of this.members.values()) member.rejectSync(ErrorCode.REBALANCE_IN_PROGRESS);
    if (this.#gathering) this.#setDeadline(this.options.initialDelayMs, () => this.#endGathering());
    else this.#awaitAll();
  }

  #endGathering(): void {
    this.#gathering = false;
    this.#awaitAll();
  }

  #awaitAll(): void {
    this.#setDeadline(this.#timeoutMs(), () => this.#complete());
    this.completeIfAllJoined();
  }

  /** Those who did not come back in time are out; the others get a new generation. */
  #complete(): void {
    for (const member of [...this.members.values()]) {
      if (!member.isJoining) this.forget(member, ErrorCode.UNKNOWN_MEMBER_ID);
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
    // Whoever sends heartbeats but never syncs, the leader above all, must not hold up the others for ever.
    this.#setDeadline(this.#timeoutMs(), () => this.#dropUnsynced());
  }

  #dropUnsynced(): void {
    const unsynced = [...this.members.values()].filter((member) => !member.isSyncing);
    for (const member of unsynced) this.remove(member, ErrorCode.UNKNOWN_MEMBER_ID);
  }

  /** Each member votes for the first of its protocols that all support; the most votes win. */
  #electProtocol(): string {
    const votes = new Map<string, number>();
    for (const { profile } of this.members.values()) {
      const choice = profile.protocols.find(({ name }) => this.all((member) => member.supports(name)));
      if (choice) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1);
    }
    return [...votes].sort(([, a], [, b]) => b - a)[0]?.[0] ?? "";
  }

  /** The patience of the most patient member. */
  #timeoutMs(): number {
    return Math.max(0, ...[...this.members.values()].map(({ profile }) => profile.rebalanceTimeoutMs));
  }

  #setDeadline(afterMs: number, action: () => void): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(action, afterMs);
  }
}
