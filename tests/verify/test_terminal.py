"""What a terminal shows: the table, a plot under each line, and no less without the plotting library."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from clipcheck.verify.session import Place, Process
from clipcheck.verify.showing.terminal import show
from clipcheck.verify.verdicts import Verification

from .recorded import record, usual, verification


def shown(run: Verification, *, width: int = 110, colours: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=colours, color_system="truecolor" if colours else None
    )
    show(run, console, cwd="/tmp")
    return file.getvalue()


def test_table_plots_and_totals() -> None:
    text = shown(usual())
    for part in (
        "train.py:7",
        "confirmed",
        "refuted",
        "not reached",
        "raw norm",
        "used norm",
        "optimizer step",
    ):
        assert part in text
    assert text.count("raw norm") >= 2  # one plot for each line that ran
    assert "1 confirmed, 1 refuted, 0 not measurable, 1 not reached" in text
    assert "\x1b" not in text


def test_colours_where_there_are_any() -> None:
    assert "\x1b[32mconfirmed" in shown(usual(), colours=True)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit(width: int) -> None:
    assert max(len(line) for line in shown(usual(), width=width).splitlines()) <= width


def test_without_plotext_the_table_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    text = shown(usual())
    assert "(no plot: plotext is not installed: pip install 'clipcheck[report]')" in text
    assert "train.py:9" in text


def test_markup_in_names_is_text() -> None:
    odd = Place("/tmp/[bold]x[/red].py", 3)
    text = shown(
        verification(Process(1, records=(record(1, 5.0, place=odd),)), crash="[/nope]", ended="signal X")
    )
    assert "[bold]x[/red].py:3" in text
    assert "[/nope]" in text


def test_norms_without_a_place_on_a_log_scale() -> None:
    text = shown(verification(Process(1, records=(record(1, math.nan), record(2, 0.0)))))
    assert "no norm was finite and above 0" in text


def test_one_norm_is_drawn() -> None:
    assert "raw norm" in shown(verification(Process(1, records=(replace(record(1, 5.0), used=0.0),))))
