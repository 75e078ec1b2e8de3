"""Where both `clipcheck` and `python -m clipcheck` begin."""

from __future__ import annotations

import os
import sys

from clipcheck.version import __version__

TYPE_CHECKING = False  # as in `clipcheck/__init__.py`
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; `--version` alone, which tools ask at each of their starts, needs no click for its answer."""
    if sys.argv[1:] == ["--version"]:
        print(f"clipcheck {__version__}")
        raise SystemExit(0)
    import gc

    gc.set_threshold(100_000)  # of 700: of the modules that a start imports, nothing is garbage
    from clipcheck.cli import main as run

    try:
        run()
    except SystemExit as end:
        if isinstance(end.code, int):
            _end(end.code)
        raise


def _end(status: int) -> None:
    """End the process without taking apart, object by object, what Python has built: a seventh of what a hook takes.

    What is registered for the end is done before. It returns where somebody watches this process, or waits in it; who
    calls `main` gets nothing else back (`clipcheck.check` is for programs).
    """
    import atexit

    watched = sys.gettrace() is not None or sys.getprofile() is not None or bool(sys.flags.inspect)
    if sys.version_info >= (3, 12):
        watched = watched or any(map(sys.monitoring.get_tool, range(6)))
    threads = sys.modules.get("threading")
    if watched or (threads is not None and threads.active_count() > 1):
        return
    try:
        atexit._run_exitfuncs()  # noqa: SLF001 - it has no other name
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return  # a stream is closed, or nobody reads it: Python has its own words for that
    os._exit(status)


if __name__ == "__main__":
    # Python looks for modules in the current folder first, which may be somebody else's project with a `click.py`.
    if sys.path and sys.path[0] in ("", os.getcwd()) and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    main()
