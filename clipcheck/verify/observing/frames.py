"""Find the line of the user's code that a call came from."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from types import FrameType

from ..session import Place

_CLIPCHECK = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # its verify package
_LIBRARY = tuple(
    os.path.realpath(path)
    for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__)}
    if path
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_TYPED_IN = ("<string>", "<stdin>", "<ipython-input")


def user_place() -> Place:
    """Give the innermost line outside torch, installed packages, the standard library and clipcheck.

    Where there is none (`python -m installed.package`), the innermost line outside torch and clipcheck.
    """
    frame: FrameType | None = sys._getframe(1)
    fallback: Place | None = None
    while frame is not None:
        filename = frame.f_code.co_filename
        owner = owner_of(filename)
        if owner == "user":
            return Place(_absolute(filename), frame.f_lineno)
        if owner == "installed" and fallback is None:
            fallback = Place(filename, frame.f_lineno)
        frame = frame.f_back
    return fallback or Place("<unknown>", 0)


def steps_running(optimizer: object) -> int:
    """Say how many steps of an optimizer are at work in this thread; one in another is its `super().step()`."""
    frame: FrameType | None = sys._getframe(1)
    hooks = sys.modules["torch.optim.optimizer"].__file__  # where those around a step are called
    calls = 0
    while frame is not None:
        if frame.f_code.co_filename == hooks and frame.f_code.co_name == "wrapper":
            given = frame.f_locals.get("args", ())
            calls += bool(given) and given[0] is optimizer
        frame = frame.f_back
    return calls


@lru_cache(maxsize=4096)
def owner_of(filename: str) -> str:
    """Say whose a file is: user, installed, or machinery (torch, the standard library, clipcheck)."""
    if filename.startswith("<"):
        return "user" if filename.startswith(_TYPED_IN) else "machinery"
    path = os.path.realpath(filename)
    if path.startswith(_CLIPCHECK + os.sep):
        return "machinery"
    for part in _INSTALLED:
        # the last one: a project may itself lie below some site-packages folder's parent
        if part in path:
            return "machinery" if path.rpartition(part)[2].startswith("torch" + os.sep) else "installed"
    if path.startswith(tuple(root + os.sep for root in _LIBRARY)):
        return "machinery"
    return "user"


@lru_cache(maxsize=4096)
def _absolute(filename: str) -> str:
    return filename if filename.startswith("<") else os.path.realpath(filename)
