import type { Message, ServiceDatabase } from "@distributed-messaging/messaging";
import { DomainError, type Handler, on, type TimerHandler } from "@distributed-messaging/messaging";
import type { Faults } from "./faults.ts";
import { Crashed, type Incarnation } from "./incarnation.ts";
import type { Prng } from "./prng.ts";
import type { Trace } from "./trace.ts";

/** What is wrong with handling a message, for as long as nobody has mended the code. */
type Curse = "refuses" | "throws" | "kills";

/** How often one message may fail in passing: well within what the kit tries. */
const MOST_PASSING_FAILURES = 3;
/** A deadline is set for one message in so many. */
const TIMER_CHANCE = 0.1;
const TIMER_MS = 8_000;
const TIMER = "simulation";

/** Three that count and one that nobody knew to be alone; as many again for those who replay it; and some luck. */
const MOST_KILLS = 12;

const CONTAGION = 0.2;

interface WatchOptions {
  readonly service: string;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
  violation(text: string): void;
}

/**
 * Puts itself between the kit and a service's handlers. It writes down what they handled, in their own
 * transaction; it makes some of them throw; and it sets deadlines of its own. It knows the service across all
 * the lives of its process.
 */
export class HandlerWatch {
  /** The messages that could not be handled for a time. */
  readonly cursed = new Map<string, Curse>();
  /** How often each of those that kill has done so. */
  readonly kills = new Map<string, number>();
  readonly #options: WatchOptions;
  readonly #cursedKeys = new Set<string>();
  readonly #failures = new Map<string, number>();
  #mended = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Something is wrong with messages of this key: more of them may turn out so. */
  suspect(key: string): void {
    this.#cursedKeys.add(key);
  }

  /** From now on every message can be handled: what was parked succeeds when it is replayed. */
  mend(): void {
    this.#mended = true;
  }

  watch(handlers: readonly Handler[], { sql }: ServiceDatabase, incarnation: Incarnation): Handler[] {
    const { service, faults, prng, trace } = this.#options;
    const handled = sql.prepare("INSERT INTO simulation_handled (topic, key, message_id) VALUES (?, ?, ?)");
    const set = sql.prepare("INSERT INTO simulation_timers (key, fired) VALUES (?, 0)");
    return handlers.map(({ definition, handle }) =>
      on(definition, (message, transaction) => {
        this.#suffer(message, incarnation);
        if (faults.strikes("handlerThrows")) this.#failOnce(message.id);
        handle(message, transaction);
        handled.run(definition.topic.name, message.subject, message.id);
        if (prng.chance(TIMER_CHANCE)) {
          transaction.setTimer({
            name: TIMER,
            key: message.id,
            dueAt: transaction.now + prng.between(0, TIMER_MS),
          });
          set.run(message.id);
        }
        trace.note(service, `handles ${message.type} of ${message.subject}`);
        if (faults.strikes("handlerThrowsLate")) this.#failOnce(message.id);
      }),
    );
  }

  /** What becomes of the deadlines that were set here. */
  timers({ sql }: ServiceDatabase): TimerHandler[] {
    const { service, faults, trace } = this.#options;
    const fired = sql.prepare("UPDATE simulation_timers SET fired = fired + 1 WHERE key = ?");
    const fire: TimerHandler["fire"] = ({ key }) => {
      if (faults.strikes("handlerThrows")) this.#failOnce(`timer ${key}`);
      fired.run(key);
      trace.note(service, `a deadline of ${key} comes`);
      if (faults.strikes("handlerThrowsLate")) this.#failOnce(`timer ${key}`);
    };
    return [{ name: TIMER, fire }];
  }

  #suffer(message: Message, incarnation: Incarnation): void {
    if (this.#mended) return;
    const curse = this.cursed.get(message.id) ?? this.#draw(message);
    if (curse === "refuses") throw new DomainError("this can never be handled");
    if (curse === "throws") throw new Error("this fails until it is mended");
    if (curse === "kills") this.#kill(message.id, incarnation);
  }

  #kill(id: string, incarnation: Incarnation): never {
    const { service, violation } = this.#options;
    const kills = (this.kills.get(id) ?? 0) + 1;
    this.kills.set(id, kills);
    if (kills > MOST_KILLS) violation(`${id} has taken ${service} down ${kills} times`);
    incarnation.crash("a message takes it down");
    throw new Crashed("with the message");
  }

  #draw({ id, subject }: Message): Curse | undefined {
    const { faults, prng, service, trace } = this.#options;
    const occasions = [
      ["refuses", "messageRefused"],
      ["throws", "messageThrows"],
      ["kills", "messageKills"],
    ] as const;
    const struck = occasions.filter(([, fault]) => faults.strikes(fault));
    // What is wrong with one message of a key is often wrong with the next.
    const contagion = faults.enabled && this.#cursedKeys.has(subject) && prng.chance(CONTAGION);
    if (struck.length === 0 && !contagion) return undefined;
    const [curse] = prng.pick(struck.length > 0 ? struck : occasions);
    trace.note(service, `${id} is cursed: it ${curse}`);
    this.cursed.set(id, curse);
    this.#cursedKeys.add(subject);
    return curse;
  }

  #failOnce(id: string): void {
    const failures = this.#failures.get(id) ?? 0;
    if (failures >= MOST_PASSING_FAILURES) return;
    this.#failures.set(id, failures + 1);
    throw new Error("a passing failure");
  }
}
