"""Show a verification as one HTML file: nothing is loaded from elsewhere, and it holds no script.

Names of files, messages of exceptions and commands come from the project that was run. The template
escapes all of them (jinja2's autoescape), and the page's own policy forbids scripts and loading, should one
ever get through. The drawings alone go in as they are; they hold numbers and words of clipcheck's.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .missing import needed
from .render import HEADINGS, LEFT, endings_of, notes_of, reason_of, row_of, totals_of
from .series import series_of
from .verdicts import SiteVerdict, Verification

_TEMPLATE = Path(__file__).with_name("page.html")


def to_html(
    verification: Verification, *, version: str = "", cwd: str | None = None, beside: Sequence[str] = ()
) -> str:
    """Give the page. Places are shown relative to `cwd`; `version` is clipcheck's.

    `beside` are lines of text to show under the verdicts: a comparison, a stress, advice.

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
            sites=[_site(site, number, verification, cwd) for number, site in enumerate(verification.sites)],
            beside="\n".join(beside).strip(),
            version=version,
            torch=", ".join(versions),
        )


def _site(site: SiteVerdict, number: int, verification: Verification, cwd: str) -> dict[str, Any]:
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
    }
