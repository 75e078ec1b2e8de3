"""List the frameworks that are known: what is recognised, what is fixed, and how far that was tried.

All of it stands in the knowledge files; the same list is shown on a terminal, as JSON and in the README.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from clipcheck.knowledge import Framework, Knowledge
from clipcheck.regular import regular

_HEADINGS = ("framework", "recognised", "fixed", "checked with", "tried")
_SHORT = {0, 3, 4}  # no word of these columns is cut, and the others share what is left
_SIGNS = regular(r"[_*<\[\]]")
_LEGEND = (
    "run: the tests run the fixed code with these versions; read: only the framework's own code was read.\n"
)


def frameworks(knowledge: Knowledge) -> list[Framework]:
    """Return what people train with, by name; files about options and Python itself are left out."""
    listed = [one for one in knowledge.frameworks.values() if one.listed]
    return sorted(listed, key=lambda one: one.name.casefold())


def to_json(listed: Sequence[Framework]) -> list[dict[str, Any]]:
    """Give the list as plain values."""
    return [
        {
            "name": one.name,
            "recognised": one.recognised,
            "fixed": one.fixed,
            "checked": [
                {"package": package, "version": version, "tried": tried}
                for package, version, tried in one.versions
            ],
            "tried": one.tried,
        }
        for one in listed
    ]


def to_text(listed: Sequence[Framework], width: int = 100, *, color: bool = False) -> str:
    """Give the list as a table for a terminal of this width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without a box: its lines are no letters of every encoding that a terminal may have.
    table = Table(box=None, padding=(0, 2, 1, 0), expand=True, header_style="bold")
    rows = [_cells(one, "\n") for one in listed]
    for number, heading in enumerate(_HEADINGS):
        cells = [heading, *(row[number] for row in rows)] if number in _SHORT else [heading]
        longest = max(len(word) for cell in cells for word in cell.split())
        share = None if number in _SHORT else 1
        table.add_column(heading, ratio=share, min_width=longest, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(
        file=io.StringIO(),
        width=max(width, 80),  # below that no column has room for a word
        force_terminal=color,
        color_system="standard" if color else None,
        _environ={},
    )
    console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(line.rstrip() + "\n" for line in shown.rstrip().splitlines()) + "\n" + _LEGEND


def to_markdown(listed: Sequence[Framework]) -> str:
    """Give the list as a table of a Markdown page."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|" + "---|" * len(_HEADINGS)]
    rows = ([_marked(cell) for cell in _cells(one, ", ")] for one in listed)
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n\n" + _LEGEND


def _marked(cell: str) -> str:
    """A cell with the signs escaped that Markdown would act on; what stands in backticks is code already."""
    parts = cell.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else _SIGNS.sub(r"\\\g<0>", part) for number, part in enumerate(parts))


def _cells(one: Framework, between: str) -> tuple[str, ...]:
    checked = between.join(
        f"{package} {version}{'' if tried == one.tried else f' ({tried})'}"
        for package, version, tried in one.versions
    )
    return one.name, one.recognised, one.fixed, checked, one.tried
