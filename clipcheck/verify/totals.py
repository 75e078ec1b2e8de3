"""The norm of a whole from the norms of its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence


def total(parts: Sequence[float], norm_type: float = 2.0) -> float:
    """Give the norm of a whole from the norms of its parts."""
    if any(math.isnan(part) for part in parts):
        return math.nan
    biggest = max(parts, default=0.0)
    if biggest == 0.0 or math.isinf(biggest) or math.isinf(norm_type):
        return biggest
    # divided by the biggest first: its square may overflow
    return biggest * math.pow(math.fsum((part / biggest) ** norm_type for part in parts), 1.0 / norm_type)


def relative_error(own: float | None, measured: float, most: float = 1e-2) -> float:
    """Say how far a clip's own norm is off; 0 beyond `most`: then it is not imprecise but of something else."""
    if own is None or measured == 0.0 or not math.isfinite(own) or not math.isfinite(measured):
        return 0.0
    error = abs(own / measured - 1.0)
    return error if error < most else 0.0
