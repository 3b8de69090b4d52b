import {
  closed,
  DomainError,
  defineEffect,
  type Effect,
  type Handler,
  type Message,
  on,
  type ServiceDatabase,
  type TimerHandler,
  type Transaction,
} from "@distributed-messaging/messaging";
import { Type } from "@sinclair/typebox";
import type { Faults } from "./faults.ts";
import type { SeededFault } from "./mutants.ts";
import type { Prng } from "./prng.ts";
import { Crashed, type Incarnation, type Scheduler, type Trace } from "./scheduler.ts";

/** What happens whenever a message is handled, for as long as its handler has a bug. */
type Bug = "refuses" | "throws" | "crashes";

/** How often handling one message fails transiently: fewer times than the kit retries. */
const MAX_TRANSIENT_FAILURES = 3;
/** One message in so many sets a timer. */
const TIMER_CHANCE = 0.1;
const MAX_TIMER_MS = 8_000;
const TIMER = "simulation";
/** One message in so many enqueues an effect. */
const EFFECT_CHANCE = 0.1;
/** How long the other system takes to perform an effect: at times longer than the effect waits. */
const MAX_EFFECT_MS = 1_500;
const EFFECT_TIMEOUT_MS = 1_200;
/**
 * A message may crash its process three times as counted by the crash guard, once in a batch, as often again when it
 * is replayed, and a few times that other crashes hide from the guard.
 */
const MAX_CRASHES = 12;
/** How likely the next message of a key fails permanently if one of that key did. */
const SAME_KEY_CHANCE = 0.2;

const EffectInput = Type.Object({ id: Type.String() }, closed);

interface Options {
  readonly service: string;
  readonly faults: Faults;
  readonly prng: Prng;
  readonly trace: Trace;
  readonly scheduler: Scheduler;
  readonly mutant: SeededFault;
  violation(text: string): void;
}

/**
 * Wraps a service's handlers: records in the ledger what they handled, injects their faults, sets timers and enqueues
 * effects. Its state outlives the service's processes.
 */
export class InstrumentedHandlers {
  /** The messages that could not be handled before `repair`. */
  readonly bugs = new Map<string, Bug>();
  /** What the other system was asked to perform: the idempotency keys for each message. */
  readonly performed = new Map<string, Set<string>>();
  readonly #options: Options;
  readonly #keys = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #crashes = new Map<string, number>();
  /** The ids of what was emitted for a message, by position, also if it was rolled back. */
  readonly #emitted = new Map<string, string[]>();
  #repaired = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Makes bugs with messages of this key more likely. */
  suspect(key: string): void {
    this.#keys.add(key);
  }

  /** From now on every message can be handled. */
  repair(): void {
    this.#repaired = true;
  }

  wrap(
    handlers: readonly Handler[],
    effect: Effect<typeof EffectInput>,
    { sql }: ServiceDatabase,
    incarnation: Incarnation,
  ): Handler[] {
    const { service, faults, prng, trace } = this.#options;
    const handled = sql.prepare("INSERT INTO simulation_handled (topic, key, message_id) VALUES (?, ?, ?)");
    const handling = sql.prepare("INSERT INTO simulation_handlings (message_id, at) VALUES (?, ?)");
    const set = sql.prepare("INSERT INTO simulation_timers (key, fired) VALUES (?, 0)");
    const enqueued = sql.prepare("INSERT INTO simulation_effects (key, completed) VALUES (?, 0)");
    return handlers.map(({ definition, handle }) =>
      on(definition, (message, transaction, position) => {
        this.#runIntoBug(message, incarnation);
        if (faults.occurs("handlerThrows")) this.#failTransiently(message.id);
        handle(message, this.#recording(message, transaction), position);
        handled.run(definition.topic.name, message.subject, message.id);
        handling.run(message.id, transaction.now);
        if (prng.chance(TIMER_CHANCE)) {
          const dueAt = transaction.now + prng.between(0, MAX_TIMER_MS);
          transaction.setTimer({ name: TIMER, key: message.id, dueAt });
          set.run(message.id);
        }
        if (prng.chance(EFFECT_CHANCE)) {
          transaction.enqueue(effect, { id: message.id });
          enqueued.run(message.id);
        }
        trace.note(service, `handles ${message.type} of ${message.subject}`);
        if (faults.occurs("handlerThrowsLate")) this.#failTransiently(message.id);
      }),
    );
  }

  /** Records in the ledger which of a service's own timers fired. */
  wrapTimers(timers: readonly TimerHandler[], { sql }: ServiceDatabase): TimerHandler[] {
    const handling = sql.prepare("INSERT INTO simulation_handlings (message_id, at) VALUES (NULL, ?)");
    return timers.map(({ name, fire }) => ({
      name,
      fire: (timer, transaction) => {
        fire(timer, transaction);
        handling.run(transaction.now);
      },
    }));
  }

  /** The handler of the timers that `wrap` sets. */
  timer({ sql }: ServiceDatabase): TimerHandler {
    const { service, faults, trace } = this.#options;
    const fired = sql.prepare("UPDATE simulation_timers SET fired = fired + 1 WHERE key = ?");
    return {
      name: TIMER,
      fire: ({ key }) => {
        if (faults.occurs("handlerThrows")) this.#failTransiently(`timer ${key}`);
        fired.run(key);
        trace.note(service, `timer of ${key} fires`);
        if (faults.occurs("handlerThrowsLate")) this.#failTransiently(`timer ${key}`);
      },
    };
  }

  /** The effect that `wrap` enqueues: it calls another system, which may be slow or fail. */
  effect({ sql }: ServiceDatabase, incarnation: Incarnation): Effect<typeof EffectInput> {
    const { service, faults, prng, trace, scheduler } = this.#options;
    const completed = sql.prepare("UPDATE simulation_effects SET completed = completed + 1 WHERE key = ?");
    return defineEffect({
      name: "simulation",
      input: EffectInput,
      timeoutMs: EFFECT_TIMEOUT_MS,
      // The kit's bound on tries is tested elsewhere.
      retry: { backoff: { firstMs: 20, mostMs: 500 }, attempts: 1_000 },
      run: ({ id }, { idempotencyKey }) => {
        const keys = this.performed.get(id) ?? new Set();
        this.performed.set(id, keys.add(idempotencyKey));
        return new Promise<void>((resolve, reject) => {
          const fails = faults.occurs("effectFails");
          const delayMs = faults.enabled ? prng.float() * MAX_EFFECT_MS : 1;
          const respond = () => (fails ? reject(new Error("the other system fails")) : resolve());
          scheduler.after(delayMs, respond, incarnation);
        });
      },
      completed: (_output, { id }) => {
        if (faults.occurs("handlerThrows")) this.#failTransiently(`effect ${id}`);
        completed.run(id);
        trace.note(service, `effect of ${id} is completed`);
      },
    });
  }

  /** The same transaction, which checks that the same cause and position give the same id. */
  #recording(message: Message, original: Transaction): Transaction {
    const { service, mutant, violation } = this.#options;
    const transaction = mutant.transaction?.(original, message) ?? original;
    const ids = this.#emitted.get(message.id) ?? [];
    this.#emitted.set(message.id, ids);
    // A message that is handled again, because it was rolled back, may decide otherwise: everything that has an id counts.
    let position = 0;
    const check = (id: string) => {
      const before = ids[position];
      if (before !== undefined && before !== id) {
        violation(
          `${service} emits ${id} for ${message.id} at ${position}, where it emitted ${before} before`,
        );
      }
      ids[position] = id;
      position += 1;
      return id;
    };
    return {
      ...transaction,
      emit: (definition, data) => check(transaction.emit(definition, data)),
      emitLatest: (definition, data) => check(transaction.emitLatest(definition, data)),
      enqueue: (effect, input) => check(transaction.enqueue(effect, input)),
      setTimer: (timer) => {
        transaction.setTimer(timer);
        // Its id is not told.
        position += 1;
      },
    };
  }

  #runIntoBug(message: Message, incarnation: Incarnation): void {
    if (this.#repaired) return;
    const bug = this.bugs.get(message.id) ?? this.#drawBug(message);
    if (bug === "refuses") throw new DomainError("this message cannot be handled");
    if (bug === "throws") throw new Error("this message fails until the handler is repaired");
    if (bug === "crashes") this.#crash(message.id, incarnation);
  }

  #crash(id: string, incarnation: Incarnation): never {
    const { service, violation } = this.#options;
    const crashes = (this.#crashes.get(id) ?? 0) + 1;
    this.#crashes.set(id, crashes);
    if (crashes > MAX_CRASHES) violation(`${service} crashed ${crashes} times at ${id}`);
    incarnation.crash(`at message ${id}`);
    throw new Crashed("at a message");
  }

  #drawBug({ id, subject }: Message): Bug | undefined {
    const { faults, prng, service, trace } = this.#options;
    const kinds = [
      ["refuses", "messageRefused"],
      ["throws", "messageThrows"],
      ["crashes", "messageKills"],
    ] as const;
    const occurring = kinds.filter(([, fault]) => faults.occurs(fault));
    const sameKey = faults.enabled && this.#keys.has(subject) && prng.chance(SAME_KEY_CHANCE);
    if (occurring.length === 0 && !sameKey) return undefined;
    const [bug] = prng.pick(occurring.length > 0 ? occurring : kinds);
    trace.note(service, `bug: ${bug} at ${id}`);
    this.bugs.set(id, bug);
    this.#keys.add(subject);
    return bug;
  }

  #failTransiently(id: string): void {
    const failures = this.#failures.get(id) ?? 0;
    if (failures >= MAX_TRANSIENT_FAILURES) return;
    this.#failures.set(id, failures + 1);
    throw new Error("a transient failure");
  }
}
