"""Find optimizer steps on gradients that nothing has clipped, and write the clipping in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clipcheck.findings import Report

__all__ = ["__version__", "check"]
__version__ = "0.1.0"


def check(paths: Sequence[str | Path], **settings: Any) -> Report:
    """Scan the paths and return what there is to report.

    `settings` are the names of the command-line options (`min_risk="low"`, `select=["CLP1"]`) and beat the
    project's configuration. Raises `clipcheck.config.UserError` for a setting or path that cannot be used.
    """
    from pathlib import Path

    from clipcheck import config, discover, pipeline

    places = [Path(path) for path in paths]
    start = discover.common_folder(places)
    return pipeline.run(places, config.load(start, None, settings))
