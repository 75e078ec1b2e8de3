"""Say which library a way of showing needs, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingLibrary(Exception):  # noqa: N818 - it says what is missing
    """A library that only showing needs is not installed."""


@contextmanager
def needed(*libraries: str) -> Iterator[None]:
    """Turn the failed import of one of `libraries` into a sentence for people. Other errors pass."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in libraries:
            raise
        raise MissingLibrary(f"{name} is not installed: pip install 'clipcheck[report]'") from error
