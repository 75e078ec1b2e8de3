"""How much of a sharded gradient this process holds, found out without asking the other processes.

FSDP2 (and tensor parallelism) hold DTensors, which say how they are laid out; FSDP1 keeps it in its handles. A
process records its *share*: squares of shares add up over all processes to the square of the whole norm, also
where several of them hold the same values. The adding is done when the run is over (`joining.py`), since a
collective of the observer's own, in the midst of the user's, could wait for ever.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import norms

if TYPE_CHECKING:
    from torch import Tensor

    from .tracks import Sighting

_handles: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # of FSDP1, by parameter


def is_sharded(param: Tensor, grad: Tensor) -> bool:
    """Say whether this process may hold only a part of the gradient."""
    return norms.local(grad) is not grad or getattr(param, "_fsdp_flattened", False)


def shares(seen: Sequence[Sighting], norm_type: float) -> tuple[list[float], int]:
    """Give the factors that make shares of this process's norms, and over how many processes they add up.

    One for each gradient, 1.0 where nothing is sharded (then the number is 1). The number is 0 where the
    layout is not one of the whole world, and the shares add up to nothing known.
    """
    if not any(is_sharded(s.param, s.grad) for s in seen):
        return [1.0] * len(seen), 1
    world = _world()
    copies = [_copies(s.param, s.grad, world) for s in seen]
    if any(count is None for count in copies):
        return [1.0] * len(seen), 0
    if math.isinf(norm_type):
        return [1.0] * len(seen), world
    return [(count or 1.0) ** (-1.0 / norm_type) for count in copies], world


def value_of(tensor: Any) -> float | None:
    """Give the value of a 0-dim tensor, or None where processes would have to be asked for it."""
    if tensor is None:
        return None
    if norms.local(tensor) is tensor:
        return float(tensor)
    return float(norms.local(tensor)) if all(p.is_replicate() for p in tensor.placements) else None


def _copies(param: Tensor, grad: Any, world: int) -> float | None:
    """Say in how many processes the values that this one holds are to be found; None if it can't be said."""
    if norms.local(grad) is not grad:
        mesh = grad.device_mesh
        if mesh.size() != world or any(p.is_partial() for p in grad.placements):
            return None
        sizes = [mesh.size(dim) for dim, p in enumerate(grad.placements) if p.is_replicate()]
        return float(math.prod(sizes))
    if not getattr(param, "_fsdp_flattened", False):
        return float(world)  # replicated, beside others that are sharded
    handle = _handle_of(param)
    if handle is None:
        return None
    return world / handle.world_size if handle.uses_sharded_strategy else float(world)


def _handle_of(param: Tensor) -> Any:
    """Give FSDP1's handle of a parameter; it is searched for once, among all objects."""
    handle = _handles.get(id(param))
    if handle is None:
        for one in gc.get_objects():
            if type(one).__name__ == "FlatParamHandle" and type(one).__module__.startswith("torch."):
                originals = getattr(one.flat_param, "_params", None) or ()
                for member in (one.flat_param, *originals):
                    _handles[id(member)] = one
        handle = _handles.get(id(param))
    return handle


def _world() -> int:
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
