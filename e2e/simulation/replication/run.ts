import { type PaymentData, payment, SERVICE, topics, versions } from "./ledger.ts";
import { type Machine, World } from "./machine.ts";

const FAULTS_FOR_MS = 40_000;
const QUIET_WITHIN_MS = 180_000;
const ACCOUNTS = ["a", "b", "c"];
const MACHINES = 3;
const SNAPSHOT_EVERY = 15;

export interface Outcome {
  readonly violations: readonly string[];
  /** How often another instance began to lead. */
  readonly leaders: number;
  /** How often an instance began with a snapshot. */
  readonly restored: number;
  /** Where the change log begins. */
  readonly trimmed: number;
  /** How many steps of the schema were applied. */
  readonly steps: number;
  /** How often an instance was seen that follows a schema with which its version cannot work. */
  readonly outdated: number;
  /** Requests. */
  readonly answered: number;
  /** Equal for runs in which the same things happened. */
  readonly digest: string;
  /** Its end. */
  readonly trace: readonly string[];
}

/** Runs a replicated service under every fault, in virtual time, and compares what is left with what it promised. */
export function runReplication(seed: number, payments: number, print?: (line: string) => void): Outcome {
  using world = new World(seed, MACHINES, print, false, SNAPSHOT_EVERY);
  return new Run(world).run(payments);
}

class Run {
  readonly #world: World;
  readonly #sent: PaymentData[] = [];
  /** Requests that were answered. */
  readonly #answered = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  run(payments: number): Outcome {
    const { scheduler, faults, prng, broker, machines, violations } = this.#world;
    const [first] = machines;
    // In some runs all versions can work with each other.
    const released = versions.slice(0, prng.between(2, versions.length));
    let outdated = 0;
    for (const machine of machines) machine.start();
    for (let index = 0; index < payments; index += 1) {
      scheduler.after(prng.float() * FAULTS_FOR_MS, () => this.#pay(index));
      scheduler.after(prng.float() * FAULTS_FOR_MS, () => this.#ask(`request-${index}`));
    }
    faults.enabled = true;
    this.#recur(6_000, () => prng.pick(machines).crash("at a random time"));
    this.#recur(8_000, () => prng.pick(machines).pause(prng.exponential(8_000)));
    this.#recur(9_000, () => prng.pick(machines).stop(prng.exponential(1_000)));
    this.#recur(12_000, () => prng.pick(machines).destroy(prng.exponential(2_000)));
    this.#recur(10_000, () => this.#harmNewest());
    this.#recur(12_000, () => {
      const machine = prng.pick(machines);
      machine.version = prng.pick(released);
      if (prng.chance(0.5)) machine.stop(prng.exponential(1_000));
      else machine.crash("another version");
    });
    this.#recur(1_000, () => {
      outdated += machines.filter(({ replica }) => replica?.state().outdated !== undefined).length;
    });
    this.#recur(15_000, () => {
      if (!broker.up) return;
      broker.shutDown();
      scheduler.after(prng.exponential(4_000), () => broker.startUp());
    });
    while (scheduler.step(FAULTS_FOR_MS) && violations.length === 0);
    faults.enabled = false;
    if (!broker.up) broker.startUp();
    // One that can work with every schema; the others are of any version.
    const last = prng.pick(machines);
    last.version = released.at(-1) ?? versions[0];
    last.crash("the newest version");
    this.#becomeQuiet();
    if (violations.length === 0) this.#check();
    // What is in the store and in the log is the service.
    prng.pick(machines).destroy(0);
    this.#becomeQuiet();
    if (violations.length === 0) this.#check();
    const epochs = machines.map(({ replica }) => replica?.state().epoch ?? 0);
    const restored = machines.reduce((sum, machine) => sum + machine.restored, 0);
    const steps = first === undefined || violations.length > 0 ? 0 : stepsOf(first);
    for (const machine of machines) machine.end();
    return {
      violations,
      leaders: Math.max(...epochs),
      restored,
      steps,
      outdated,
      trimmed: this.#world.changeLog.start,
      answered: this.#answered.size,
      digest: this.#world.trace.digest,
      trace: this.#world.trace.tail(150),
    };
  }

  #becomeQuiet(): void {
    const { scheduler, machines, violations } = this.#world;
    const latest = scheduler.nowMs + QUIET_WITHIN_MS;
    let until = scheduler.nowMs;
    do {
      until += 1_000;
      while (scheduler.step(until));
      for (const machine of machines) {
        machine.start();
        machine.replayDeadLetters();
      }
      if (until > latest) this.#world.violation(`it does not become quiet: ${this.#states()}`);
    } while (violations.length === 0 && !this.#isQuiet());
  }

  /** One of the two that are kept may be lost, or damaged. */
  #harmNewest(): void {
    const { store, prng, changeLog, trace } = this.#world;
    const { start } = changeLog;
    const kept = store.snapshots().slice(-2);
    const newest = kept[1];
    if (newest === undefined || kept.some(({ name, next }) => store.damaged.has(name) || next < start))
      return;
    const isLost = prng.chance(0.5);
    trace.note("store", `the snapshot of group ${newest.seq} is ${isLost ? "lost" : "damaged"}`);
    if (isLost) store.lose(newest.name);
    else store.damage(newest.name);
  }

  #recur(everyMs: number, fault: () => void): void {
    const next = () =>
      this.#world.scheduler.after(this.#world.prng.exponential(everyMs), () => {
        if (this.#world.scheduler.nowMs >= FAULTS_FOR_MS) return;
        fault();
        next();
      });
    next();
  }

  #pay(index: number): void {
    const sent = {
      payment: `payment-${index}`,
      account: this.#world.prng.pick(ACCOUNTS),
      amount: this.#world.prng.between(1, 9),
    };
    this.#sent.push(sent);
    this.#world.broker.store([payment(index, sent, this.#world.scheduler.nowMs)]);
  }

  /** A request to whoever leads, or believes to. */
  #ask(request: string): void {
    const leaders = this.#world.machines.filter(({ kit }) => kit !== undefined);
    if (leaders.length === 0) return;
    const leader = this.#world.prng.pick(leaders);
    leader.ask(request).then(
      () => {
        this.#answered.add(request);
        this.#world.trace.note(leader.name, `answers ${request}`);
      },
      () => {},
    );
  }

  #isQuiet(): boolean {
    const leader = this.#world.machines.find((machine) => machine.replica?.state().role === "leading");
    if (leader?.kit === undefined) return false;
    const rows = (table: string) => leader.read(`SELECT count(*) AS rows FROM ${table}`)[0]?.rows;
    const seqs = new Set(this.#world.machines.map((machine) => machine.replica?.state().seq));
    return (
      seqs.size === 1 &&
      rows("payments") === this.#sent.length &&
      rows("outbox") === 0 &&
      rows("timers") === 0 &&
      this.#world.machines.every(
        (machine) => machine.read("SELECT seq FROM replication")[0]?.seq === [...seqs][0],
      )
    );
  }

  #check(): void {
    const [first, ...others] = this.#world.machines;
    if (first === undefined) return;
    const content = first.content();
    for (const other of others) {
      if (other.content() !== content)
        this.#world.violation(`${other.name} and ${first.name} are not the same`);
    }
    if (this.#world.violations.length > 0) return;
    const paid = first.read("SELECT payment FROM payments").map(({ payment }) => payment);
    if (new Set(paid).size !== this.#sent.length) this.#world.violation("payments are missing");
    for (const account of ACCOUNTS) this.#checkAccount(first, account);
    if (stepsOf(first) === versions.length) this.#checkNotes(first);
    const requests = new Set(first.read("SELECT request FROM requests").map(({ request }) => request));
    for (const request of this.#answered) {
      if (!requests.has(request)) this.#world.violation(`${request} was answered, and is lost`);
    }
    const reminders = first.read("SELECT payment, fired FROM reminders");
    const due = this.#sent.filter(({ amount }) => amount % 3 === 0);
    if (reminders.length !== due.length || reminders.some(({ fired }) => fired !== 1)) {
      this.#world.violation(`${due.length} timers were set, ${JSON.stringify(reminders)} were fired`);
    }
  }

  /** Versions that make no notes do not work on a schema that says that every payment has one. */
  #checkNotes(machine: Machine): void {
    const without = machine.read(
      "SELECT payment FROM payments WHERE payment NOT IN (SELECT payment FROM notes)",
    );
    if (without.length > 0) this.#world.violation(`payments have no note: ${JSON.stringify(without)}`);
  }

  /** What was told of an account is one history: each balance follows from the one before. */
  #checkAccount(machine: Machine, account: string): void {
    const sent = new Map(this.#sent.map(({ payment, amount }) => [payment, amount]));
    const told = new Map<string, { payment: string; amount: number }>();
    for (const { value, headers } of this.#world.broker
      .partitionsOf(topics.balances.name)
      .flatMap(({ records }) => records)) {
      const envelope = JSON.parse(Buffer.from(value ?? []).toString()) as { data?: unknown; id?: string };
      const data = (envelope.data ?? envelope) as { account: string; payment: string; amount: number };
      const id = headers.ce_id ?? envelope.id ?? "";
      if (data.account !== account) continue;
      const before = told.get(id);
      if (before !== undefined && before.amount !== data.amount)
        this.#world.violation(`${id} was told twice, differently`);
      if (before === undefined) told.set(id, data);
    }
    let total = 0;
    for (const { payment, amount } of told.values()) {
      total += sent.get(payment) ?? Number.NaN;
      if (amount !== total)
        this.#world.violation(
          `the balance of ${account} was told as ${amount} after ${payment}, not as ${total}`,
        );
      sent.delete(payment);
    }
    const mine = this.#sent
      .filter((one) => one.account === account)
      .reduce((sum, one) => sum + one.amount, 0);
    const [row] = machine.read(`SELECT total FROM accounts WHERE account = '${account}'`);
    if ((row?.total ?? 0) !== mine || total !== mine) {
      this.#world.violation(`${account} has ${row?.total}, was told to have ${total}, and was paid ${mine}`);
    }
  }

  #states(): string {
    return JSON.stringify(
      this.#world.machines.map((machine) => ({ name: machine.name, ...machine.replica?.state() })),
    );
  }
}

/** How many steps of the service's schema a machine has. */
function stepsOf(machine: Machine): number {
  const [row] = machine.read(`SELECT count(*) AS steps FROM migrations WHERE scope = '${SERVICE}'`);
  return Number(row?.steps);
}
