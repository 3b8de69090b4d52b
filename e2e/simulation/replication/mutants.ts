/** A rule of the protocol, and the code without it. The text is that of the file, so that a change of the code is noticed. */
export interface CodeMutant {
  readonly name: string;
  /** In `shared/messaging`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** The test of replica.test.ts or snapshots.test.ts that notices it, where the simulation would need too many runs. */
  readonly test?: string;
}

const REPLICA = "replication/replica.ts";
const CAPTURE = "replication/capture.ts";
const SNAPSHOTS = "replication/snapshots.ts";

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
    name: "messages are sent before their group is confirmed",
    file: "outbox/outbox.ts",
    from: "this.#after.iterate(seq, this.#confirmed, limit)",
    to: "this.#after.iterate(seq, Number.MAX_SAFE_INTEGER, limit)",
    test: "messages wait in the outbox",
  },
  {
    name: "an instance leads before its own former groups are confirmed",
    file: REPLICA,
    from: "leadership.whenConfirmed((error) => {",
    to: "((call: (error?: Error) => void) => call())((error) => {",
    test: "an instance leads once the log has",
  },
  {
    name: "a group is applied although one before it is missing",
    file: REPLICA,
    from: "if (seq > position.confirmed + 1) {",
    to: "if (false) {",
    test: "a group is applied after the one before it",
  },
  {
    name: "records of a log that was left are read",
    file: REPLICA,
    from: "this.#reading === reading && this.#isReading()",
    to: "this.#isReading()",
    test: "a leader that was paused",
  },
  {
    name: "an instance that lacks something claims",
    file: REPLICA,
    from: "|| !canRead || this.#isBehind()) return;",
    to: "|| !canRead) return;",
    test: "an instance that lacks what was removed from the log does not lead",
  },
  {
    name: "a database that is not of the log is followed with",
    file: REPLICA,
    from: "if (!isOwn && position.seq === 0 && this.#file.hasTables()) {",
    to: "if (false) {",
    test: "the database of a service that was not replicated",
  },
  {
    name: "an instance leads although the service has another file",
    file: REPLICA,
    from: "if (this.#owner !== undefined && this.#owner.allows() !== true) return;",
    to: "",
    test: "until its content is in the log",
  },
  {
    name: "the change log is not the owner of the service",
    file: REPLICA,
    from: "if (error === undefined) this.#owner?.claim();",
    to: "",
    test: "until its content is in the log",
  },
  {
    name: "a leader goes on when another file takes the service over",
    file: REPLICA,
    from: 'this instance does not lead");\n        if (this.#state === "leading") this.#depose();',
    to: 'this instance does not lead");',
    test: "a leader stops when another file",
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
    from: "this.#setPosition(seq);\n    if",
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
  {
    name: "a snapshot is offered before its groups are confirmed",
    file: REPLICA,
    from: 'if (this.#state === "leading" && leadership !== undefined) {',
    to: "if (leadership === undefined) throw new Error(); else if (false) {",
    test: "no group is in a snapshot",
  },
  {
    name: "a former leader offers what is not confirmed",
    file: REPLICA,
    from: "this.#isAtEnd && confirmed === seq;",
    to: "this.#isAtEnd && confirmed <= seq;",
    test: "a former leader whose broker takes no claim",
  },
  {
    name: "a snapshot has what is not confirmed for confirmed, and what was to be sent",
    file: SNAPSHOTS,
    from: 'database.run("DELETE FROM change_log");',
    to: "",
    test: "a snapshot of a leader has none",
  },
  {
    name: "a snapshot has the identity of a file",
    file: SNAPSHOTS,
    from: 'database.run("DELETE FROM ownership");',
    to: ";",
    test: "a snapshot of a leader has none",
  },
  {
    name: "the log is trimmed to the newest snapshot",
    file: SNAPSHOTS,
    from: "Math.min(...kept",
    to: "Math.max(...kept",
    test: "the log is trimmed to the last but one",
  },
  {
    name: "the log is trimmed behind a single snapshot",
    file: SNAPSHOTS,
    from: "kept.length < KEPT",
    to: "kept.length < 1",
    test: "a follower makes snapshots",
  },
  {
    name: "a snapshot is taken that the log does not continue",
    file: SNAPSHOTS,
    from: "next >= beginning.offset && ",
    to: "",
    test: "without a snapshot that leads",
  },
  {
    name: "a snapshot of another log is taken",
    file: SNAPSHOTS,
    from: "snapshot.service === service && snapshot.log === log",
    to: "snapshot.service === service",
    test: "what is damaged, of another service",
  },
  {
    name: "a snapshot is not verified",
    file: SNAPSHOTS,
    from: "if (isWhole && isInOrder(file, snapshot)) return file;",
    to: "if (isWhole || !isWhole) return file;",
    test: "the log is trimmed to the last but one",
  },
  {
    name: "a group of another log is applied",
    file: REPLICA,
    from: "if (this.#isOfAnother(entry)) this.#lack();",
    to: "if (this.#isOfAnother(entry) && false) this.#lack();",
    test: "of another log, a group",
  },
  {
    name: "a claim of another log counts",
    file: REPLICA,
    from: "else if (isOfAnother) this.#lack();",
    to: "",
    test: "of another log, a claim",
  },
  {
    name: "what is not whole counts",
    file: "replication/snapshot-store.ts",
    from: "if (Number(size) !== bytes) return undefined;",
    to: "",
    test: "what is not whole",
  },
  {
    name: "an instance begins again and again with a snapshot that lacks something",
    file: SNAPSHOTS,
    from: "this.#begunWith.add(name);",
    to: "void name;",
    test: "an instance that lacks something with a snapshot",
  },
  {
    name: "a file that lacks something is deleted",
    file: REPLICA,
    from: "this.#file.isEmpty() ? this.#file.remove() : this.#file.setAside()",
    to: "this.#file.remove()",
    test: "an instance that lacks what was removed from the log sets",
  },
  {
    name: "a file that is set aside takes the place of one that was",
    file: REPLICA,
    from: "for (let count = 2; existsSync(aside); count += 1)",
    to: "for (let count = 2; count < 2; count += 1)",
    test: "an instance that lacks something with a snapshot",
  },
  {
    name: "a group that was read in part is not read anew",
    file: REPLICA,
    from: "if (this.#parts.length === 0) file.resume = position.next;",
    to: "file.resume = position.next;",
    test: "a follower that ends after a part",
  },
  {
    name: "a failure to trim is a failure to make",
    file: SNAPSHOTS,
    from: 'this.#failing.failed(\n        "trimming",',
    to: 'throw error; this.#failing.failed(\n        "trimming",',
    test: "without the right to delete",
  },
  {
    name: "a failure of the store is a failure of the instance",
    file: SNAPSHOTS,
    from: 'this.#failing.failed("taking",',
    to: 'throw error; this.#failing.failed("taking",',
    test: "while the store fails",
  },
];
