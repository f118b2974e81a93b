"""Every type as others read it, Parquet and Delta, in a folder and at S3: docs/readers.md holds."""

import pytest

from ..readers.__main__ import PAGE
from ..readers.lakes import all_lakes
from ..readers.measure import everybody, measure, same
from ..readers.page import differing_types, page, unexplained
from ..readers.spark import Spark
from ..readers.trino import Trino
from ..trino import CATALOGS
from ..trino import Trino as Server


@pytest.fixture(scope="module")
def lakes(serve, tmp_path_factory):
    return all_lakes(tmp_path_factory.mktemp("readers"), serve("s3"))


@pytest.fixture(scope="module")
def trino(serve):
    with Server.reading(serve("s3")) as server:
        yield Trino(server)


@pytest.fixture(scope="module")
def readers(spark, trino):
    with everybody(Spark(spark), trino) as readers:
        yield readers


@pytest.fixture(scope="module")
def findings(readers, lakes):
    return measure(readers, lakes)


def test_what_is_read_is_what_was_made_or_is_noted(findings):
    assert unexplained(findings) == []


def test_types_are_the_same_at_every_store(findings):
    assert differing_types(findings) == []


def test_the_page_says_so(findings, readers):
    versions = {reader.name: reader.version() for reader in readers}
    assert PAGE.read_text() == page(findings, versions), "write it again: scripts/services readers"


def test_partitions_are_pruned_through_ddl(findings):
    opened = {
        (ask.reader, ask.lake): found for ask, found in findings.items() if ask.declared and ask.what == "selected"
    }
    assert len(opened) == 12
    pruned = {ask: (found.opened, found.files) for ask, found in opened.items()}
    # DuckDB's view looks at the ends of all files; see the notes.
    assert {pruned.pop(("DuckDB", f"parquet, {store}")) for store in ("folder", "S3")} == {(3, 3)}
    assert set(pruned.values()) == {(1, 3)}, pruned


def test_the_catalog_is_as_ddl_says(lakes):
    """The lines that the statements for Trino come with."""
    told = [
        word.rstrip(",") for lake in lakes for word in lake.ddl("trino", "types").split() if word.startswith("hive.")
    ]
    assert told and set(told) <= set(CATALOGS["hive"].split())


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), (1, 1.0), ("1", 1), (None, ""), ({"a": None}, {}), ([1], [True])]
)
def test_the_comparison_is_strict(one, other):
    """Proof of the proof: what Python holds for equal, or what is nearly so, is not the same."""
    assert not same(one, other) and not same(other, one)
    assert same(one, one) and same(other, other)
