"""Writes the files of this folder, by implementations that are not ours.

    python3 -m venv venv && venv/bin/pip install fastavro==1.13.1 cramjam backports.zstd protobuf==7.36.2 grpcio-tools pyarrow==26.0.0
    venv/bin/python make.py

Every file holds the same rows, which `orders.ndjson` has as JSON. A `.messages` file is a list of messages, each with its
length in front (four bytes, little-endian).
"""

import base64
import datetime
import decimal
import io
import json
import pathlib
import struct
import uuid

import fastavro
import pyarrow
import pyarrow.ipc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, json_format
from grpc_tools import protoc

HERE = pathlib.Path(__file__).parent
COUNTRIES = ["de", "fr", None, "ü日本"]
KINDS = ["NEW", "PAID", "SENT"]


def rows():
    start = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    for i in range(24):
        yield {
            "id": i * 1_000_003 - 7,
            "small": i - 12,
            "ts": start + datetime.timedelta(seconds=i, microseconds=i * 37),
            "day": (start + datetime.timedelta(days=i * 11 - 40)).date(),
            "amount": decimal.Decimal(i * 1237 - 5000).scaleb(-2),
            "price": i / 7,
            "ratio": i / 4,
            "paid": i % 3 == 0,
            "country": COUNTRIES[i % 4],
            "kind": KINDS[i % 3],
            "token": uuid.UUID(int=i * 0x1234_5678_9ABC_DEF0_1111),
            "blob": bytes(range(i % 5)),
            "tags": [f"t{j}" for j in range(i % 3)],
            "address": None if i % 6 == 5 else {"city": f"c{i}", "zip": 10_000 + i},
            "counts": {f"k{j}": j * i for j in range(i % 4)},
        }


def text(row):
    """The row as JSON has it."""
    plain = dict(row)
    plain["ts"] = row["ts"].isoformat().replace("+00:00", "Z")
    plain["day"] = row["day"].isoformat()
    plain["amount"] = str(row["amount"])
    plain["token"] = str(row["token"])
    plain["blob"] = base64.b64encode(row["blob"]).decode()
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def messages(name, payloads):
    (HERE / name).write_bytes(b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads))


def avro():
    schema = fastavro.parse_schema(json.loads((HERE / "order.avsc").read_text()))
    data = list(rows())
    for codec in ["null", "deflate", "snappy", "zstandard"]:
        with open(HERE / f"orders.{codec}.avro", "wb") as out:
            fastavro.writer(out, schema, data, codec=codec, sync_interval=600, sync_marker=b"0123456789abcdef")
    bare, single = [], []
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    for row in data:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, row)
        bare.append(out.getvalue())
        single.append(b"\xc3\x01" + bytes.fromhex(fingerprint) + out.getvalue())
    messages("orders.bare.messages", bare)
    messages("orders.single.messages", single)


def protobuf():
    descriptors = HERE / "orders.desc"
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = [f"-I{HERE}", f"-I{include}", "--include_imports", f"--descriptor_set_out={descriptors}", "order.proto"]
    assert protoc.main(["protoc", *arguments]) == 0
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    order = message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.Order"))
    payloads = []
    for row in rows():
        message = order(
            id=row["id"], small=row["small"], day=row["day"].isoformat(), amount=str(row["amount"]), price=row["price"],
            ratio=row["ratio"], paid=row["paid"], country=row["country"], kind=row["kind"], token=str(row["token"]),
            blob=row["blob"], tags=row["tags"], counts=row["counts"],
        )
        message.ts.FromDatetime(row["ts"])
        if row["address"] is not None:
            message.address.city, message.address.zip = row["address"]["city"], row["address"]["zip"]
        payloads.append(message.SerializeToString(deterministic=True))
    messages("orders.protobuf.messages", payloads)
    every = message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.Every"))
    message = every()
    json_format.Parse((HERE / "every.json").read_text(), message, descriptor_pool=pool)
    messages("every.protobuf.messages", [message.SerializeToString(deterministic=True)])
    shown = json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
    (HERE / "every.shown.json").write_text(json.dumps(shown, sort_keys=True) + "\n")


def arrow():
    fields = [
        ("id", pyarrow.int64()), ("small", pyarrow.int8()), ("ts", pyarrow.timestamp("ns", "UTC")),
        ("day", pyarrow.date64()), ("amount", pyarrow.decimal128(12, 2)), ("price", pyarrow.float64()),
        ("ratio", pyarrow.float32()), ("paid", pyarrow.bool_()), ("country", pyarrow.dictionary(pyarrow.int8(), pyarrow.string())),
        ("kind", pyarrow.large_string()), ("token", pyarrow.string()), ("blob", pyarrow.binary()),
        ("tags", pyarrow.list_(pyarrow.string())), ("address", pyarrow.struct([("city", pyarrow.string()), ("zip", pyarrow.int32())])),
        ("counts", pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    ]
    schema = pyarrow.schema(fields)
    data = [dict(row, token=str(row["token"])) for row in rows()]
    batches = [pyarrow.RecordBatch.from_pylist(data[i : i + 10], schema) for i in range(0, len(data), 10)]
    for codec in [None, "lz4", "zstd"]:
        options = pyarrow.ipc.IpcWriteOptions(compression=codec, emit_dictionary_deltas=True)
        with pyarrow.ipc.new_stream(HERE / f"orders.{codec or 'plain'}.arrows", schema, options=options) as out:
            for batch in batches:
                out.write_batch(batch)
    with pyarrow.ipc.new_file(HERE / "orders.arrow", schema) as out:
        table = pyarrow.Table.from_batches(batches).unify_dictionaries()
        out.write_table(table, max_chunksize=10)


(HERE / "orders.ndjson").write_text("".join(text(row) + "\n" for row in rows()))
avro()
protobuf()
arrow()
