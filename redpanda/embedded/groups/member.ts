/** One member of a consumer group: its profile, its session timer and its waiting requests. */
import { ErrorCode, KafkaError } from "../errors.ts";

export interface Protocol {
  readonly name: string;
  readonly metadata: Buffer;
}

/** The fields of a JoinGroup request that describe the member. */
export interface MemberProfile {
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** In the member's order of preference. */
  readonly protocols: readonly Protocol[];
}

export interface JoinResult {
  readonly memberId: string;
  readonly generation: number;
  readonly protocolType: string;
  readonly protocol: string;
  readonly leader: string;
  /** For the leader, which computes the assignment; empty for the others. */
  readonly members: readonly { id: string; instanceId: string | null; metadata: Buffer }[];
  /** The leader sends no assignment: each member keeps its own (KIP-814). */
  readonly skipAssignment: boolean;
}

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: KafkaError) => void;
}

export class Member {
  assignment: Buffer = Buffer.alloc(0);
  #session: Timer;
  #join: Waiting<JoinResult> | undefined;
  #sync: Waiting<Buffer> | undefined;

  /** @param onExpired called when no request came for the session timeout. */
  constructor(
    readonly id: string,
    public profile: MemberProfile,
    private readonly onExpired: () => void,
  ) {
    this.#session = this.#startSession();
  }

  get isJoining(): boolean {
    return this.#join !== undefined;
  }

  get isSyncing(): boolean {
    return this.#sync !== undefined;
  }

  /** Restarts the session timeout; every request of the member does. */
  refresh(): void {
    clearTimeout(this.#session);
    this.#session = this.#startSession();
  }

  /** Resolves when the rebalance completes. */
  awaitJoin(): Promise<JoinResult> {
    // A repeated request, for example over a new connection: the earlier one is answered too.
    this.rejectJoin(ErrorCode.REBALANCE_IN_PROGRESS);
    return new Promise((resolve, reject) => {
      this.#join = { resolve, reject };
    });
  }

  answerJoin(result: JoinResult): void {
    this.#join?.resolve(result);
    this.#join = undefined;
    this.refresh();
  }

  rejectJoin(code: ErrorCode): void {
    this.#join?.reject(new KafkaError(code));
    this.#join = undefined;
  }

  /** Resolves when the leader has sent the assignment. */
  awaitSync(): Promise<Buffer> {
    this.rejectSync(ErrorCode.REBALANCE_IN_PROGRESS);
    return new Promise((resolve, reject) => {
      this.#sync = { resolve, reject };
    });
  }

  answerSync(): void {
    this.#sync?.resolve(this.assignment);
    this.#sync = undefined;
    this.refresh();
  }

  rejectSync(code: ErrorCode): void {
    this.#sync?.reject(new KafkaError(code));
    this.#sync = undefined;
  }

  /** Ends the membership: rejects waiting requests with `code`. */
  close(code: ErrorCode): void {
    clearTimeout(this.#session);
    this.rejectJoin(code);
    this.rejectSync(code);
  }

  supports(protocol: string): boolean {
    return this.profile.protocols.some(({ name }) => name === protocol);
  }

  metadataFor(protocol: string): Buffer {
    return this.profile.protocols.find(({ name }) => name === protocol)?.metadata ?? Buffer.alloc(0);
  }

  hasSameProtocols(protocols: readonly Protocol[]): boolean {
    const own = this.profile.protocols;
    return (
      own.length === protocols.length &&
      protocols.every(({ name, metadata }, at) => own[at]?.name === name && metadata.equals(own[at].metadata))
    );
  }

  #startSession(): Timer {
    return setTimeout(() => {
      // A client sends no heartbeat while it waits for a join or sync response.
      if (this.isJoining || this.isSyncing) this.refresh();
      else this.onExpired();
    }, this.profile.sessionTimeoutMs);
  }
}
