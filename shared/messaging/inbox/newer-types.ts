import { type ReadRecord, readCloudEvent } from "../contract/cloud-event.ts";
import { type MessageDefinition, VERSIONED } from "../contract/define.ts";
import { changeRows, type ServiceDatabase } from "../database.ts";

/** Where messages of a type come from. */
interface Origin {
  readonly topic: string;
  readonly source: string;
}

/**
 * The types that a newer version of this service handles and this one does not know: those that such a version has
 * recorded in the database, and later versions of the types that this one handles.
 */
export class NewerTypes {
  readonly #recorded: ReadonlyMap<string, Origin>;
  /** By the name without the version. */
  readonly #handled: ReadonlyMap<string, Origin & { readonly version: number }>;

  /** Records the types of the handlers, for older versions that the database is given to. */
  constructor(database: ServiceDatabase, definitions: readonly MessageDefinition[]) {
    const { sql } = database;
    const origins = definitions.map(({ type, topic, source }) => ({ type, topic: topic.name, source }));
    using select = sql.prepare<Origin & { type: string }, []>(
      "SELECT type, topic, source FROM handled_types",
    );
    using record = sql.prepare(
      `INSERT INTO handled_types (type, topic, source) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET topic = excluded.topic, source = excluded.source`,
    );
    this.#recorded = new Map(select.all().map(({ type, ...origin }) => [type, origin]));
    const isRecorded = ({ type, topic, source }: Origin & { type: string }) => {
      const known = this.#recorded.get(type);
      return known?.topic === topic && known.source === source;
    };
    const added = origins.filter((origin) => !isRecorded(origin));
    if (added.length > 0) {
      changeRows(database, () => {
        for (const { type, topic, source } of added) record.run(type, topic, source);
      });
    }
    this.#handled = new Map(
      origins.flatMap(({ type, ...origin }) => {
        const [, name, version] = VERSIONED.exec(type) ?? [];
        return name === undefined ? [] : [[name, { ...origin, version: Number(version) }] as const];
      }),
    );
  }

  /**
   * What to tell an operator about a record of an unknown type, if it is for a newer version. One that does not keep to
   * the topic, the source and the key of its type is not: it could block keys that are not its own.
   */
  detailOf(record: ReadRecord): string | undefined {
    const event = readCloudEvent(record);
    if (typeof event === "string") return undefined;
    const { type, source, subject } = event;
    const origin = this.#recorded.get(type) ?? this.#laterVersion(type);
    if (origin === undefined || record.topic !== origin.topic || record.key !== subject) return undefined;
    if (source !== origin.source && !source.startsWith(`${origin.source}/`)) return undefined;
    return `${type} is for a newer version of this service, whose start releases it`;
  }

  #laterVersion(type: string): Origin | undefined {
    const [, name = "", version] = VERSIONED.exec(type) ?? [];
    const handled = this.#handled.get(name);
    return handled !== undefined && Number(version) > handled.version ? handled : undefined;
  }
}
