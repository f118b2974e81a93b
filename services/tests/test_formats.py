"""Formats that need more than the bytes: schemas from a registry, over Kafka."""

import datetime
import io
import json
import struct
import urllib.request

import fastavro
import pyarrow
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from . import journeys
from .test_kafka import Topic

AVRO = {
    "type": "record",
    "name": "Order",
    "namespace": "trial",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "key", "type": "string"},
        {"name": "amount", "type": "double"},
    ],
}

PROTOBUF = """
syntax = "proto3";
package trial;
message Note { string text = 1; }
message Order {
  int64 id = 1;
  int64 ts = 2;
  string key = 3;
  double amount = 4;
}
"""
SECOND_MESSAGE = bytes([2, 2])
"""The indexes of `Order`, as zigzag varints: one of them, which is 1."""

MILLISECONDS = """
schema = { id = "bigint", ts = { type = "timestamp", format = "epoch_ms" }, key = "string", amount = "double" }"""


class Registry:
    """What producers do with a registry."""

    def __init__(self, url: str):
        self.url = url

    def register(self, subject: str, schema: str, kind: str) -> int:
        """Registers a schema under a subject; gives its id."""
        body = json.dumps({"schema": schema, "schemaType": kind}).encode()
        headers = {"content-type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(f"{self.url}/subjects/{subject}/versions", body, headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["id"]


def framed(schema: int, payload: bytes) -> bytes:
    return struct.pack(">bI", 0, schema) + payload


def avro(schema: dict, event: dict) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, event | {"ts": moment(event)})
    return out.getvalue()


def moment(event: dict) -> datetime.datetime:
    return datetime.datetime.fromisoformat(event["ts"])


def milliseconds(event: dict) -> int:
    return round(moment(event).timestamp() * 1000)


def order_class() -> type:
    """The class of the message above, made without a compiler."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="trial.proto", package="trial", syntax="proto3")
    order = file.message_type.add(name="Order")
    fields = {"id": kinds.TYPE_INT64, "ts": kinds.TYPE_INT64, "key": kinds.TYPE_STRING, "amount": kinds.TYPE_DOUBLE}
    for number, (name, kind) in enumerate(fields.items(), start=1):
        order.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("trial.Order"))


@pytest.fixture
def topic(serve, request):
    return Topic(serve("kafka").address, request.node.name, 3)


@pytest.fixture
def registry(serve):
    return Registry(serve("registry").variables()["WATERSHED_REGISTRY"])


def test_avro(trial, topic, registry):
    """Two versions of a schema, one after the other."""
    newer = AVRO | {"fields": [{"name": "note", "type": ["null", "string"], "default": None}, *AVRO["fields"]]}
    schemas = [(registry.register("test_avro-value", json.dumps(schema), "AVRO"), schema) for schema in (AVRO, newer)]

    def encode(event):
        number, schema = schemas[event["id"] // 1_000 % 2]
        return framed(number, avro(schema, event))

    topic.encode = encode
    source = topic.source(more=f'format = {{ type = "avro", registry = "{registry.url}" }}')
    journeys.plain(trial(source, topic.send), count=4_000)


def test_protobuf(trial, topic, registry):
    schema = registry.register("test_protobuf-value", PROTOBUF, "PROTOBUF")
    order = order_class()

    def encode(event):
        message = order(id=event["id"], ts=milliseconds(event), key=event["key"], amount=event["amount"])
        return framed(schema, SECOND_MESSAGE + message.SerializeToString())

    topic.encode = encode
    source = topic.source(more=f'format = {{ type = "protobuf", registry = "{registry.url}" }}')
    journeys.plain(trial(source, topic.send, schema=MILLISECONDS), count=4_000)


def test_arrow(trial, topic):
    fields = {"id": pyarrow.int64(), "ts": pyarrow.timestamp("ms", "UTC"), "key": pyarrow.string()}
    schema = pyarrow.schema(fields | {"amount": pyarrow.float64()})

    def encode(event):
        out = io.BytesIO()
        with pyarrow.ipc.new_stream(out, schema) as stream:
            stream.write(pyarrow.RecordBatch.from_pylist([event | {"ts": moment(event)}], schema))
        return out.getvalue()

    topic.encode = encode
    journeys.plain(trial(topic.source(more='format = "arrow"'), topic.send), count=4_000)
