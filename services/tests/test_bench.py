"""The program `watershed-bench`: its page as a browser shows it, and suites over the program itself."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from .. import browser
from ..daemon import program

CHARTS = {"Latency by percentile": 2, "Latency over time": 3, "Events a second": 3}
"""How many lines each has."""


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `watershed-bench`, which stands beside the program."""
    binary = os.environ.get("WATERSHED_BENCH") or program().with_name("watershed-bench")
    environment = os.environ | {"WATERSHED": str(program())}
    return subprocess.run([binary, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("page")
    load = ("--profile", "orders", "--steps", "2s:5k,2s:20k", "--to", "file:orders.ndjson")
    made = bench(folder, "generate", *load, "--html", "report.html", "--quiet")
    assert made.returncode == 0, made.stderr
    return browser.look(folder / "report.html", folder)


def test_it_asks_for_nothing_and_complains_of_nothing(shown):
    for look in shown["looks"]:
        assert [url for url in look["requests"] if not url.startswith("file://")] == []
        assert len(look["requests"]) == 1
        assert look["errors"] == []


def test_numbers_and_charts_are_there(shown):
    for look in shown["looks"]:
        assert look["title"] == "orders to file:orders.ndjson"
        assert "50,000" in look["text"] and "NaN" not in look["text"]
        assert {chart["name"]: len(chart["lines"]) for chart in look["charts"]} == CHARTS
        for chart in look["charts"]:
            assert chart["outside"] == 0, chart["name"]
            for line in chart["lines"]:
                assert line["length"] > 100, chart


def test_a_narrow_screen_shows_all_of_it(shown):
    for look in shown["looks"]:
        assert look["overflow"] <= 0, look["width"]


def test_light_and_dark_can_both_be_read(shown):
    for look in shown["looks"]:
        dark = look["scheme"] == "dark"
        assert brightness(look["paper"]) < 0.1 if dark else brightness(look["paper"]) > 0.9
        assert contrast(look["ink"], look["paper"]) > 7
        for chart in look["charts"]:
            colors = [line["color"] for line in chart["lines"]]
            assert len(set(colors)) == len(colors)
            # What WCAG 2 asks of graphics.
            assert all(contrast(color, look["paper"]) > 3 for color in colors), colors


def brightness(color: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as WCAG 2 has it."""
    parts = [float(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    least, most = sorted((brightness(one), brightness(other)))
    return (most + 0.05) / (least + 0.05)


def test_a_suite_over_a_file_counts_every_event(tmp_path):
    options = ("--events", "200000", "--runs", "2", "--cache", "cache", "--out", "results.json")
    made = bench(tmp_path, "run", "w", *options)
    assert made.returncode == 0, made.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [case["name"] for case in results["cases"]] == ["q1", "q2", "q3"]
    for case in results["cases"]:
        facts = {fact["name"]: fact["value"] for fact in case["facts"]}
        assert facts["events"] == 200_000 and facts["late"] == 0 and facts["rows out"] > 0
        assert all(len(metric["runs"]) == 2 for metric in case["metrics"])
    # Two runs of one program: nothing is slower, and two runs show nothing.
    compared = bench(tmp_path, "compare", "results.json", "results.json")
    assert compared.returncode == 0, compared.stderr
    assert "too few runs" in compared.stdout


def test_a_suite_under_load_measures_rows(tmp_path):
    options = ("--rate", "2k/s", "--for", "8s", "--runs", "1", "--cache", "cache", "--out", "results.json")
    made = bench(tmp_path, "run", "latency", *options)
    assert made.returncode == 0, made.stderr
    (case,) = json.loads((tmp_path / "results.json").read_text())["cases"]
    measured = {metric["name"]: metric["runs"][0] for metric in case["metrics"]}
    assert case["facts"] == [{"name": "events due", "value": 16_000}]
    assert 0 < measured["rows visible, p50"] <= measured["rows visible, p99"] <= measured["rows visible, max"]
    assert 0 < measured["in its pane, p50"] <= measured["in its pane, p99"]
