"""Delta tables on a disk and at stores, as delta-rs reads them: each row once, whatever comes upon the daemon or the network."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from ..lakes import KINDS, Table
from ..proxy import Proxy
from ..trial import Growing
from . import journeys
from .test_lake import lake_of


@pytest.fixture(params=["disk", *KINDS])
def kind(request) -> str:
    return request.param


@pytest.fixture
def service(kind, serve):
    """The store, if the kind is not a disk."""
    return None if kind == "disk" else serve(kind)


@pytest.fixture
def table(kind, service, tmp_path: Path) -> Table:
    if kind == "disk":
        folder = tmp_path / "table"
        return Table(str(folder), {}, lambda key: folder / key)
    return lake_of(kind, service.address, tmp_path).table(service.address)


@pytest.fixture
def growing(trial, kind, service, table, tmp_path: Path):
    """A trial that reads a file and writes a table, at a store that it asks at an address."""
    events = Growing(tmp_path)

    def make(address: str = "", more: str = "", **changed: str):
        if kind == "disk":
            lake = f"url = {json.dumps(table.url)}"
        else:
            lake = lake_of(kind, service.address, tmp_path).keys(address or service.address, **changed)
        return trial(events.source, events.send, store=table, lake=f"{lake}\n{more}", sink="delta")

    return make


def test_plain(growing, table):
    plain = growing()
    journeys.plain(plain)
    rows = table.open().to_pyarrow_table()
    assert sorted(value for value in rows["id"].to_pylist() if value is not None) == list(range(plain.sent))
    counted = sum(value for value in rows["events"].to_pylist() if value is not None)
    assert counted == plain.sent
    assert set(rows["region"].to_pylist()) == {"trial"}


@pytest.mark.parametrize("kind", ["disk"], indirect=True)
def test_killed(growing):
    """At stores, it is killed while files are merged as well: see test_compact."""
    journeys.killed(growing())


@pytest.mark.parametrize("kind", list(KINDS), indirect=True)
def test_network(growing, service):
    with Proxy(service.port) as proxy:
        journeys.unconnected(growing(proxy.address, timeout="5s"), proxy)


@pytest.mark.parametrize("kind", ["disk"], indirect=True)
def test_another_writer(growing, table):
    """Somebody else appends to the table, and adds a column, while the daemon does."""
    shared = growing()
    with shared.load():
        shared.daemon.start()
        for number in range(20):
            shared.until_more()
            rows = pa.table({"key": ["theirs"], "region": ["elsewhere"], "number": [number]})
            write_deltalake(table.url, rows, mode="append", schema_mode="merge")
    shared.settle()
    rows = table.open().to_pyarrow_table()
    assert sorted(value for value in rows["number"].to_pylist() if value is not None) == list(range(20))


@pytest.mark.parametrize("kind", ["disk"], indirect=True)
def test_bounds_lead_readers_past_files(growing, table):
    """Each id is in one file, of which the log says the least and the greatest."""
    journeys.plain(growing())
    files = pa.table(table.open().get_add_actions(flatten=True)).to_pylist()
    bounds = [(file["min.id"], file["max.id"], file["num_records"]) for file in files if file["min.id"] is not None]
    assert bounds and all(last - first + 1 == rows for first, last, rows in bounds)
