"""kafka-python."""

import logging
import re
import sys
import threading

import kafka
import kafka.errors
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from commands import emit, incoming_record, received, records_of, serve

TIMEOUT = 30
ACKS = {"0": 0, "1": 1, "all": "all"}


class Client:
    def __init__(self, brokers):
        self.settings = {"bootstrap_servers": brokers, "client_id": "kafka-python"}
        self.admin = KafkaAdminClient(**self.settings)

    def produce(self, command):
        producer = KafkaProducer(
            **self.settings,
            acks=ACKS[command["acks"]],
            enable_idempotence=command["idempotent"],
            compression_type=None if command["codec"] == "none" else command["codec"],
            linger_ms=50,
            batch_size=1_000_000,
        )
        try:
            self._send(producer, command)
        finally:
            producer.close(TIMEOUT)

    def _send(self, producer, command):
        sent = [
            producer.send(
                command["topic"],
                key=record.key,
                value=record.value,
                headers=record.headers,
                timestamp_ms=record.timestamp,
                partition=command["partition"],
            )
            for record in records_of(command)
        ]
        for future in sent:
            future.get(TIMEOUT)

    def consume(self, command):
        level = "read_committed" if command["committed"] else "read_uncommitted"
        consumer = KafkaConsumer(**self.settings, isolation_level=level, auto_offset_reset="earliest")
        partitions = [
            TopicPartition(topic, partition)
            for topic, count in command["topics"].items()
            for partition in range(count)
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=1_000).values():
                records.extend(incoming_record(each) for each in batch)
        consumer.close()
        return {"records": records}

    def offsets_for_times(self, command):
        consumer = KafkaConsumer(**self.settings)
        partition = TopicPartition(command["topic"], command["partition"])
        offsets = []
        for timestamp in command["timestamps"]:
            found = consumer.offsets_for_times({partition: timestamp})[partition]
            offsets.append(-1 if found is None else found.offset)
        consumer.close()
        return {"offsets": offsets}

    def create_topic(self, command):
        topic = {
            "num_partitions": command["partitions"],
            "replication_factor": 1,
            "configs": command["configs"],
        }
        self.admin.create_topics({command["topic"]: topic})

    def delete_topic(self, command):
        self.admin.delete_topics([command["topic"]])

    def describe_topic(self, command):
        [topic] = self.admin.describe_topics([command["topic"]])
        if topic["error_code"]:
            return {"error": topic["error_code"]}
        return {"partitions": len(topic["partitions"])}

    def describe_configs(self, command):
        resource = ConfigResource(ConfigResourceType.TOPIC, command["topic"])
        described = self.admin.describe_configs([resource], config_filter="all")["topic"][command["topic"]]
        return {"configs": {name: described[name]["value"] for name in command["names"] if name in described}}

    def alter_configs(self, command):
        resource = ConfigResource(ConfigResourceType.TOPIC, command["topic"], command["configs"])
        result = self.admin.alter_configs([resource])["topic"][command["topic"]]
        return {} if result == "OK" else {"error": code_in(result)}

    def create_partitions(self, command):
        self.admin.create_partitions({command["topic"]: command["partitions"]})

    def delete_records(self, command):
        partition = TopicPartition(command["topic"], command["partition"])
        return {"low": self.admin.delete_records({partition: command["before"]})[partition]["low_watermark"]}

    def list_groups(self, _):
        return {"groups": [group["group_id"] for group in self.admin.list_groups()]}

    def describe_group(self, command):
        group = self.admin.describe_groups([command["group"]])[command["group"]]
        if group["error"]:
            return {"error": code_in(group["error"])}
        return {"state": group["group_state"], "members": len(group["members"])}

    def delete_group(self, command):
        result = self.admin.delete_groups([command["group"]])[command["group"]]
        return {} if result == "OK" else {"error": getattr(kafka.errors, result).errno}

    def delete_offsets(self, command):
        partition = TopicPartition(command["topic"], command["partition"])
        result = self.admin.delete_group_offsets(command["group"], [partition])[partition]
        return {"error": result.errno} if result.errno else {}

    def committed(self, command):
        partitions = [TopicPartition(command["topic"], each) for each in range(command["partitions"])]
        listed = self.admin.list_group_offsets({command["group"]: partitions})[command["group"]]
        return {"offsets": [listed[each].offset if each in listed else -1 for each in partitions]}

    def _transactional(self, command):
        producer = KafkaProducer(**self.settings, transactional_id=command["id"])
        producer.init_transactions()
        return producer

    def transaction(self, command):
        producer = self._transactional(command)
        producer.begin_transaction()
        self._send(producer, command)
        if command["end"] == "commit":
            producer.commit_transaction()
        else:
            producer.abort_transaction()
        producer.close(TIMEOUT)

    def fence(self, command):
        """Commits with a producer after another one has taken its transactional id: the error is the answer."""
        older = self._transactional(command)
        older.begin_transaction()
        self._send(older, command)
        self.transaction({**command, "end": "commit"})
        try:
            older.commit_transaction()
        finally:
            older.close(0)

    def join(self, command):
        self.member = Member(self.settings, command)

    def leave(self, _):
        self.member.leave()


class Member(ConsumerRebalanceListener):
    """Consumes a topic in a group, and prints its partitions whenever they change, and each record."""

    def __init__(self, settings, command):
        self.consumer = KafkaConsumer(
            **settings,
            group_id=command["group"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
        )
        self.held = set()
        self.leaving = threading.Event()
        self.consumer.subscribe([command["topic"]], listener=self)
        self.thread = threading.Thread(target=self._consume)
        self.thread.start()

    def leave(self):
        self.leaving.set()
        self.thread.join()

    def on_partitions_assigned(self, assigned):
        self.held |= {each.partition for each in assigned}
        emit({"assigned": sorted(self.held)})

    def on_partitions_revoked(self, revoked):
        self.held -= {each.partition for each in revoked}
        emit({"assigned": sorted(self.held)})

    def _consume(self):
        while not self.leaving.is_set():
            try:
                polled = self.consumer.poll(timeout_ms=100)
                for partition, records in polled.items():
                    for each in records:
                        emit(received(partition.partition, each.offset, each.value))
                if polled:
                    self.consumer.commit()
            except kafka.errors.KafkaError as error:
                # During a rebalance, also of the loop that sends its heartbeats, which the next poll starts again. The
                # next owner of the partition gets the records again.
                print(repr(error), file=sys.stderr, flush=True)
        self.consumer.close()


def code_in(text):
    """The code in a text as `[Error 40] …`."""
    return int(re.search(r"\d+", text)[0])


def code_of(error):
    return error.errno if isinstance(error, kafka.errors.BrokerResponseError) else None


if __name__ == "__main__":
    logging.disable()
    serve(Client(sys.argv[1]), "kafka-python", kafka.__version__, code_of)
