import {
  ALL_PARTITIONS,
  type Messaging,
  type Migration,
  newerSteps,
  type PartitionStop,
  type Refusal,
  type ServiceDatabase,
} from "@distributed-messaging/messaging";
import type { HealthCheck, Problem } from "./http/health.ts";

interface Checked {
  readonly name: string;
  readonly database: ServiceDatabase;
  readonly migrations: readonly Migration[];
  readonly messaging: Messaging;
  /** Whether the service is not ready while messages cannot be sent or read. */
  readonly brokerRequired: boolean;
  readonly gaps: "stop" | "continue";
  /** Whether other instances work at the same time: requests go there while this one has nothing to show. */
  readonly isOneOfSeveral?: boolean;
  /**
   * Of a replicated service: whether its change log is read. The broker answers then, and an instance that has just begun to
   * lead is ready before its consumer has joined the group.
   */
  readonly reachesBroker?: () => boolean;
}

const CATCHING_UP: Problem = {
  detail: "Its database is new, and the topics have not been read to their ends yet.",
  remedy: "It goes on by itself, once the broker answers.",
};
const STOPPING: Problem = {
  detail: "The process was told to stop. It still answers.",
  remedy: "It ends by itself. Send requests to another instance.",
};
/** For how long it is shown that something was lost or old, which needs no decision for the service to go on. */
const SHOWN_MS = 24 * 60 * 60 * 1000;
/** As brokers and kafkajs word it. */
const FORBIDDEN = /not authori[sz]ed|authori[sz]ation failed|authentication failed|access denied/i;
/** Host names, addresses and paths stay in the log: anybody may ask for the readiness. */
const PLACES =
  /\b(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]|[\w.-]+):\d{2,5}\b|(?:^|(?<=[\s'"(]))\/[^\s'"]+/gi;

/** The check of a process that was told to stop. */
export function drainCheck(): { readonly check: HealthCheck; begin(): void } {
  let isStopping = false;
  return {
    check: { name: "stopping", required: true, problems: () => (isStopping ? [STOPPING] : []) },
    begin() {
      isStopping = true;
    },
  };
}

/**
 * The checks of `GET /readiness`. Each problem says what happened and what to do about it.
 *
 * A service is not ready, and no requests are sent to it, only where it could not do its work: it can neither read nor
 * store, or lives on messages and gets none. What concerns some messages, or needs an operator while all others go on,
 * is shown. See decision 61.
 */
export function readinessChecks(checked: Checked): HealthCheck[] {
  const { name, database, migrations, messaging, brokerRequired, gaps, isOneOfSeveral = false } = checked;
  const { partitionStops } = messaging;
  const joins = () => {
    const { sending, reading } = messaging.failures();
    return checked.reachesBroker?.() === true && sending === undefined && reading === undefined;
  };
  const stops = () => partitionStops.list();
  return [
    {
      name: "database",
      required: true,
      problems: () => {
        database.sql.query("SELECT 1 FROM migrations").get();
        return [];
      },
      remedy: "Look at the disk, then start the service again; from a backup if the file is damaged.",
    },
    {
      name: "storage",
      required: true,
      problems: () => only(messaging.storageFault(), storageProblem),
    },
    {
      name: "ownership",
      required: true,
      problems: () => ownershipProblems(name, messaging),
    },
    {
      name: "broker",
      required: brokerRequired,
      // A process that is not the service asks for no messages.
      problems: () =>
        messaging.healthy() || messaging.ownership()?.state === "refused" || joins()
          ? []
          : [brokerProblem(messaging)],
    },
    {
      name: "partitions",
      required: brokerRequired,
      problems: () =>
        stops()
          .filter(({ reason }) => reason !== "gap")
          .map((stop) => stopProblem(name, stop)),
    },
    {
      name: "gaps",
      required: brokerRequired && gaps === "stop",
      problems: () => [
        ...stops()
          .filter(({ reason }) => reason === "gap")
          .map((stop) => stopProblem(name, stop)),
        ...(gaps === "stop" ? [] : partitionStops.done("gap", "skip", Date.now() - SHOWN_MS)).map(
          ({ topic, partition, error }) => ({
            detail: `${topic}/${partition}: ${error}. Reading went on, as GAPS=continue has it.`,
            remedy:
              "Find out what was in the lost records and repair it, and give the topic a longer retention. Shown for a day.",
          }),
        ),
      ],
    },
    {
      name: "topics",
      required: false,
      problems: () =>
        messaging
          .topicFindings()
          .filter(({ severity }) => severity === "error")
          .map(({ topic, text }) => ({
            detail: `The topic ${topic}: ${text}.`,
            remedy:
              "Correct the topic, or create it with `bun scripts/provision.ts`. It is checked every ten minutes.",
          })),
    },
    ...(isOneOfSeveral
      ? [
          {
            name: "catching-up",
            required: true,
            problems: () => (messaging.isCatchingUp() ? [CATCHING_UP] : []),
          },
        ]
      : []),
    { name: "rights", required: false, problems: () => rightsProblems(name, messaging) },
    { name: "outbox", required: false, problems: () => outboxProblems(name, messaging) },
    {
      name: "database-age",
      required: false,
      problems: () =>
        partitionStops
          .done("older-database", "read-again", Date.now() - SHOWN_MS)
          .map(({ topic, partition, error }) => ({
            detail: `The database is older than it was: of ${topic}/${partition}, ${error}.`,
            remedy:
              "Was it restored or deleted? Messages are read again by themselves; what was accepted by HTTP since the copy is lost. Compare with the other services. Shown for a day.",
          })),
    },
    {
      name: "schema",
      required: false,
      problems: () =>
        only(
          [...newerSteps(database, name, migrations), ...messaging.newerSteps()].join(", ") || undefined,
          (steps) => ({
            detail: `A newer version has added to the database: ${steps}.`,
            remedy:
              "Go back to the newer version when it is possible; this one leaves what it does not know alone.",
          }),
        ),
    },
  ];
}

function only(text: string | undefined, problem: (text: string) => Problem): Problem[] {
  return text === undefined ? [] : [problem(text)];
}

const DIFFERENCES: Readonly<Record<Refusal, readonly [detail: string, remedy: string]>> = {
  "another-file": [
    "Its database is not the one of the service",
    "Start it on the database of the service, or restore a backup of that: `bun run restore`. If that database is lost for good: `bun run owner take-over`.",
  ],
  "older-file": [
    "Its database is not the newest copy of that of the service, which has handled or sent messages since",
    "Start it on the newest copy. If that is lost for good, stop it, and bring this one to what was published since: `bun run recover`.",
  ],
  replicated: [
    "The service has several instances and a change log, and this process does not follow that",
    "Start it with REPLICATION=on, on an empty DATA_DIR or on that of one of the instances.",
  ],
  "running-elsewhere": [
    "The service runs elsewhere, on another copy of this database",
    "Stop one of them: the one that ran before goes on.",
  ],
  "taken-over": [
    "Another process has taken the service over from this one",
    "Stop this one, and set its database aside: what it had stored and not sent is only there.",
  ],
};

function ownershipProblems(service: string, messaging: Messaging): Problem[] {
  const state = messaging.ownership();
  if (state?.state !== "refused") return [];
  const { epoch, since } = state.owner;
  const [difference, remedy] = DIFFERENCES[state.reason];
  return [
    {
      detail: `${difference}. It does nothing. The owner of ${service} has epoch ${epoch}, since ${new Date(since).toISOString()}.`,
      remedy,
    },
  ];
}

function storageProblem(fault: string): Problem {
  const isFull = fault.includes("full");
  const isReadOnly = fault.includes("readonly");
  return {
    detail: `Nothing can be stored: ${isFull ? "the disk is full" : withoutPlaces(fault)}. Requests that change something are refused, reads go on.`,
    remedy: isFull
      ? "Free space on the disk of the data directory, or enlarge it. The service goes on by itself."
      : isReadOnly
        ? "Make the disk of the data directory writable again. The service goes on by itself."
        : "Look at the disk of the data directory. The service goes on by itself once it can write.",
  };
}

function brokerProblem(messaging: Messaging): Problem {
  const { sending, reading } = messaging.failures();
  const what = sending !== undefined ? "sent" : "read";
  const cause = causeInWords(sending ?? reading);
  return {
    detail: `Messages cannot be ${what}: ${cause}. They wait, and none is lost.`,
    remedy: FORBIDDEN.test(sending ?? reading ?? "")
      ? "See the check rights."
      : "Start the broker, or correct KAFKA_BROKERS or the network. The service goes on by itself.",
  };
}

/** The causes that have a plain name. */
const CAUSES: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED|connection refused/i, "no broker listens at the address"],
  [/ENOTFOUND|EAI_AGAIN|getaddrinfo/i, "the broker's host name is not known"],
  [/certificate|\bTLS\b|\bSSL\b|self.signed/i, "TLS with the broker fails"],
  [/timed? ?out|did not answer|not fetched|nothing was fetched/i, "the broker does not answer"],
];

function causeInWords(error: string | undefined): string {
  if (error === undefined) return "the broker has not delivered yet";
  return CAUSES.find(([pattern]) => pattern.test(error))?.[1] ?? withoutPlaces(error);
}

function withoutPlaces(text: string): string {
  return text.replace(PLACES, "…").slice(0, 300);
}

function stopProblem(service: string, { topic, partition, reason, error, offset }: PartitionStop): Problem {
  const place = partition === ALL_PARTITIONS ? `The topic ${topic}` : `${topic}/${partition}`;
  const done = partition === ALL_PARTITIONS ? "is not written" : `is stopped at offset ${offset}`;
  return {
    detail: `${place} ${done} (${reason}): ${withoutPlaces(error)}.`,
    remedy:
      reason === "dead-letters-full"
        ? `Replay or discard dead letters: \`bun run dead-letters\`. It goes on by itself.`
        : `Decide how it goes on: \`bun run partitions\`, service ${service}.`,
  };
}

function rightsProblems(service: string, messaging: Messaging): Problem[] {
  const { sending, reading } = messaging.failures();
  const remedy = `Grant ${service} the rights that \`bun run access\` lists, or correct its credentials.`;
  const refused = messaging
    .refusals()
    .filter(({ error }) => FORBIDDEN.test(error))
    .map(({ topic, error }) => ({
      detail: `The broker refuses to write ${topic}: ${withoutPlaces(error)}.`,
      remedy,
    }));
  const failed = [sending, reading].filter((error) => error !== undefined && FORBIDDEN.test(error));
  return [
    ...refused,
    ...failed.map((error = "") => ({
      detail: `The broker refuses ${service}: ${withoutPlaces(error)}.`,
      remedy,
    })),
  ];
}

function outboxProblems(service: string, messaging: Messaging): Problem[] {
  const parked = messaging.parked.count();
  return [
    ...messaging.refusals().map(({ topic, error }) => ({
      detail: `The broker does not take ${topic}, its messages wait in the outbox: ${withoutPlaces(error)}.`,
      remedy: "Create or correct the topic, or the right to write it. They are sent by themselves.",
    })),
    ...(parked === 0
      ? []
      : [
          {
            detail: `Outgoing messages are parked, ${parked} of them: the broker refused them or an earlier one of their key.`,
            remedy: `Release or discard them: \`bun run outbox\`, service ${service}.`,
          },
        ]),
  ];
}
