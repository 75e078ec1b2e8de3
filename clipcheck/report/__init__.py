"""Write what a run found, in the format asked for.

A format is a module of this package with the format's name and a function
`render(report, layout) -> str`. A new one is one new file, and its name among `config.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from clipcheck.findings import Report
from clipcheck.record import dataclass, field
from clipcheck.sourcefile import decode


@dataclass(frozen=True, slots=True)
class Layout:
    """How a report is to look: the same findings on a terminal, in a pipe, in a file."""

    width: int = 100
    color: bool = False
    encoding: str = "utf-8"
    quiet: bool = False
    statistics: bool = False
    folder: Path = field(default_factory=Path.cwd)  # file names are shown from here
    sources: Mapping[str, str] = field(default_factory=dict)  # text that is not on disk: standard input's

    def text(self, filename: str) -> str | None:
        """Return a file's text; None where it cannot be read any more."""
        if filename in self.sources:
            return self.sources[filename]
        try:
            return decode(Path(filename).read_bytes())[0]
        except (OSError, SyntaxError, LookupError, ValueError):
            return None


Renderer = Callable[[Report, Layout], str]


def renderer(name: str) -> Renderer:
    """Return the function that writes a format: one of `config.FORMATS`."""
    found: Renderer = import_module(f"{__name__}.{name}").render
    return found
