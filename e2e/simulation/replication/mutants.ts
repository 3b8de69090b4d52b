/** A rule of the protocol, and the code without it. The text is that of the file, so that a change of the code is noticed. */
export interface CodeMutant {
  readonly name: string;
  /** In `shared/messaging`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const REPLICA = "replication/replica.ts";
const CAPTURE = "replication/capture.ts";

export const codeMutants: readonly CodeMutant[] = [
  {
    name: "a group is confirmed when the broker has acknowledged it, without being read back",
    file: REPLICA,
    from: "this.#sentMs = runtime.monotonic();",
    to: "this.#sentMs = runtime.monotonic(); this.#file.position.confirmed = Math.max(this.#file.position.confirmed, last.seq); this.confirmed();",
  },
  {
    name: "the epoch of a group is not compared with that of the last claim",
    file: REPLICA,
    from: "entry.epoch === position.epoch",
    to: "entry.epoch >= 0",
  },
  {
    name: "of two claims with one epoch, the last counts",
    file: REPLICA,
    from: "if (epoch <= position.epoch) return;",
    to: "if (epoch < position.epoch) return;",
  },
  {
    name: "an instance leads once its claim was sent, without reading it",
    file: REPLICA,
    from: '() => this.#failing.over("claiming", {}, "the claim was written"),',
    to: '() => { if (this.#state === "following") { this.#file.position.epoch = claim.epoch; this.#lead(); } },',
  },
  {
    name: "a follower claims without having waited",
    file: REPLICA,
    from: "now - this.#heardMs >= SILENT_MS",
    to: "now - this.#heardMs >= 0",
  },
  {
    name: "a deposed leader goes on",
    file: REPLICA,
    from: 'if (this.#state === "leading") this.#depose();\n    else if',
    to: "if (false) this.#depose();\n    else if",
  },
  {
    name: "a file with groups that are not in the log is not set aside",
    file: REPLICA,
    from: "const isDiverged = !isOwn && position.confirmed < position.seq;",
    to: "const isDiverged = false;",
  },
  {
    name: "a new leader does not send what its file has and the log has not",
    file: REPLICA,
    from: "this.#sent = file.position.confirmed;",
    to: "this.#sent = file.position.seq;",
  },
  {
    name: "a group that could not be sent is not sent again",
    file: REPLICA,
    from: "this.#sent = Math.min(before, this.#sent);",
    to: "",
  },
  {
    name: "the position is not stored with the rows",
    file: REPLICA,
    from: "this.#statements.set.run(epoch, leader, seq, confirmed, next);\n    if",
    to: "if",
  },
  { name: "deletions are not captured", file: CAPTURE, from: 'on("delete", "OLD");', to: "" },
  { name: "updates are not captured", file: CAPTURE, from: 'on("update", "OLD", "NEW");', to: "" },
  {
    name: "work is answered before its group is confirmed",
    file: "unit-of-work.ts",
    from: "database.replication.committed((error) => {",
    to: "database.replication.committed(() => {}); ((call: (error?: Error) => void) => call())((error) => {",
  },
];
