import type { Admin } from "kafkajs";
import type { Logger } from "../../runtime.ts";
import { atMost, DISCONNECT_TIMEOUT_MS, KafkaClient, type KafkaSettings, within } from "./client.ts";

const ANSWER_TIMEOUT_MS = 3_000;

/** Asks a cluster questions, over one connection that is made anew when it has to be. */
export class KafkaAdmin {
  readonly #settings: KafkaSettings;
  readonly #log: Logger;
  #life: AdminSession | undefined;

  constructor(settings: KafkaSettings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
  }

  /** @throws when the broker does not answer */
  async ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    if (this.#life !== undefined) {
      // Its connection may be to a broker that has been started anew since: then a fresh one is asked.
      try {
        return await this.#attempt(this.#life, question);
      } catch {}
    }
    this.#life ??= new AdminSession(new KafkaClient(this.#settings, this.#log));
    return this.#attempt(this.#life, question);
  }

  async #attempt<T>(life: AdminSession, question: (admin: Admin) => Promise<T>): Promise<T> {
    try {
      return await within(ANSWER_TIMEOUT_MS, "asking the broker", life.ready.then(question));
    } catch (error) {
      if (this.#life === life) this.#life = undefined;
      life.abandon();
      throw error;
    }
  }

  async close(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    await life?.end();
  }
}

class AdminSession {
  readonly ready: Promise<Admin>;
  readonly #client: KafkaClient;

  constructor(client: KafkaClient) {
    this.#client = client;
    const admin = client.kafka.admin();
    this.ready = admin.connect().then(() => admin);
    this.ready.catch(() => {});
  }

  async end(): Promise<void> {
    await atMost(
      DISCONNECT_TIMEOUT_MS,
      this.ready.then((admin) => admin.disconnect()),
    );
    this.abandon();
  }

  abandon(): void {
    this.#client.destroy();
  }
}
