"""Call the command line as a user does, in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clipcheck import cli

Call = Callable[..., tuple[int, str, str]]


def caller(capsys: pytest.CaptureFixture[str], *always: str) -> Call:
    """Return what calls `clipcheck` with some words: its exit status, standard output and standard error.

    The words in `always` come last each time. No call may show a traceback.
    """

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main([*map(str, words), *always])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert isinstance(left.value.code, int)
        return left.value.code, out, err

    return call
