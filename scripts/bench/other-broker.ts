import { errorText, silentLogger } from "@distributed-messaging/messaging";
import { type Admin, KafkaClient, type KafkaSettings } from "@distributed-messaging/messaging/kafka";
import { commonSettings, kafkaSettings, loadConfig } from "@distributed-messaging/service/config";
import { storeTopics } from "@distributed-messaging/services/registry";
import { Type } from "@sinclair/typebox";
import { CommandFailed } from "../command/command.ts";

/** Brokers delete topics some time after they have answered. */
const DELETION_TIMEOUT_MS = 30_000;

/** A running broker to measure with. Store and floor have topics of the same names, so each needs it without them. */
export class OtherBroker {
  readonly #settings: KafkaSettings;
  readonly #mayDelete: boolean;

  private constructor(settings: KafkaSettings, mayDelete: boolean) {
    this.#settings = settings;
    this.#mayDelete = mayDelete;
  }

  /**
   * The broker that KAFKA_BROKERS names; undefined where that is not set.
   *
   * @param mayDelete whether topics that it has may be deleted
   * @throws ConfigError; CommandFailed when clients have to use TLS or authenticate
   */
  static of(env: Readonly<Record<string, string | undefined>>, mayDelete: boolean): OtherBroker | undefined {
    if (!env.KAFKA_BROKERS?.trim()) return undefined;
    const settings = kafkaSettings("bench", loadConfig(Type.Object(commonSettings), env, "bench"));
    if (settings.ssl || settings.sasl) {
      throw new CommandFailed("KAFKA_SSL, KAFKA_SASL_MECHANISM: the floor uses neither TLS nor SASL");
    }
    return new OtherBroker(settings, mayDelete);
  }

  /** The value of KAFKA_BROKERS. */
  get address(): string {
    return this.#settings.brokers.join(",");
  }

  /** @throws CommandFailed when it does not answer, or has topics that must not be deleted */
  async makeReady(): Promise<void> {
    await this.#asAdmin(async (admin) => {
      const found = await topicsOf(admin);
      if (found.length > 0 && !this.#mayDelete) {
        throw new CommandFailed(
          `the broker at ${this.address} has the topics ${found.join(", ")}; use another one, or --delete-topics`,
        );
      }
      await deleteTopics(admin, found);
    });
  }

  /** Deletes the topics that a system has created. @throws CommandFailed */
  async clear(): Promise<void> {
    await this.#asAdmin(async (admin) => deleteTopics(admin, await topicsOf(admin)));
  }

  async #asAdmin(act: (admin: Admin) => Promise<void>): Promise<void> {
    const admin = new KafkaClient(this.#settings, silentLogger).kafka.admin();
    try {
      await admin.connect();
      await act(admin);
    } catch (error) {
      if (error instanceof CommandFailed) throw error;
      throw new CommandFailed(`the broker at ${this.address}: ${errorText(error)}`);
    } finally {
      await admin.disconnect();
    }
  }
}

async function topicsOf(admin: Admin): Promise<string[]> {
  const existing = new Set(await admin.listTopics());
  return storeTopics.map(({ name }) => name).filter((name) => existing.has(name));
}

async function deleteTopics(admin: Admin, topics: string[]): Promise<void> {
  if (topics.length === 0) return;
  await admin.deleteTopics({ topics });
  const deadline = performance.now() + DELETION_TIMEOUT_MS;
  while ((await topicsOf(admin)).length > 0) {
    if (performance.now() > deadline) throw new Error("topics are still there after their deletion");
    await Bun.sleep(50);
  }
}
