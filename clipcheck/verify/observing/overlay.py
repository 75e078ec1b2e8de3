"""Run other source text in place of files on disk, under the names and in the places of those files.

What is imported, run as a script or module, or started anew by multiprocessing or a launcher gets the text
of the overlay; `__file__`, relative paths and tracebacks stay as they are, and no bytecode is written.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from types import CodeType, ModuleType, TracebackType
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAIN = os.path.join(_PACKAGE, "inject", "overlay_main.py")
_overlay: Overlay | None = None  # of this process


class Overlay:
    """Source by real path; it acts once installed, for the rest of the process."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = sources
        self._open_code: Callable[[str], Any] = io.open_code

    def install(self) -> None:
        """Serve the overlay to whatever loads Python code in this process, its main script included."""
        global _overlay
        _overlay = self
        loader: Any = importlib.machinery.SourceFileLoader
        original = loader.get_code

        def get_code(this: Any, fullname: str) -> Any:
            code = self.code(this.get_filename(fullname))
            return original(this, fullname) if code is None else code

        loader.get_code = get_code
        io.open_code = self._opened  # runpy, cProfile, multiprocessing's spawn
        sys.excepthook = _print_exception
        self._take_over_script()

    def code(self, filename: str) -> CodeType | None:
        """Give the code to run for a file; None where the file itself is to run."""
        source = self._source(filename)
        if source is None:
            return None
        code: CodeType = compile(source, filename, "exec", dont_inherit=True)
        text = importlib.util.decode_source(source)
        # With no time of change, this entry is never compared with the file on disk.
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        return code

    def _source(self, filename: str) -> bytes | None:
        try:
            return self._sources.get(os.path.realpath(filename))
        except (OSError, ValueError):
            return None

    def _opened(self, path: Any) -> Any:
        source = self._source(os.fsdecode(path))
        return self._open_code(path) if source is None else io.BytesIO(source)

    def _take_over_script(self) -> None:
        """Start this process anew through `overlay_main.py` if its script is in the overlay.

        Python reads a script by itself, past everything that can be replaced from Python.
        """
        script = sys.argv[0] if sys.argv else ""
        if not script or not sys.executable or self._source(script) is None:
            return
        before = len(sys.orig_argv) - len(sys.argv)
        if sys.orig_argv[before:] != sys.argv or not os.path.isfile(script):
            return
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:before], MAIN, *sys.argv])  # noqa: S606


def serve_pytest(rewrite: ModuleType) -> None:
    """Serve test files as well, once pytest's rewriting of assertions is imported; theirs stay unrewritten."""
    hook: Any = rewrite.AssertionRewritingHook
    original = hook.exec_module

    def exec_module(this: Any, module: ModuleType) -> None:
        code = _overlay.code(str(module.__file__)) if _overlay is not None else None
        if code is None:
            original(this, module)
        else:
            exec(code, module.__dict__)

    hook.exec_module = exec_module


def run_main() -> None:
    """Run the script that `sys.argv[1]` names as `__main__`, as Python would."""
    del sys.argv[0]
    script = os.path.abspath(sys.argv[0])
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    code = _overlay.code(script) if _overlay is not None else None
    if code is None:
        raise SystemExit(f"clipcheck: verify has no text of its own for {script}")
    namespace = sys.modules["__main__"].__dict__
    builtins = namespace["__builtins__"]
    namespace.clear()
    namespace.update(
        __name__="__main__",
        __builtins__=builtins,
        __file__=script,
        __cached__=None,
        __doc__=None,
        __package__=None,
        __spec__=None,
        __loader__=importlib.machinery.SourceFileLoader("__main__", script),
    )
    exec(code, namespace)


def _print_exception(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback with the overlay's lines (Python's own reads the files on disk), without clipcheck's."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE + os.sep):
        trace = trace.tb_next
    traceback.print_exception(kind, value, trace)
