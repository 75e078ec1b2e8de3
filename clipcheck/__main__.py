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
    finally:
        gc.freeze()  # what is left ends with the process, and need not be gone over once more


if __name__ == "__main__":
    # Python looks for modules in the current folder first, which may be somebody else's project with a `click.py`.
    if sys.path and sys.path[0] in ("", os.getcwd()) and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    main()
