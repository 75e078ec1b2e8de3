"""Replace attributes of modules and classes, and put every one of them back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

_MISSING = object()


class Patches:
    """What was replaced, in order; `restore` undoes it in reverse."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, Any]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Set `owner.name` to `make(what it is now)`."""
        original = getattr(owner, name)
        own = vars(owner).get(name, _MISSING)
        replacement = make(original)
        setattr(owner, name, replacement)
        self._undo.append((owner, name, own, replacement))

    def replace_everywhere(self, replacements: Mapping[int, Any]) -> None:
        """Replace functions, by the id of the original, under whatever name any loaded module has them.

        Modules that ran `from torch.nn.utils import clip_grad_norm_` before the observer came hold a
        name of their own for it.
        """
        for module in list(sys.modules.values()):
            namespace = getattr(module, "__dict__", None)
            if not isinstance(namespace, dict):
                continue
            for name, value in list(namespace.items()):
                replacement = replacements.get(id(value))
                if replacement is not None and callable(value):
                    namespace[name] = replacement
                    self._undo.append((module, name, value, replacement))

    def restore(self) -> None:
        """Put everything back, except what someone else has replaced in the meantime."""
        while self._undo:
            owner, name, own, replacement = self._undo.pop()
            if vars(owner).get(name) is not replacement:
                continue
            if own is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
