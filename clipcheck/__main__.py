"""Let `python -m clipcheck` do what `clipcheck` does."""

import os
import sys

if __name__ == "__main__":
    # Python looks for modules in the current folder first, which may be somebody else's project with a `click.py`.
    if sys.path and sys.path[0] in ("", os.getcwd()) and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    from clipcheck.cli import main

    main()
