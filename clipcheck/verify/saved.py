"""Read a verification back from the JSON that `clipcheck verify --json` wrote, to look at it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .session import Place, Process, record_of
from .verdicts import Verification, judge

_TEXTS = ("not_run", "ended", "crash")  # null in JSON where there is nothing to say


def from_json(saved: Mapping[str, Any]) -> Verification:
    """Give the verification that `render.to_json` made plain; the verdicts are drawn anew from the records.

    Raises ValueError if it is not such a file, or one of a version that kept no records.
    """
    try:
        processes = tuple(_process(entry) for entry in saved["sessions"])
        known = [(site["filename"], site["row"]) for site in saved["sites"]]
        kept = {f.name: saved[f.name] for f in fields(Verification) if f.name not in ("sites", "sessions")}
        kept |= {name: tuple(kept[name]) for name in ("command", "problems")}
        kept |= {name: kept[name] or "" for name in _TEXTS}
        sites = judge(processes, max_norm=kept["max_norm"], known_sites=known)
        return Verification(**kept, sites=sites, sessions=processes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"not a recording that `clipcheck verify --json` of this version wrote ({error!r})"
        ) from error


def _process(entry: Mapping[str, Any]) -> Process:
    plain: dict[str, Any] = {f.name: entry[f.name] for f in fields(Process) if f.name in entry}
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    if plain.get("lines") is not None:
        plain["lines"] = frozenset(Place(*line) for line in plain["lines"])
    plain["records"] = tuple(record_of(record) for record in entry["records"])
    return Process(**plain)
