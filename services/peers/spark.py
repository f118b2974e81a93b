"""Spark's Structured Streaming."""

import itertools
import sys
from pathlib import Path

import pyspark

from ..cache import HERE
from .peer import Peer

PART = 1_000_000
"""Events in a file, and so in a micro-batch: state is given up between two."""

# Windows end when the watermark has passed them, and no source's end does that. This row's own window stays open.
LAST = b'{"ts":"2100-01-01T00:00:00Z","region":"","country":"","type":"","user_id":0,"amount":0.0}\n'


class Spark(Peer):
    name = "Spark"
    streams = True
    settings = (
        "Structured Streaming, `availableNow`, a micro-batch for each million events, `local[cores]` and as many partitions of "
        "shuffles, state on the heap, 8 GB for the JVM; distinct users by `size(collect_set(…))`, p99 by `percentile_approx`"
    )

    def prepare(self, file: Path, folder: Path) -> None:
        """Cuts the file into parts, and puts behind them a row far in the future."""
        self._parts = folder / f"spark-{file.stem}-{file.stat().st_size}"
        if (self._parts / "last.ndjson").exists():
            return
        self._parts.mkdir(parents=True, exist_ok=True)
        with open(file, "rb") as lines:
            for number in itertools.count():
                part = itertools.islice(lines, PART)
                first = next(part, None)
                if first is None:
                    break
                with open(self._parts / f"{number:05}.ndjson", "wb") as out:
                    out.write(first)
                    out.writelines(part)
        (self._parts / "last.ndjson").write_bytes(LAST)

    def version(self) -> str:
        return pyspark.__version__

    def command(self, question: str, file: Path, folder: Path, cores: int) -> list[str | Path]:
        settings = {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.local.dir": folder / "local",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": cores,
            "spark.sql.parquet.compression.codec": "zstd",
        }
        options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
        program = HERE / "peers" / "ask_spark.py"
        return [
            *(submit, "--master", f"local[{cores}]", "--driver-memory", "8g", *options),
            *(program, question, self._parts, folder),
        ]

    def environment(self, folder: Path, cores: int) -> dict[str, str]:
        # The script looks for itself where it was found, which need not be where it lies.
        return {"SPARK_HOME": str(Path(pyspark.__file__).parent), "PYSPARK_PYTHON": sys.executable}
