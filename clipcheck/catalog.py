"""Read the rule pages: the one place that says what a rule is called and what it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

from clipcheck.config import Settings, UserError
from clipcheck.naming import nearest
from clipcheck.record import dataclass
from clipcheck.regular import regular

_PAGE = regular(r"(CLP\d{3})\.md\Z")
_TITLE = regular(r"# (?P<code>CLP\d{3}): (?P<name>[a-z0-9-]+)\s*\Z")


class PageError(ValueError):
    """A rule page that does not have the form of one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its page tells it; `fix` is the page's section on the fix, `text` the whole page (Markdown)."""

    code: str
    name: str
    summary: str
    fix: str
    text: str


@cache
def folder() -> Path:
    """Return the folder of the pages and of the knowledge; `importlib.resources` would cost more than reading them."""
    return Path(str(import_module("clipcheck.rules").__file__)).parent


@cache
def codes() -> tuple[str, ...]:
    """Return the codes of all rules, in order, without reading a page."""
    found = (_PAGE.match(item.name) for item in folder().iterdir())
    return tuple(sorted(match[1] for match in found if match))


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, by code."""
    return tuple(rule(code) for code in codes())


@cache
def rule(code: str) -> Rule:
    """Return one rule. Raises KeyError for a code that has no page."""
    if code not in codes():
        raise KeyError(code)
    return parse_page((folder() / f"{code}.md").read_text("utf-8"), code)


def check_codes(settings: Settings) -> None:
    """Refuse a code that no rule has: silence would read as "nothing found". Raises UserError."""
    asked = {
        "select": settings.select,
        "ignore": settings.ignore,
        "per_file_ignores": [code for _, own in settings.per_file_ignores for code in own],
    }
    for name, given in asked.items():
        for code in given:
            if not any(known.startswith(code) for known in codes()):
                where = f"{settings.source(name)}: `{name.replace('_', '-')}`"
                raise UserError(f"{where}: no rule has the code or prefix `{code}`{meant(code, codes())}")


def meant(word: str, known: Sequence[str]) -> str:
    """Return the question whether the known word nearest to one that is not was meant, if any is near."""
    near = nearest(word, known)
    return f"; did you mean `{near}`?" if near else ""


def names() -> Mapping[str, str]:
    """Return the name of each rule by its code."""
    return {item.code: item.name for item in rules()}


def parse_page(text: str, code: str) -> Rule:
    """Return the rule that a page describes. Raises PageError where title, code or summary are not there."""
    lines = text.splitlines()
    title = _TITLE.match(lines[0]) if lines else None
    if title is None or title["code"] != code:
        raise PageError(f"the page of {code} must begin with `# {code}: its-name`")
    sections = re.split(r"^## +(.+?)\s*$", "\n".join(lines[1:]), flags=re.MULTILINE)
    summary = " ".join(sections[0].split())
    if not summary:
        raise PageError(f"the page of {code} has no summary under its title")
    bodies = dict(zip(sections[1::2], sections[2::2], strict=True))
    return Rule(code, title["name"], summary, bodies.get("The fix", "").strip(), text)
