"""Answers the commands of the matrix: one JSON object a line on the standard input, one for each on the standard output."""

import base64
import json
import sys
import threading
from dataclasses import dataclass

_printing = threading.Lock()


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int


def emit(event):
    with _printing:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def records_of(command):
    return [
        Record(
            key=_bytes(record["key"]),
            value=_bytes(record["value"]),
            headers=[(name, value.encode()) for name, value in record["headers"]],
            timestamp=record["timestamp"],
        )
        for record in command["records"]
    ]


def incoming(topic, partition, offset, key, value, headers, timestamp):
    """A record that was read, as an answer shows it."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": _text(key),
        "value": _text(value),
        "headers": [[name, content.decode()] for name, content in headers or []],
        "timestamp": timestamp,
    }


def incoming_record(record):
    """Likewise, for aiokafka and kafka-python: their records have the same fields."""
    fields = (record.topic, record.partition, record.offset, record.key, record.value, record.headers, record.timestamp)
    return incoming(*fields)


def received(partition, offset, value):
    return {"record": {"partition": partition, "offset": offset, "value": _text(value)}}


def serve(client, name, version, code_of, call=lambda method, command: method(command)):
    """Calls the method that a command names, with underscores in place of its dashes, until the standard input ends.

    `code_of` gives the number of an error of the broker, and None for any other error.
    """
    emit({"client": name, "version": version})
    for line in sys.stdin:
        command = json.loads(line)
        method = getattr(client, command["do"].replace("-", "_"), None)
        if method is None:
            emit({"lacks": command["do"]})
            continue
        try:
            answer = call(method, command) or {}
        except Exception as error:
            code = code_of(error)
            answer = {"error": repr(error) if code is None else code}
        emit(answer)


def _bytes(text):
    return None if text is None else base64.b64decode(text)


def _text(content):
    return None if content is None else base64.b64encode(content).decode()
