"""Say which library is missing, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingLibrary(ImportError):  # noqa: N818 - it says what is missing
    """A library that only part of clipcheck needs is not installed."""


@contextmanager
def needed(*libraries: str, extra: str = "report") -> Iterator[None]:
    """Turn the failed import of one of `libraries` into a sentence that names the extra they are in."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in libraries:
            raise
        raise MissingLibrary(f"{name} is not installed: pip install 'clipcheck[{extra}]'") from error
