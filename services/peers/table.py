"""The figures as Markdown."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .meter import Figures
from .peer import Peer
from .verdict import Verdict
from .workload import QUESTIONS


@dataclass(frozen=True)
class Result:
    question: str
    peer: Peer
    runs: list[Figures]
    verdict: Verdict

    def median(self, of: Callable[[Figures], float]) -> float:
        return statistics.median(map(of, self.runs))

    def spread(self, of: Callable[[Figures], float]) -> str:
        values = sorted(map(of, self.runs))
        middle = f"{self.median(of):.2f}"
        return middle if len(values) == 1 else f"{middle} ({values[0]:.2f} to {values[-1]:.2f})"


HEAD = (
    "| question | engine | wall, s | CPU, s | memory, MB | k events/s | wall : ours | CPU : ours | rows |",
    "|---|---|---|---|---|---|---|---|---|",
)


def table(results: list[Result], events: int) -> str:
    """Medians, least to most in brackets; how many times as long as Watershed each took."""
    lines = list(HEAD)
    for question in QUESTIONS:
        answers = [result for result in results if result.question == question]
        if not answers:
            continue
        ours = next(result for result in answers if result.peer.name == "Watershed")
        lines += [line(result, ours, events) for result in answers]
    return "\n".join(lines)


def line(result: Result, ours: Result, events: int) -> str:
    wall, cpu = result.median(lambda one: one.wall), result.median(lambda one: one.cpu)
    cells = (
        result.question,
        result.peer.name,
        result.spread(lambda one: one.wall),
        result.spread(lambda one: one.cpu),
        f"{result.median(lambda one: one.memory) / 1e6:,.0f}",
        f"{events / wall / 1000:,.0f}",
        f"{wall / ours.median(lambda one: one.wall):.1f}",
        f"{cpu / ours.median(lambda one: one.cpu):.1f}",
        f"{result.verdict.rows:,}, {result.verdict}",
    )
    return f"| {' | '.join(cells)} |"


def legend(peers: list[Peer]) -> str:
    kinds = {True: "streams", False: "one batch"}
    lines = ["| engine | version | | settings |", "|---|---|---|---|"]
    lines += [f"| {peer.name} | {peer.version()} | {kinds[peer.streams]} | {peer.settings} |" for peer in peers]
    return "\n".join(lines)
