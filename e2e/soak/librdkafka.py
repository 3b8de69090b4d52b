"""The librdkafka clients of the soak: an idempotent producer that changes its codec, and a group of two consumers of
which one leaves and returns. Prints a line of JSON each second, until the standard input ends.

usage: librdkafka.py BROKERS TOPIC RECORDS_A_SECOND
"""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, Producer

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PRODUCER_LIFE_S = 15
MEMBER_LIFE_S = 20
VALUE = b"librdkafka " * 10

brokers, topic, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
counts = {"produced": 0, "consumed": 0, "errors": 0}
last_error = None
stopped = threading.Event()


def fail(error):
    global last_error
    counts["errors"] += 1
    last_error = str(error)


def delivered(error, _message):
    if error is None:
        counts["produced"] += 1
    else:
        fail(error)


def produce():
    life = 0
    while not stopped.is_set():
        producer = Producer(
            {
                "bootstrap.servers": brokers,
                "enable.idempotence": True,
                "linger.ms": 20,
                "compression.type": CODECS[life % len(CODECS)],
            }
        )
        until = time.monotonic() + PRODUCER_LIFE_S
        while not stopped.is_set() and time.monotonic() < until:
            for number in range(max(1, rate // 10)):
                producer.produce(topic, VALUE, key=str(number % 100).encode(), on_delivery=delivered)
            producer.poll(0)
            stopped.wait(0.1)
        unsent = producer.flush(30)
        if unsent > 0:
            fail(f"{unsent} records were not sent")
        life += 1


def consume(leaves):
    while not stopped.is_set():
        consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "soak-librdkafka",
                "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 1000,
                "session.timeout.ms": 10000,
            }
        )
        consumer.subscribe([topic])
        until = time.monotonic() + (MEMBER_LIFE_S if leaves else float("inf"))
        while not stopped.is_set() and time.monotonic() < until:
            for message in consumer.consume(500, 0.5):
                if message.error() is None:
                    counts["consumed"] += 1
                else:
                    fail(message.error())
        consumer.close()


threads = [
    threading.Thread(target=produce),
    threading.Thread(target=consume, args=(False,)),
    threading.Thread(target=consume, args=(True,)),
]


def report():
    print(json.dumps({**counts, "lastError": last_error}), flush=True)


def report_regularly():
    while not stopped.wait(1):
        report()


for thread in [*threads, threading.Thread(target=report_regularly)]:
    thread.start()
sys.stdin.read()
stopped.set()
for thread in threads:
    thread.join()
report()
