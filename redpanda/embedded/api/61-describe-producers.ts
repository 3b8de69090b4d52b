/**
 * DescribeProducers (61), version 0: the producers that wrote to a partition, and their open transactions.
 * Source: https://kafka.apache.org/protocol.html#The_Messages_DescribeProducers; KIP-664.
 */
import { defineApi } from "../define-api.ts";
import { catchKafkaError, ErrorCode } from "../errors.ts";
import type { ProducerDescription } from "../log/producers.ts";

interface DescribeProducersRequest {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly number[] }[];
}

interface PartitionResult {
  readonly partition: number;
  readonly code: ErrorCode;
  readonly message: string | null;
  readonly producers: readonly ProducerDescription[];
}

interface DescribeProducersResponse {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly PartitionResult[] }[];
}

export const describeProducers = defineApi<DescribeProducersRequest, DescribeProducersResponse>({
  key: 61,
  name: "DescribeProducers",
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: 0,

  decode: (reader) => ({
    topics: reader.structs(() => ({
      name: reader.string(),
      partitions: reader.array(() => reader.int32()),
    })),
  }),

  async handle({ topics }, broker) {
    const results = topics.map(async ({ name, partitions }) => ({
      name,
      partitions: await Promise.all(
        partitions.map((partition) => {
          const work = () => {
            const producers = broker.topics.log({ name, id: null }, partition).producers.describe();
            return { partition, code: ErrorCode.NONE, message: null, producers };
          };
          return catchKafkaError<PartitionResult>(work, ({ code, message }) =>
            refused(partition, code, message),
          );
        }),
      ),
    }));
    return { topics: await Promise.all(results) };
  },

  refuse: ({ topics }, code, message) => ({
    topics: topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((partition) => refused(partition, code, message)),
    })),
  }),

  encode(writer, { topics }) {
    writer.int32(0).structs(topics, ({ name, partitions }) => {
      writer.string(name).structs(partitions, ({ partition, code, message, producers }) => {
        writer.int32(partition).int16(code).nullableString(message);
        writer.structs(producers, (producer) => {
          writer.int64(producer.producerId).int32(producer.epoch).int32(producer.lastSequence);
          writer.int64(producer.lastTimestamp).int32(producer.coordinatorEpoch);
          writer.int64(producer.transactionStart);
        });
      });
    });
  },
});

function refused(partition: number, code: ErrorCode, message: string): PartitionResult {
  return { partition, code, message, producers: [] };
}
