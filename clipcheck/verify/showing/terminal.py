"""Show a verification in a terminal: the verdicts as a table, and under each line a small plot of its norms.

rich makes the table, plotext the plots; without plotext the table stands alone. Where standard output is
no terminal, `render.to_text` is shown instead, which programs can read.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..missing import MissingLibrary, needed
from .render import HEADINGS, LEFT, endings_of, notes_of, reason_of, row_of, totals_of
from .series import Series, series_of

if TYPE_CHECKING:
    from rich.console import Console

    from ..verdicts import Verification

_STYLES = {"confirmed": "green", "refuted": "bold red", "not measurable": "yellow", "not reached": "yellow"}
_WIDEST, _HEIGHT = 90, 13  # characters
_PLOTTED = 5  # lines of code; who has more looks at the page


def show(verification: Verification, console: Console, *, cwd: str | None = None) -> None:
    """Print the verification to `console`; places are shown relative to `cwd`."""
    from rich.table import Table
    from rich.text import Text

    cwd = os.getcwd() if cwd is None else cwd
    console.print(Text(f"clipcheck verify: {shlex.join(verification.command)}"))
    table = Table(show_lines=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in LEFT else "right", overflow="fold")
    for site in verification.sites:
        where, word, *numbers = row_of(site, cwd)
        table.add_row(Text(where), Text(word, _STYLES[site.word]), *numbers)
    if verification.sites:
        console.print(table)
    for number, site in enumerate(verification.sites):
        where = row_of(site, cwd)[0]
        console.print(Text.assemble((where, "bold"), ": ", reason_of(site, cwd)))
        series = series_of(verification.sessions, site.place, verification.max_norm)
        if series and number < _PLOTTED:
            console.print(_plot(series, console.width))
    for site in verification.sites:
        for note in notes_of(site, cwd):
            console.print(Text(note))
    for line in endings_of(verification):
        console.print(Text(line, "yellow"))
    console.print(Text(totals_of(verification), "bold"))


def _plot(series: Sequence[Series], width: int) -> object:
    from rich.text import Text

    try:
        with needed("plotext"):
            return Text.from_ansi(norms_drawn(series[0], min(width, _WIDEST)))
    except MissingLibrary as missing:
        return Text(f"(no plot: {missing})", "dim")


def norms_drawn(series: Series, width: int) -> str:
    """Give a plot of the norms of one process, `width` characters wide. Raises ImportError without plotext."""
    import plotext

    raw = [(u.at, u.raw) for u in series.updates if _drawable(u.raw)]
    used = [(u.at, u.used) for u in series.updates if _drawable(u.used)]
    if not raw:
        return "  no norm was finite and above 0"
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, _HEIGHT)
    plotext.yscale("log")
    plotext.xlabel("optimizer step")
    for name, pairs, colour in (("raw", raw, "orange+"), ("used", used, "blue+")):
        if pairs:
            plotext.plot(
                [at for at, _ in pairs], [norm for _, norm in pairs], label=f"{name} norm", color=colour
            )
    plotext.yticks(*_ticks([norm for _, norm in raw + used]))
    levels = {u.threshold for u in series.updates if u.threshold is not None and _drawable(u.threshold)}
    for level in sorted(levels)[:2]:
        plotext.hline(level, "gray")
    drawn = plotext.build()
    plotext.clear_figure()
    return str(drawn)


def _ticks(norms: Sequence[float]) -> tuple[list[float], list[str]]:
    """Give powers of ten that lie in reach of the norms, five at most, and what they are called."""
    low, high = math.floor(math.log10(min(norms))), math.ceil(math.log10(max(norms)))
    powers = range(low, high + 1, max(1, math.ceil((high - low) / 4)))
    return [10.0**power for power in powers], [f"{10.0**power:g}" for power in powers]


def _drawable(norm: float) -> bool:
    return math.isfinite(norm) and norm > 0.0
