"""Find optimizer steps on gradients that nothing has clipped, write the clipping in, and prove it at run time."""

from __future__ import annotations

from clipcheck.version import __version__

TYPE_CHECKING = False  # type checkers know it by its name; `typing` alone would double the time of a start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from clipcheck.config import Settings
    from clipcheck.findings import Report
    from clipcheck.fixing import FixOutcome
    from clipcheck.verify.watch import Watch

__all__ = ["__version__", "check", "fix", "watch"]


def check(paths: Sequence[str | Path], **settings: Any) -> Report:
    """Scan the paths and return what there is to report.

    `settings` are the names of the command-line options (`min_risk="low"`, `select=["CLP1"]`) and beat the
    project's configuration. With `baseline="FILE"` the report leaves out what that file holds and `known` counts it;
    `write_baseline="FILE"` writes it, and `add_ignores=True` writes a comment for each finding. Raises
    `clipcheck.config.UserError` for a setting or path that cannot be used.
    """
    from clipcheck import gate
    from clipcheck.pipeline import run

    return gate.check(*_asked(paths, settings), run).report


def fix(paths: Sequence[str | Path], **settings: Any) -> FixOutcome:
    """Write the safe fixes under the paths (`unsafe_fixes=True`: all of them), and return what was done.

    `settings` and errors are those of `check`. With `verify="python train.py"` only the fixes that the command
    confirms are written, each tried before anything is.
    """
    from clipcheck import gate

    places, asked = _asked(paths, {**settings, "fix": True})
    gate.agree(asked)
    if asked.verify is not None:
        from clipcheck import proving

        return gate.fixed(proving.apply(places, asked)[0], asked)
    from clipcheck.fixing import apply
    from clipcheck.pipeline import run

    return gate.fixed(apply(places, asked, run), asked)


def watch(max_norm: float | None = None) -> Watch:
    """Watch the optimizer steps of this process and judge whether their gradients were clipped.

        with clipcheck.watch(max_norm=1.0) as run:
            train(model)
        assert run.verdict == "confirmed", run

    `max_norm` is the threshold to hold the steps to; without it, the one that the code gives. `run.steps` has
    the numbers of every update, `run.sites` the verdict on each line, `str(run)` the whole in words. Watches
    may be nested; all that was replaced in torch is put back at the end. Raises ImportError without torch.
    """
    from clipcheck.verify.watch import Watch

    return Watch(max_norm)


def _asked(paths: Sequence[str | Path], settings: dict[str, Any]) -> tuple[list[Path], Settings]:
    from pathlib import Path

    from clipcheck import config, discover

    places = [Path(path) for path in paths]
    return places, config.load(discover.common_folder(places), None, settings)
