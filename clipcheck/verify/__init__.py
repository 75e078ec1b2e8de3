"""Run a training command under an observer and judge whether its gradients were clipped.

This package stands on its own (relative imports only), because the observer is loaded from its folder
into training processes that need not have clipcheck installed. Nothing here imports torch at the top
except the modules that run inside such a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runner import verify as verify
    from .verdicts import SiteVerdict as SiteVerdict
    from .verdicts import Verification as Verification
    from .watch import Watch as Watch

__all__ = ["SiteVerdict", "Verification", "Watch", "verify"]


def __getattr__(name: str) -> Any:
    """Import the public names only when they are asked for: the child process needs none of them."""
    if name == "verify":
        from .runner import verify

        return verify
    if name == "Watch":
        from .watch import Watch

        return Watch
    if name in ("SiteVerdict", "Verification"):
        from . import verdicts

        return getattr(verdicts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
