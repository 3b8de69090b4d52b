import type { Message } from "@distributed-messaging/contracts";
import type { ServiceDatabase } from "@distributed-messaging/messaging";
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

/**
 * Puts itself between the kit and a service's handlers. It writes down what they handled, in their own
 * transaction; it makes some of them throw; and it sets deadlines of its own. It knows the service across all
 * the lives of its process.
 */
export class HandlerWatch {
  /** The messages that could not be handled for a time. */
  readonly cursed = new Map<string, Curse>();
  readonly #options: { service: string; faults: Faults; prng: Prng; trace: Trace };
  readonly #failures = new Map<string, number>();
  #mended = false;

  constructor(options: { service: string; faults: Faults; prng: Prng; trace: Trace }) {
    this.#options = options;
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

  #suffer({ id }: Message, incarnation: Incarnation): void {
    if (this.#mended) return;
    const curse = this.cursed.get(id) ?? this.#draw(id);
    if (curse === "refuses") throw new DomainError("this can never be handled");
    if (curse === "throws") throw new Error("this fails until it is mended");
    if (curse === "kills") {
      incarnation.crash("a message takes it down");
      throw new Crashed("with the message");
    }
  }

  #draw(id: string): Curse | undefined {
    const { faults, service, trace } = this.#options;
    const curse = faults.strikes("messageRefused")
      ? "refuses"
      : faults.strikes("messageThrows")
        ? "throws"
        : faults.strikes("messageKills")
          ? "kills"
          : undefined;
    if (curse === undefined) return undefined;
    trace.note(service, `${id} is cursed: it ${curse}`);
    this.cursed.set(id, curse);
    return curse;
  }

  #failOnce(id: string): void {
    const failures = this.#failures.get(id) ?? 0;
    if (failures >= MOST_PASSING_FAILURES) return;
    this.#failures.set(id, failures + 1);
    throw new Error("a passing failure");
  }
}
