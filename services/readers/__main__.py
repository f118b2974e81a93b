"""Writes docs/readers.md."""

import tempfile
from pathlib import Path

from ..cache import HERE
from ..s3 import S3
from ..trino import Trino as Server
from .lakes import all_lakes
from .measure import everybody, measure
from .page import page, unexplained
from .spark import Spark, session
from .trino import Trino

PAGE = HERE.parent / "docs" / "readers.md"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="watershed-readers-") as folder, S3() as s3, Server.reading(s3) as server:
        with everybody(Spark(session()), Trino(server)) as readers:
            findings = measure(readers, all_lakes(Path(folder), s3))
            versions = {reader.name: reader.version() for reader in readers}
    PAGE.write_text(page(findings, versions))
    print(*unexplained(findings), sep="\n")


if __name__ == "__main__":
    main()
