import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

/** Longer than the clients' own limits, which are 30 s. */
const ANSWER_TIMEOUT_MS = 60_000;

export const codecs = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
export type Codec = (typeof codecs)[number];

/** Key and value in base64; the values of headers are text. */
export const clientRecord = Type.Object({
  key: Type.Union([Type.String(), Type.Null()]),
  value: Type.Union([Type.String(), Type.Null()]),
  headers: Type.Array(Type.Tuple([Type.String(), Type.String()])),
  /** Milliseconds since 1970. */
  timestamp: Type.Number(),
});
export type ClientRecord = Static<typeof clientRecord>;

const stored = Type.Composite([
  clientRecord,
  Type.Object({ topic: Type.String(), partition: Type.Number(), offset: Type.Number() }),
]);
export type StoredRecord = Static<typeof stored>;

/** The shapes of answers that the script looks into. */
export const answers = {
  records: Type.Object({ records: Type.Array(stored) }),
  groups: Type.Object({ groups: Type.Array(Type.String()) }),
};

const greeting = Type.Object({ client: Type.String(), version: Type.String() });
const memberEvent = Type.Union([
  Type.Object({ assigned: Type.Array(Type.Number()) }),
  Type.Object({
    record: Type.Object({ partition: Type.Number(), offset: Type.Number(), value: Type.String() }),
  }),
]);
type MemberEvent = Static<typeof memberEvent>;

/**
 * What a client answers to a command: `{}` or its result; `{ error }` with the number that the protocol gives to the
 * broker's error, or the text of another one; `{ lacks }` with the command when it has nothing like it.
 */
export type Answer = Readonly<Record<string, unknown>>;
export type Command = { readonly do: string } & Readonly<Record<string, unknown>>;

/**
 * A client as a process: commands as lines of JSON on its standard input, an answer to each on its standard output. One
 * that was told to `join` also prints its partitions whenever they change, and each record.
 */
export class ClientProcess {
  #version = "";
  readonly #child;
  readonly #waiting: PromiseWithResolvers<unknown>[] = [];
  readonly #onEvent: (event: MemberEvent) => void;
  #errors = "";

  private constructor(
    readonly command: readonly string[],
    env: Readonly<Record<string, string>>,
    onEvent: (event: MemberEvent) => void,
  ) {
    this.#onEvent = onEvent;
    this.#child = Bun.spawn([...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...env },
      // A group of its own: kill() reaches what it has started, too.
      detached: true,
    });
    void this.#readErrors();
    void this.#read();
  }

  /** @param onEvent called with each event of a member of a group */
  static async start(
    command: readonly string[],
    env: Readonly<Record<string, string>>,
    onEvent: (event: MemberEvent) => void = () => {},
  ): Promise<ClientProcess> {
    const client = new ClientProcess(command, env, onEvent);
    client.#version = Value.Parse(greeting, await client.#next("start")).version;
    return client;
  }

  get version(): string {
    return this.#version;
  }

  /** The end of what it has written to its standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** @throws Error when the process ends or does not answer in time */
  async do(command: Command): Promise<Answer> {
    const answer = this.#next(command.do);
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    this.#child.stdin.flush();
    return Value.Parse(Type.Record(Type.String(), Type.Unknown()), await answer);
  }

  /** The end of its input, which ends it. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#signalAll(), ANSWER_TIMEOUT_MS);
    await this.#child.exited;
    clearTimeout(timer);
  }

  /** SIGKILL, to it and to what it has started. */
  async kill(): Promise<void> {
    this.#signalAll();
    await this.#child.exited;
  }

  #signalAll(): void {
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }

  #next(what: string): Promise<unknown> {
    const waiting = Promise.withResolvers<unknown>();
    const timer = setTimeout(
      () => waiting.reject(new Error(`${this.command.join(" ")}: no answer to ${what}: ${this.#errors}`)),
      ANSWER_TIMEOUT_MS,
    );
    this.#waiting.push(waiting);
    return waiting.promise.finally(() => clearTimeout(timer));
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (text + decoder.decode(chunk, { stream: true })).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) this.#receive(JSON.parse(line));
    }
    await this.#child.exited;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new Error(`${this.command.join(" ")} ended:\n${this.#errors}`));
    }
  }

  #receive(message: unknown): void {
    if (Value.Check(memberEvent, message)) this.#onEvent(message);
    else this.#waiting.shift()?.resolve(message);
  }

  async #readErrors(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) {
      this.#errors = (this.#errors + decoder.decode(chunk, { stream: true })).slice(-4_000);
    }
  }
}

/** A client in a group. */
export class Member {
  partitions: readonly number[] = [];
  /** `partition value` of each record. */
  readonly received = new Set<string>();
  #process: ClientProcess | undefined;

  static async join(
    command: readonly string[],
    env: Readonly<Record<string, string>>,
    group: string,
    topic: string,
  ): Promise<Member> {
    const member = new Member();
    member.#process = await ClientProcess.start(command, env, (event) => {
      if ("assigned" in event) member.partitions = event.assigned;
      else member.received.add(`${event.record.partition} ${decoded(event.record.value)}`);
    });
    const answer = await member.#process.do({ do: "join", group, topic });
    if ("error" in answer || "lacks" in answer) {
      await member.kill();
      throw new CannotJoin(JSON.stringify(answer));
    }
    return member;
  }

  /** The end of what its process has written to its standard error. */
  get errors(): string {
    return this.#process?.errors ?? "";
  }

  /** Leaves the group as the client does it. */
  async leave(): Promise<void> {
    await this.#process?.do({ do: "leave" });
    await this.#process?.end();
    this.partitions = [];
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.#process?.kill();
    this.partitions = [];
  }
}

export class CannotJoin extends Error {
  override readonly name = "CannotJoin";
}

export function decoded(base64: string): string {
  return Buffer.from(base64, "base64").toString();
}

/** A part of an answer. @returns undefined when the answer does not have this shape */
export function read<Schema extends TSchema>(schema: Schema, answer: Answer): Static<Schema> | undefined {
  return Value.Check(schema, answer) ? answer : undefined;
}
