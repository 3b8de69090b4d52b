"""confluent-kafka, which is librdkafka."""

import sys
import threading

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from commands import emit, incoming, received, records_of, serve

TIMEOUT = 30


class Client:
    def __init__(self, brokers):
        self.settings = {"bootstrap.servers": brokers, "client.id": "confluent-kafka"}
        self.admin = AdminClient(self.settings)

    def consumer(self, **settings):
        unused = {"group.id": "unused", "enable.auto.commit": False}
        return Consumer({**self.settings, **unused, **{key.replace("_", "."): value for key, value in settings.items()}})

    def produce(self, command):
        producer = Producer(
            {
                **self.settings,
                "acks": command["acks"],
                "enable.idempotence": command["idempotent"],
                "compression.type": command["codec"],
                "linger.ms": 50,
            }
        )
        self._send(producer, command)

    def _send(self, producer, command):
        errors = []
        for record in records_of(command):
            producer.produce(
                command["topic"],
                key=record.key,
                value=record.value,
                headers=record.headers,
                timestamp=record.timestamp,
                partition=command["partition"],
                on_delivery=lambda error, _: errors.append(error) if error else None,
            )
        left = producer.flush(TIMEOUT)
        if errors:
            raise KafkaException(errors[0])
        if left > 0:
            raise TimeoutError(f"{left} records are not stored")

    def consume(self, command):
        level = "read_committed" if command["committed"] else "read_uncommitted"
        consumer = self.consumer(isolation_level=level, enable_partition_eof=True)
        left = [
            TopicPartition(topic, partition, confluent_kafka.OFFSET_BEGINNING)
            for topic, partitions in command["topics"].items()
            for partition in range(partitions)
        ]
        consumer.assign(left)
        records = []
        reading = {(each.topic, each.partition) for each in left}
        while reading:
            message = consumer.poll(TIMEOUT)
            if message is None:
                raise TimeoutError("no record, and no end of a partition")
            error = message.error()
            if error is None:
                records.append(
                    incoming(
                        message.topic(),
                        message.partition(),
                        message.offset(),
                        message.key(),
                        message.value(),
                        message.headers(),
                        message.timestamp()[1],
                    )
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                reading.discard((message.topic(), message.partition()))
            else:
                raise KafkaException(error)
        consumer.close()
        return {"records": records}

    def offsets_for_times(self, command):
        consumer = self.consumer()
        offsets = []
        for timestamp in command["timestamps"]:
            wanted = TopicPartition(command["topic"], command["partition"], timestamp)
            [found] = consumer.offsets_for_times([wanted], timeout=TIMEOUT)
            if found.error:
                raise KafkaException(found.error)
            offsets.append(found.offset)
        consumer.close()
        return {"offsets": offsets}

    def create_topic(self, command):
        topic = NewTopic(command["topic"], command["partitions"], 1, config=command["configs"])
        self.admin.create_topics([topic])[command["topic"]].result(TIMEOUT)

    def delete_topic(self, command):
        self.admin.delete_topics([command["topic"]])[command["topic"]].result(TIMEOUT)

    def describe_topic(self, command):
        topic = self.admin.list_topics(command["topic"], timeout=TIMEOUT).topics[command["topic"]]
        if topic.error:
            raise KafkaException(topic.error)
        return {"partitions": len(topic.partitions)}

    def describe_configs(self, command):
        resource = ConfigResource(ResourceType.TOPIC, command["topic"])
        configs = self.admin.describe_configs([resource])[resource].result(TIMEOUT)
        return {"configs": {name: configs[name].value for name in command["names"] if name in configs}}

    def alter_configs(self, command):
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in command["configs"].items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, command["topic"], incremental_configs=entries)
        self.admin.incremental_alter_configs([resource])[resource].result(TIMEOUT)

    def create_partitions(self, command):
        partitions = NewPartitions(command["topic"], command["partitions"])
        self.admin.create_partitions([partitions])[command["topic"]].result(TIMEOUT)

    def delete_records(self, command):
        before = TopicPartition(command["topic"], command["partition"], command["before"])
        return {"low": self.admin.delete_records([before])[before].result(TIMEOUT).low_watermark}

    def list_groups(self, _):
        return {"groups": [group.group_id for group in self.admin.list_consumer_groups().result(TIMEOUT).valid]}

    def describe_group(self, command):
        group = self.admin.describe_consumer_groups([command["group"]])[command["group"]].result(TIMEOUT)
        states = {"STABLE": "Stable", "EMPTY": "Empty", "DEAD": "Dead"}
        return {"state": states.get(group.state.name, group.state.name), "members": len(group.members)}

    def delete_group(self, command):
        self.admin.delete_consumer_groups([command["group"]])[command["group"]].result(TIMEOUT)

    def committed(self, command):
        partitions = [TopicPartition(command["topic"], each) for each in range(command["partitions"])]
        wanted = ConsumerGroupTopicPartitions(command["group"], partitions)
        listed = self.admin.list_consumer_group_offsets([wanted])[command["group"]].result(TIMEOUT)
        return {"offsets": [max(each.offset, -1) for each in listed.topic_partitions]}

    def _transactional(self, command):
        producer = Producer({**self.settings, "transactional.id": command["id"]})
        producer.init_transactions(TIMEOUT)
        return producer

    def transaction(self, command):
        producer = self._transactional(command)
        producer.begin_transaction()
        self._send(producer, command)
        if command["end"] == "commit":
            producer.commit_transaction(TIMEOUT)
        else:
            producer.abort_transaction(TIMEOUT)

    def fence(self, command):
        """Commits with a producer after another one has taken its transactional id: the error is the answer."""
        older = self._transactional(command)
        older.begin_transaction()
        self._send(older, command)
        self.transaction({**command, "end": "commit"})
        older.commit_transaction(TIMEOUT)

    def join(self, command):
        self.member = Member(
            self.consumer(
                group_id=command["group"],
                auto_offset_reset="earliest",
                session_timeout_ms=6_000,
                heartbeat_interval_ms=500,
            ),
            command["topic"],
        )

    def leave(self, _):
        self.member.leave()


class Member:
    """Consumes a topic in a group, and prints its partitions whenever they change, and each record."""

    def __init__(self, consumer, topic):
        self.consumer = consumer
        self.leaving = threading.Event()
        consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        self.thread = threading.Thread(target=self._consume)
        self.thread.start()

    def leave(self):
        self.leaving.set()
        self.thread.join()

    def _assigned(self, _, partitions):
        emit({"assigned": sorted(each.partition for each in partitions)})

    def _revoked(self, _, __):
        emit({"assigned": []})

    def _consume(self):
        while not self.leaving.is_set():
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            emit(received(message.partition(), message.offset(), message.value()))
            try:
                self.consumer.commit(message, asynchronous=False)
            except KafkaException:
                # During a rebalance. The next owner of the partition gets the record again.
                pass
        self.consumer.close()


def code_of(error):
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError) and error.args[0].code() > 0:
        return error.args[0].code()
    return None


if __name__ == "__main__":
    version = f"{confluent_kafka.__version__}"
    serve(Client(sys.argv[1]), "confluent-kafka", version, code_of)
