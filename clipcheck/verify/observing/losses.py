"""Remember which losses lie behind a gradient, and read their values when the norms are read anyway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import norms

if TYPE_CHECKING:
    from .tracks import Sighting

_KEPT = 256  # losses behind one gradient; more micro-batches than that are summed as they come


@dataclass(slots=True, eq=False)
class Loss:
    """What one backward differentiated."""

    value: Tensor | None  # 0-dim, on its device, with the loss scale; None: no scalar, or not readable
    scale: float = 1.0


Behind = tuple[Loss, ...]


def loss_of(tensors: Any, scale: float) -> Loss:
    """Give the loss that a backward is called on (the sum, if on several), as a copy without its graph."""
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors or ())
    parts = [norms.local(root).detach() for root in roots if isinstance(root, Tensor)]
    readable = all(type(p) is Tensor and p.numel() == 1 and p.is_floating_point() for p in parts)
    if not parts or not readable or len({part.device for part in parts}) > 1:
        return Loss(None, scale)
    # Code may go on with the loss in place (`loss *= n`), and a view would keep all of its base alive.
    return Loss(sum((part.reshape(()).float() for part in parts[1:]), parts[0].reshape(()).clone()), scale)


class Chain:
    """Adds a loss to what lies behind many gradients; those with one history keep sharing one tuple."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self._longer: dict[int, tuple[Behind, Behind]] = {}

    def after(self, behind: Behind) -> Behind:
        """Give `behind` with the loss at its end."""
        known = self._longer.get(id(behind))
        if known is None:
            first = (_summed(behind),) if len(behind) >= _KEPT else behind
            known = self._longer[id(behind)] = (behind, (*first, self._loss))
        return known[1]


def behind_all(seen: Sequence[Sighting]) -> list[Loss]:
    """Give every loss behind these gradients once, without what is left over from steps before."""
    tracks = [s.track for s in seen if not s.track.spent] or [s.track for s in seen]
    chains = {id(track.behind): track.behind for track in tracks}
    return list({id(loss): loss for chain in chains.values() for loss in chain}.values())


def total(losses: Sequence[Loss], values: Iterable[float]) -> float | None:
    """Give the sum of the losses in true units, from the values read; None where one is not known."""
    if not losses or any(loss.value is None for loss in losses):
        return None
    return sum(value / loss.scale for loss, value in zip(losses, list(values), strict=True))


def _summed(behind: Behind) -> Loss:
    values = [loss.value / loss.scale for loss in behind if loss.value is not None]
    if len(values) < len(behind) or len({value.device for value in values}) > 1:
        return Loss(None)
    return Loss(torch.stack([value.float() for value in values]).sum())
