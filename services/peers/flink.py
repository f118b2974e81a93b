"""Flink, in one process, by SQL."""

from pathlib import Path
from xml.etree import ElementTree

from ..cache import HERE, execute
from ..maven import jars
from .peer import Peer

CONFIG = """
execution.target: local
execution.runtime-mode: streaming
execution.checkpointing.interval: 1s
execution.checkpointing.dir: file://{folder}/state
parallelism.default: {cores}
state.backend.type: hashmap
taskmanager.numberOfTaskSlots: {cores}
taskmanager.memory.managed.size: 512m
pipeline.object-reuse: true
restart-strategy.type: none
table.local-time-zone: UTC
table.exec.mini-batch.enabled: true
table.exec.mini-batch.allow-latency: 1s
table.exec.mini-batch.size: 50000
table.optimizer.agg-phase-strategy: TWO_PHASE
"""

SOURCE = """
CREATE TABLE orders (
    ts TIMESTAMP_LTZ(3), region STRING, country STRING, `type` STRING, user_id BIGINT, amount DOUBLE,
    WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (
    'connector' = 'filesystem', 'path' = 'file://{file}', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);
CREATE TABLE answer ({columns}) WITH (
    'connector' = 'filesystem', 'path' = 'file://{out}', 'format' = 'parquet', 'parquet.compression' = 'zstd'
);
INSERT INTO answer {select};
"""

# By the names of the columns of the answer, and their types; and the statement.
SQL = {
    "q1": (
        "window_start TIMESTAMP(3), country STRING, `type` STRING, events BIGINT, revenue DOUBLE, mean DOUBLE, most DOUBLE",
        """
SELECT window_start, country, `type`, count(*), sum(amount), avg(amount), max(amount)
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, country, `type`""",
    ),
    "q2": (
        "window_start TIMESTAMP(3), user_id BIGINT, events BIGINT, revenue DOUBLE",
        """
SELECT window_start, user_id, count(*), sum(amount)
FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, user_id""",
    ),
    "q3": (
        "window_start TIMESTAMP(3), cloud_region STRING, users BIGINT, p99 DOUBLE",
        """
SELECT window_start, region, count(DISTINCT user_id), percentile(amount, 0.99)
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, region""",
    ),
}

# What Flink's own scripts say, for Java 17.
OPENED = (
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)


class Flink(Peer):
    name = "Flink"
    files = "part-*"
    streams = True
    settings = (
        "one JVM of 4 GB, as many slots as cores, state on the heap, a checkpoint every second, object reuse, mini-batches; "
        "exact p99 by `percentile`"
    )

    def prepare(self, file: Path, folder: Path) -> None:
        self._program = folder / "flink"
        self._program.mkdir(parents=True, exist_ok=True)
        source = HERE / "peers" / "AskFlink.java"
        execute(["javac", "-classpath", f"{jars('flink')}/*", "-d", self._program, source], self._program)

    def version(self) -> str:
        pom = ElementTree.parse(HERE / "maven" / "flink.xml")
        return pom.findtext(".//{*}dependency/{*}version") or ""

    def command(self, question: str, file: Path, folder: Path, cores: int) -> list[str | Path]:
        columns, select = SQL[question]
        (folder / "config.yaml").write_text(CONFIG.format(folder=folder, cores=cores))
        statements = SOURCE.format(file=file, out=folder / "out", columns=columns, select=select)
        (folder / "statements.sql").write_text(statements)
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENED]
        return ["java", "-Xmx4g", *opened, "-classpath", f"{self._program}:{jars('flink')}/*", "AskFlink", folder]
