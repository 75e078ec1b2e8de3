"""Act as soon as a module has been imported, before the code that imported it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Callback = Callable[[ModuleType], None]


class AfterImport:
    """A meta path finder that lets the others find a module, and adds a call after its import.

    `waiting` has the call by the module's full name, for modules not imported yet; what goes wrong in
    following an import is told to `failure`. It takes itself off the path when it waits for nothing more.
    """

    def __init__(self, waiting: Mapping[str, Callback], failure: Callable[[str], None]) -> None:
        self._waiting = dict(waiting)
        self._failure = failure

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Give the spec that the other finders give, with a loader that calls back."""
        if name not in self._waiting:
            return None
        spec = self._found_by_others(name, path, target)
        loader: Any = spec.loader if spec is not None else None
        if loader is None or not hasattr(loader, "exec_module"):
            return spec
        original = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            original(module)
            self._imported(name, module)

        try:
            loader.exec_module = exec_module
        except Exception as error:
            self._failure(f"the import of {name} cannot be followed: {error!r}")
        return spec

    def _found_by_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find: Any = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if finder is not self and find else None
            if spec is not None:
                return spec
        return None

    def _imported(self, name: str, module: ModuleType) -> None:
        call = self._waiting.pop(name, None)
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)
        if call is not None:
            call(module)
