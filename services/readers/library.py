"""A library in a process of its own, that answers one question after another.

What it is asked and what it answers are pickled, each as a line in base64. It ends when it is asked no more, at once:
some libraries have threads that would not end well beside those of others.
"""

import base64
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..cache import HERE
from ..python import environment
from . import libraries
from .reader import Answer, Engine, Place

ROOT = HERE.parent

DUCKDB = HERE / "requirements-duckdb.txt"
"""With extensions, which are of one version of DuckDB only."""


class Library(Engine):
    ddl = "duckdb"
    selecting = dict.fromkeys(("parquet", "delta"), libraries.DuckDb.SELECTING)

    def __init__(self, name: str):
        self.name = name
        if name == "delta-kernel":
            self.stores = ("folder",)
        self.sinks = ("delta",) if name.startswith("delta") else ("parquet", "delta")
        self._process = subprocess.Popen(
            [python(name), "-m", __name__, name],
            cwd=ROOT,
            env=os.environ | {"TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def version(self) -> str:
        return self._ask("version")

    def read(self, place: Place, selecting: bool = False) -> Answer:
        return self._ask("read", place, selecting)

    def declared(self, statements: str, place: Place, table: str, condition: str = "") -> Answer:
        return self._ask("declared", statements, place, table, condition)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, *question: Any) -> Any:
        self._process.stdin.write(line(question))
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        kind, answer = pickle.loads(base64.b64decode(answer))
        if kind == "failed":
            raise RuntimeError(answer)
        return answer


def python(name: str) -> Path:
    """The interpreter that has a library."""
    return environment("duckdb", DUCKDB) / "python" if name == "DuckDB" else Path(sys.executable)


def line(of: Any) -> bytes:
    return base64.b64encode(pickle.dumps(of)) + b"\n"


def main() -> None:
    # What a library prints is for people.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    library = libraries.ALL[sys.argv[1]]()
    for question in sys.stdin.buffer:
        method, *arguments = pickle.loads(base64.b64decode(question))
        try:
            answer = ("answer", getattr(library, method)(*arguments))
        except BaseException as error:
            answer = ("failed", f"{type(error).__name__}: {error}")
        answers.write(line(answer))
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
