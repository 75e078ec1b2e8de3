"""Name the optimizers that are not torch's: their steps go by unseen, and must not be taken for confirmed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .imports import Callback

# module: where what applies an update is found in it, its name, and whose steps those are
_OTHERS: dict[str, tuple[str, str, str]] = {
    "keras": ("optimizers.Optimizer", "apply", "keras optimizers"),
    "optax": ("", "apply_updates", "optax"),
    "fastai.optimizer": ("Optimizer", "step", "fastai's own optimizers"),
    "mlx.optimizers": ("Optimizer", "apply_gradients", "MLX optimizers"),
    "paddle.optimizer": ("Optimizer", "step", "Paddle optimizers"),
}


def waiting(tell: Callable[[str], None]) -> dict[str, Callback]:
    """Give what to do when such a module has been imported: `tell` is called at the first step of its own."""
    return {name: functools.partial(_follow, tell=tell, where=where) for name, where in _OTHERS.items()}


def _follow(module: ModuleType, *, tell: Callable[[str], None], where: tuple[str, str, str]) -> None:
    path, name, whose = where
    owner: Any = module
    try:
        for part in filter(None, path.split(".")):
            owner = getattr(owner, part)
        original = getattr(owner, name)
    except AttributeError:
        return  # a version that is made otherwise
    told = False

    @functools.wraps(original)
    def apply(*args: Any, **kwargs: Any) -> Any:
        nonlocal told
        if not told:
            told = True
            tell(f"steps of {whose} were taken: they are not observed")
        return original(*args, **kwargs)

    setattr(owner, name, apply)
