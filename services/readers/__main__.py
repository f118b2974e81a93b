"""Writes docs/readers.md."""

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

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
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory(prefix="watershed-readers-")))
        s3 = running.enter_context(S3())
        server = running.enter_context(Server.reading(s3))
        spark = Spark(session(folder / "warehouse"))
        readers = running.enter_context(everybody(spark, Trino(server)))
        findings = measure(readers, all_lakes(folder, s3))
        versions = {reader.name: reader.version() for reader in readers}
    PAGE.write_text(page(findings, versions))
    if odd := unexplained(findings):
        sys.exit("\n".join(odd))


if __name__ == "__main__":
    main()
