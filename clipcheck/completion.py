"""What a shell offers when Tab is pressed: the values of options, and the options of `check` without its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from clipcheck.config import FORMATS
from clipcheck.findings import RISKS

if TYPE_CHECKING:
    import click


def formats(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The output formats."""
    return [CompletionItem(name) for name in FORMATS if name.startswith(incomplete)]


def risks(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The risks, from the lowest up."""
    return [CompletionItem(name) for name in RISKS if name.startswith(incomplete)]


def codes(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The codes of rules, behind those that a list has already."""
    from clipcheck import catalog

    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [
        CompletionItem(f"{before}{comma}{rule.code}", help=rule.name)
        for rule in catalog.rules()
        if rule.code.startswith(last.upper()) and rule.code not in taken
    ]


def rules(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The rules by code, or by name where one was begun."""
    from clipcheck import catalog

    found = [(rule.code, rule.name) for rule in catalog.rules() if rule.code.startswith(incomplete.upper())]
    found += [
        (rule.name, rule.code)
        for rule in catalog.rules()
        if incomplete and rule.name.startswith(incomplete.lower())
    ]
    return [CompletionItem(value, help=other) for value, other in found]


def first_word(check: click.Command, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """What may stand in the first place beside the names of commands: an option or a path of `check`."""
    if incomplete.startswith("-"):
        within = check.make_context(check.name, [], parent=ctx, resilient_parsing=True)
        return check.shell_complete(within, incomplete)
    return [CompletionItem(incomplete, type="file")]
