/** One member of a consumer group: what it told at joining, its session timer, and the answers that it waits for. */
import { ErrorCode, KafkaError } from "../errors.ts";

export interface Protocol {
  readonly name: string;
  readonly metadata: Buffer;
}

/** What a member says of itself when it joins. */
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
  /** For the leader, which assigns; empty for the others. */
  readonly members: readonly { id: string; instanceId: string | null; metadata: Buffer }[];
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

  /** @param onExpired called when the member was silent for its session timeout. */
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

  /** Any request of the member is a sign of life. */
  refresh(): void {
    clearTimeout(this.#session);
    this.#session = this.#startSession();
  }

  /** The answer to a JoinGroup request, which comes when the rebalance completes. */
  awaitJoin(): Promise<JoinResult> {
    // Asked again, for instance over a new connection: the older request gets an answer too.
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

  /** The answer to a SyncGroup request, which comes when the leader has assigned. */
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

  /** Ends the membership: whatever it waits for is answered with `code`. */
  dismiss(code: ErrorCode): void {
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
      // A member that waits for the broker's answer cannot send heartbeats meanwhile; that is not its silence.
      if (this.isJoining || this.isSyncing) this.refresh();
      else this.onExpired();
    }, this.profile.sessionTimeoutMs);
  }
}
