"""Show a verification as one HTML file: nothing is loaded from elsewhere, and it holds no script.

Names of files, messages of exceptions and commands come from the project that was run. The template
escapes all of them (jinja2's autoescape), and the page's own policy forbids scripts and loading, should one
ever get through. The drawings alone go in as they are; they hold numbers and words of clipcheck's.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import compare
from ..advice import Advice, advice_rows
from ..missing import needed
from ..session import Place
from ..stress import Stress, stress_lines
from ..verdicts import SiteVerdict, Verification
from .render import HEADINGS, LEFT, endings_of, notes_of, reason_of, row_of, short, totals_of
from .series import series_of

_TEMPLATE = Path(__file__).with_name("page.html")


def to_html(
    verification: Verification,
    *,
    version: str = "",
    cwd: str | None = None,
    names: tuple[str, str] = ("before", "after"),
    comparison: compare.Comparison | None = None,
    stress: Stress | None = None,
    advice: Mapping[Place, Advice] | None = None,
) -> str:
    """Give the page. Places are shown relative to `cwd`; `version` is clipcheck's.

    `names` are what the two runs of a comparison, or of a stress, are called. `advice` goes with the lines that
    it is for.

    Raises `missing.MissingLibrary` if jinja2 or matplotlib is not there.
    """
    with needed("jinja2", "matplotlib"):
        from jinja2 import Environment, StrictUndefined

        cwd = os.getcwd() if cwd is None else cwd
        environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
        template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
        versions = sorted({process.torch for process in verification.sessions if process.torch})
        return template.render(
            command=shlex.join(verification.command),
            totals=totals_of(verification),
            endings=[f"the command could not be run: {why}" for why in [verification.not_run] if why]
            + endings_of(verification),
            headings=HEADINGS,
            left=LEFT,
            sites=[
                _site(site, number, verification, cwd, (advice or {}).get(site.place))
                for number, site in enumerate(verification.sites)
            ],
            comparison=None if comparison is None else _comparison(comparison, names, cwd),
            stress=None if stress is None else _stress(stress, names),
            version=version,
            torch=", ".join(versions),
        )


def _comparison(comparison: compare.Comparison, names: tuple[str, str], cwd: str) -> dict[str, Any]:
    from .plots import runs_of

    runs = [
        [record for pair in comparison.own if (record := getattr(pair, run)) is not None]
        for run in ("before", "after")
    ]
    return {
        "told": compare.told(comparison),
        "notes": compare.notes_of(comparison, lambda place: f"{short(place.filename, cwd)}:{place.row}"),
        "names": names,
        "compared": compare.COMPARED,
        "rows": [compare.row_of(pair) for pair in compare.chosen(comparison)],
        "plots": runs_of(runs, names, "c"),
    }


def _stress(stress: Stress, names: tuple[str, str]) -> dict[str, Any]:
    from .plots import runs_of

    heading, *lines = stress_lines(stress, names)
    runs = [stress.unclipped.records, stress.clipped.records]
    return {
        "told": heading.rstrip(":"),
        "lines": [line.strip() for line in lines],
        "plots": runs_of(runs, names, "s", where=" under stress"),
    }


def _site(
    site: SiteVerdict, number: int, verification: Verification, cwd: str, advice: Advice | None
) -> dict[str, Any]:
    from .plots import plots_of

    cells = row_of(site, cwd)
    series = series_of(verification.sessions, site.place, verification.max_norm)
    return {
        "cells": list(zip(HEADINGS, cells, strict=True)),
        "where": cells[0],
        "word": site.word,
        "css": site.word.replace(" ", "-"),
        "reason": reason_of(site, cwd),
        "notes": notes_of(site, cwd),
        "plots": plots_of(series, f"p{number}") if series else [],
        "advice": [] if advice is None else advice_rows(advice),
    }
