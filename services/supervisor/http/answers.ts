import { Type } from "@sinclair/typebox";

/* The answers of `reports.ts` as schemas, for the OpenAPI document. */

export const PROCESSES = { name: "processes", description: "The processes of the store on this machine" };
export const FIGURES = { name: "figures", description: "What the store does at the moment" };

const Count = Type.Integer({ minimum: 0 });
const Text = Type.String();
const orNull = <Schema extends ReturnType<typeof Type.Number> | typeof Text | typeof Count>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);
const Figure = orNull(Type.Number());

export const ProcessAnswer = Type.Object({
  name: Text,
  state: Type.Union(
    ["starting", "ready", "paused", "backing-off", "stopping", "stopped"].map((state) => Type.Literal(state)),
  ),
  pid: orNull(Count),
  restarts: Count,
});

export const LogLineAnswer = Type.Object({
  at: Type.Integer(),
  source: Type.Union(["stdout", "stderr", "supervisor"].map((source) => Type.Literal(source))),
  line: Text,
});

export const FiguresAnswer = Type.Object({
  at: Count,
  services: Type.Array(
    Type.Object({
      name: Text,
      ...{ outboxDepth: Figure, outboxOldestAgeS: Figure },
      ...{ deadLetters: Figure, handled: Figure, duplicates: Figure },
      ...{ outboxParked: Figure, partitionsStopped: Figure, problems: Type.Array(Text) },
      instances: Type.Array(
        Type.Object({ name: Text, leads: Type.Union([Type.Boolean(), Type.Null()]), behind: orNull(Count) }),
      ),
    }),
  ),
  lag: Type.Union([Type.Record(Text, Count), Type.Null()]),
});

export const TopicAnswer = Type.Object({
  name: Text,
  partitions: Type.Array(Type.Object({ partition: Count, earliest: Count, latest: Count })),
  groups: Type.Array(Type.Object({ group: Text, lag: Count })),
});

export const RecordAnswer = Type.Object({
  topic: Text,
  partition: Count,
  offset: Count,
  key: orNull(Text),
  at: Type.Integer(),
  value: orNull(Text),
});

export const TrafficAnswer = Type.Object({
  next: Count,
  movements: Type.Union([
    Type.Array(
      Type.Object({
        topic: Text,
        stored: Count,
        sample: Type.Array(
          Type.Object({ at: Type.Integer(), key: orNull(Text), type: orNull(Text), sender: orNull(Text) }),
        ),
        read: Type.Record(Text, Count),
      }),
    ),
    Type.Null(),
  ]),
});

export const RedeliveryAnswer = Type.Object({ orderId: Text, records: Type.Record(Text, Count) });
