"""Start clipcheck's observer in this Python process, then run the user's own sitecustomize, if any.

The verify package is loaded from its folder under a private name: the training process need not have
clipcheck installed, and gets nothing else on its path.
"""


def _start() -> None:
    import importlib.util
    import os
    import sys

    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        spec = importlib.util.spec_from_file_location(
            "_clipcheck_verify", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["_clipcheck_verify"] = package
        spec.loader.exec_module(package)
        importlib.import_module("_clipcheck_verify.observing.bootstrap").start()
    except Exception as error:
        sys.modules.pop("_clipcheck_verify", None)
        print(f"clipcheck: verify cannot watch this process: {error!r}", file=sys.stderr)


def _chain() -> None:
    import importlib.machinery
    import importlib.util
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_start()
_chain()
