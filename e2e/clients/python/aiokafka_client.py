"""aiokafka."""

import asyncio
import logging
import sys
import threading
import warnings

import aiokafka
import aiokafka.errors
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from commands import emit, incoming_record, received, records_of, serve

TIMEOUT = 60
ACKS = {"0": 0, "1": 1, "all": "all"}


class Client:
    def __init__(self, brokers):
        self.settings = {"bootstrap_servers": brokers, "client_id": "aiokafka"}
        self.admin = None

    async def start(self):
        self.admin = AIOKafkaAdminClient(**self.settings)
        await self.admin.start()

    async def produce(self, command):
        producer = AIOKafkaProducer(
            **self.settings,
            acks=ACKS[command["acks"]],
            enable_idempotence=command["idempotent"],
            compression_type=None if command["codec"] == "none" else command["codec"],
            linger_ms=50,
            max_batch_size=1_000_000,
        )
        await producer.start()
        try:
            await self._send(producer, command)
        finally:
            await producer.stop()

    async def _send(self, producer, command):
        sent = [
            await producer.send(
                command["topic"],
                key=record.key,
                value=record.value,
                headers=record.headers,
                timestamp_ms=record.timestamp,
                partition=command["partition"],
            )
            for record in records_of(command)
        ]
        await asyncio.gather(*sent)

    async def consume(self, command):
        level = "read_committed" if command["committed"] else "read_uncommitted"
        consumer = AIOKafkaConsumer(**self.settings, isolation_level=level, auto_offset_reset="earliest")
        await consumer.start()
        partitions = [
            TopicPartition(topic, partition)
            for topic, count in command["topics"].items()
            for partition in range(count)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        while not all([await consumer.position(each) >= ends[each] for each in partitions]):
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                records.extend(incoming_record(each) for each in batch)
        await consumer.stop()
        return {"records": records}

    async def offsets_for_times(self, command):
        consumer = AIOKafkaConsumer(**self.settings)
        await consumer.start()
        partition = TopicPartition(command["topic"], command["partition"])
        offsets = []
        for timestamp in command["timestamps"]:
            found = (await consumer.offsets_for_times({partition: timestamp}))[partition]
            offsets.append(-1 if found is None else found.offset)
        await consumer.stop()
        return {"offsets": offsets}

    async def create_topic(self, command):
        topic = NewTopic(command["topic"], command["partitions"], 1, topic_configs=command["configs"])
        response = await self.admin.create_topics([topic])
        return failure(response.topic_errors[0][1])

    async def delete_topic(self, command):
        response = await self.admin.delete_topics([command["topic"]])
        return failure(response.topic_error_codes[0][1])

    async def describe_topic(self, command):
        [topic] = await self.admin.describe_topics([command["topic"]])
        return failure(topic["error_code"]) or {"partitions": len(topic["partitions"])}

    async def describe_configs(self, command):
        resource = ConfigResource(ConfigResourceType.TOPIC, command["topic"])
        [response] = await self.admin.describe_configs([resource])
        [[code, _, _, _, entries]] = response.resources
        described = {entry[0]: entry[1] for entry in entries}
        return failure(code) or {"configs": {name: described[name] for name in command["names"] if name in described}}

    async def create_partitions(self, command):
        response = await self.admin.create_partitions({command["topic"]: NewPartitions(command["partitions"])})
        return failure(response.topic_errors[0][1])

    async def delete_records(self, command):
        partition = TopicPartition(command["topic"], command["partition"])
        deleted = await self.admin.delete_records({partition: RecordsToDelete(command["before"])})
        return {"low": deleted[partition]}

    async def list_groups(self, _):
        return {"groups": [group[0] for group in await self.admin.list_consumer_groups()]}

    async def describe_group(self, command):
        [response] = await self.admin.describe_consumer_groups([command["group"]])
        [code, _, state, _, _, members, *_] = response.groups[0]
        return failure(code) or {"state": state, "members": len(members)}

    async def committed(self, command):
        partitions = [TopicPartition(command["topic"], each) for each in range(command["partitions"])]
        listed = await self.admin.list_consumer_group_offsets(command["group"], partitions=partitions)
        return {"offsets": [listed[each].offset if each in listed else -1 for each in partitions]}

    async def _transactional(self, command):
        producer = AIOKafkaProducer(**self.settings, transactional_id=command["id"])
        await producer.start()
        return producer

    async def transaction(self, command):
        producer = await self._transactional(command)
        await producer.begin_transaction()
        await self._send(producer, command)
        if command["end"] == "commit":
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()
        await producer.stop()

    async def fence(self, command):
        """Commits with a producer after another one has taken its transactional id: the error is the answer."""
        older = await self._transactional(command)
        await older.begin_transaction()
        await self._send(older, command)
        await self.transaction({**command, "end": "commit"})
        try:
            await older.commit_transaction()
        finally:
            await older.stop()

    async def join(self, command):
        self.member = Member(self.settings, command)
        await self.member.start()

    async def leave(self, _):
        await self.member.leave()


class Member(ConsumerRebalanceListener):
    """Consumes a topic in a group, and prints its partitions whenever they change, and each record."""

    def __init__(self, settings, command):
        self.consumer = AIOKafkaConsumer(
            **settings,
            group_id=command["group"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
        )
        self.topic = command["topic"]

    async def start(self):
        self.consumer.subscribe([self.topic], listener=self)
        await self.consumer.start()
        self.task = asyncio.create_task(self._consume())

    async def leave(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.consumer.stop()

    async def on_partitions_assigned(self, assigned):
        emit({"assigned": sorted(each.partition for each in assigned)})

    async def on_partitions_revoked(self, _):
        emit({"assigned": []})

    async def _consume(self):
        while True:
            polled = await self.consumer.getmany(timeout_ms=100)
            for partition, records in polled.items():
                for each in records:
                    emit(received(partition.partition, each.offset, each.value))
            try:
                if polled:
                    await self.consumer.commit()
            except aiokafka.errors.KafkaError:
                # During a rebalance. The next owner of the partition gets the records again.
                pass


def failure(code):
    return {"error": code} if code else None


def code_of(error):
    return error.errno if isinstance(error, aiokafka.errors.BrokerResponseError) else None


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    client = Client(sys.argv[1])

    def wait(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(TIMEOUT)

    wait(client.start())
    serve(client, "aiokafka", aiokafka.__version__, code_of, lambda method, command: wait(method(command)))
