"""The commands that answer questions and scan nothing: `rule`, `config` and `cache`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clipcheck import completion, config, output
from clipcheck.config import UserError

if TYPE_CHECKING:
    from clipcheck.knowledge import Framework


@click.command()
@click.argument("code", required=False, shell_complete=completion.rules)
@click.option("--all", "every", is_flag=True, help="Explain every rule, and list the frameworks.")
@click.option("--frameworks", is_flag=True, help="List what is recognised and fixed of each framework.")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rule(code: str | None, every: bool, frameworks: bool, output_format: str) -> None:
    """Explain a rule, by its code or name, or list the frameworks that the rules know."""
    from clipcheck import catalog

    if (code is not None) + every + frameworks != 1:
        raise UserError("name one rule (`clipcheck rule CLP101`), or ask for --all or for --frameworks")
    rules = catalog.rules() if not frameworks else ()
    if code is not None:
        rules = tuple(item for item in rules if code.upper() == item.code or code.lower() == item.name)
        if not rules:
            known = [*catalog.codes(), *(item.name for item in catalog.rules())]
            raise UserError(f"no rule `{code}`{catalog.meant(code, known)}")
    if output_format == "text":
        pages = [item.text.rstrip("\n") + "\n" for item in rules]
        if code is None:
            pages.append(output.frameworks(_frameworks(), heading=every))
        click.echo("\n".join(pages), nl=False)
        return
    import json
    from dataclasses import asdict

    from clipcheck import listing

    if frameworks:
        click.echo(json.dumps(listing.to_json(_frameworks()), indent=2))
        return
    # A list of rules and of nothing else: scripts read it.
    shown = [asdict(item) for item in rules]
    click.echo(json.dumps(shown if every else shown[0], indent=2))


def _frameworks() -> list[Framework]:
    """The frameworks that are known here: a project's own stand in the folders that its settings name."""
    from clipcheck import knowledge, listing

    return listing.frameworks(knowledge.load(config.load(Path(".")).rules))


@click.command(name="config")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings to use."
)
def show_config(config_file: Path | None) -> None:
    """Show the settings in force here, and where each comes from."""
    from clipcheck import catalog

    settings = config.load(Path("."), config_file)
    catalog.check_codes(settings)
    output.say(f"# project root: {settings.project_root}")
    for name in config.SETTINGS:
        value = config.describe(settings, name)
        key = name.replace("_", "-")
        output.say(f"# {key} is not set" if value is None else f"{key} = {value}  # {settings.source(name)}")


@click.group(name="cache")
def cache_group() -> None:
    """Look after the cache of facts."""


@cache_group.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings to use."
)
@click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="The cache to clear.")
def clear(config_file: Path | None, cache_dir: Path | None) -> None:
    """Remove all entries."""
    from clipcheck.cache import FactsCache, default_directory

    settings = config.load(Path("."), config_file, {"cache_dir": cache_dir})
    directory = settings.cache_dir or default_directory()
    removed = FactsCache(directory).clear()
    click.echo(f"removed {removed} entr{'y' if removed == 1 else 'ies'} from {directory}")
