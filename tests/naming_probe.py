"""Look up what a knowledge file names in the packages that are installed: `python naming_probe.py FILE` prints JSON.

Run as a process of its own for each file, since it imports the framework and some cannot be imported side by side.
What is printed: `{"looked_up": number, "absent": [packages], "problems": [texts]}`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOOKS = ("before", "step", "after-backward", "optimizers", "clipping", "automatic")
MISSING = object()


class Probe:
    """One knowledge file against the packages that are installed."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.aliases: dict[str, str] = data.get("aliases", {})
        self.problems: list[str] = []
        self.absent: set[str] = set()
        self.looked_up = 0

    def run(self) -> None:
        """Look up all names, and what is said of the arguments and methods of each."""
        for section in ("class", "call", "wrapper"):
            for entry in self.data.get(section, ()):
                self.entry(section, entry)
        for entry in self.data.get("method", ()):
            self.method(entry)
        for name in self.data.get("checks", {}).get("not-finite", ()):
            self.named(name)
        for section in ("fix", "values"):
            if "clip" in self.data.get(section, {}):
                self.named(self.data[section]["clip"])

    def entry(self, section: str, entry: dict[str, Any]) -> None:
        """A class, call or wrapper: its names, and for each the arguments that the entry speaks of."""
        former = set(entry.get("former", ()))
        together: list[Any] = []
        for name in entry["names"]:
            if name in former:
                continue
            found = self.named(name)
            together += found
            if section == "class":
                self.class_arguments(name, found, entry)
            for one in found if section == "call" else ():
                self.slots(name, one, entry, ("names", "former"))
            if "replaced-by" in entry:
                self.named(f"{name.rpartition('.')[0]}.{entry['replaced-by']}")
        if section == "class":
            self.clipping(entry, together)

    def class_arguments(self, name: str, found: list[Any], entry: dict[str, Any]) -> None:
        """The arguments of a class that the knowledge reads or writes."""
        for one in found if not is_pattern(name) else ():
            self.slots(name, one, entry, ("names", "former", "clipping", "hooks"))
        if found and "clipping" in entry and not self.told_elsewhere(entry):
            self.arguments(name, found, entry["clipping"])

    def arguments(self, name: str, found: list[Any], clipping: dict[str, Any]) -> None:
        """The arguments that say whether something clips, and what a fix writes beside them."""
        if "within" in clipping or "named-by" in clipping:
            return  # they are entries of a table
        for argument in (*clipping.get("arguments", ()), *clipping.get("beside", ())):
            if argument not in clipping.get("former", ()) and not any(takes(one, argument) for one in found):
                self.problems.append(f"{name}: it has no argument `{argument}`")

    def clipping(self, entry: dict[str, Any], found: list[Any]) -> None:
        """What a fix makes, and what is looked at beside: some name of the entry has each argument and each hook."""
        clipping = entry.get("clipping", {})
        for name in (clipping.get("member", {}).get("name"), clipping.get("around"), clipping.get("first")):
            if name:
                self.named(name)
        for argument in clipping.get("looked-at", ()) if found and not self.told_elsewhere(entry) else ():
            if argument not in clipping.get("former", ()) and not any(takes(one, argument) for one in found):
                self.problems.append(f"{entry['names'][0]}: no name here has an argument `{argument}`")
        hooks = entry.get("hooks", {})
        for key in HOOKS if found else ():
            methods = hooks.get(key, ())
            for method in [methods] if isinstance(methods, str) else methods:
                if method not in hooks.get("former", ()) and not any(hasattr(one, method) for one in found):
                    self.problems.append(f"{entry['names'][0]}: no name here has the hook `{method}`")

    def told_elsewhere(self, entry: dict[str, Any]) -> bool:
        """Whether the arguments that say how to clip are those of another object, which is handed over."""
        handed = any(
            method["of"] in (entry["role"], entry.get("also")) and "optimizer" in method
            for method in self.data.get("method", ())
        )
        return "settings" in entry or handed

    def method(self, entry: dict[str, Any]) -> None:
        """A method: one class of its role has it, or one of the wrappers that stand for what they are handed."""
        owners = [one for one in self.data.get("class", ()) if one["role"] == entry["of"]]
        if not owners:
            return  # a role of what only the engine makes, or of classes in another file
        owners += self.data.get("wrapper", ())
        names = [name for owner in owners for name in owner["names"] if name not in owner.get("former", ())]
        classes = [one for name in names for one in self.resolved(name) if inspect.isclass(one)]
        for name in entry["names"] if classes else ():
            if name in entry.get("former", ()):
                continue
            self.looked_up += 1
            having = [one for one in classes if hasattr(one, name)]
            if not having:
                self.problems.append(f"{name}: no class of the role {entry['of']} has such a method")
                continue
            if "clipping" in entry:
                self.arguments(name, [getattr(one, name) for one in having], entry["clipping"])
            for one in having[:1]:
                self.slots(f"{one.__name__}.{name}", getattr(one, name), entry, ("names", "of", "former"), 1)

    def slots(
        self, name: str, found: Any, entry: dict[str, Any], others: tuple[str, ...], skipped: int = 0
    ) -> None:
        """The arguments of a call: each is a parameter of that name, at that position."""
        parameters = parameters_of(found)
        for key, slot in entry.items():
            if key in others or not (isinstance(slot, list) and len(slot) == 2 and isinstance(slot[1], int)):
                continue
            keyword, position = slot
            if parameters is None:
                continue
            given = [one for one in parameters.values() if one.kind not in _VARIOUS][skipped:]
            names = [one.name for one in given]
            various = any(one.kind in _VARIOUS for one in parameters.values())
            if keyword not in names:
                if not various:
                    self.problems.append(f"{name}: `{keyword}` ({key}) is none of its parameters {names}")
                continue
            place = names.index(keyword)
            by_position = given[place].kind is not inspect.Parameter.KEYWORD_ONLY
            if by_position and position not in (-1, place):
                self.problems.append(f"{name}: `{keyword}` ({key}) is at {place}, not at {position}")

    def named(self, name: str) -> list[Any]:
        """What a name or a pattern means; a problem where it is nothing, though its package is there."""
        package = name.partition(".")[0]
        if find_spec(package) is None:
            self.absent.add(package)
            return []
        self.looked_up += 1
        found = self.resolved(name)
        if not found:
            self.problems.append(f"{name}: there is no such name")
        return found

    def resolved(self, name: str) -> list[Any]:
        """All that a name or a pattern means."""
        parts = name.split(".") if not is_pattern(name) else re.split(r"\.(?![^\[]*\])", name)
        if find_spec(parts[0]) is None:
            return []
        return list(self.below(importlib.import_module(parts[0]), parts[0], parts[1:]))

    def below(self, found: Any, path: str, parts: list[str]) -> Iterator[Any]:
        """What the rest of a name means, below what its beginning means."""
        if not parts:
            yield found
            return
        first, *rest = parts
        if not is_pattern(first):
            child = member(found, path, first)
            if child is not MISSING:
                yield from self.below(child, f"{path}.{first}", rest)
            return
        wanted = re.compile(first.replace("*", r"\w*"))
        for name in sorted(children(found)):
            if wanted.fullmatch(name) and (child := member(found, path, name)) is not MISSING:
                yield from self.below(child, f"{path}.{name}", rest)


_VARIOUS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def is_pattern(name: str) -> bool:
    """Whether a name of the knowledge stands for several."""
    return "*" in name or "[" in name


def member(found: Any, path: str, name: str) -> Any:
    """An attribute, or a submodule that has to be imported; MISSING where there is neither."""
    try:
        return getattr(found, name)
    except Exception:
        pass
    try:
        # torch.optim deletes the names of its submodules, which can be imported all the same.
        return importlib.import_module(f"{path}.{name}")
    except Exception:
        return MISSING


def children(found: Any) -> set[str]:
    """The names below a module or a class, modules that nobody has imported yet among them."""
    names = set(dir(found)) | set(getattr(found, "__all__", ()))
    return names | {one.name for one in pkgutil.iter_modules(getattr(found, "__path__", []))}


def parameters_of(found: Any) -> dict[str, inspect.Parameter] | None:
    """The parameters of a function or of what makes an instance; None where nobody can tell."""
    try:
        return dict(inspect.signature(found).parameters)
    except (TypeError, ValueError):
        return None


def takes(found: Any, argument: str) -> bool:
    """Whether a class has an argument of this name, of its own or of a base that it hands it on to."""
    makers = (
        [one for one in inspect.getmro(found) if "__init__" in vars(one)]
        if inspect.isclass(found)
        else [found]
    )
    for one in makers:
        parameters = parameters_of(one)
        if parameters is None or argument in parameters:
            return True
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            return False
    return True  # all are handed on, to where nobody can tell


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    told, sys.stdout = sys.stdout, sys.stderr  # some frameworks greet
    probe = Probe(tomllib.loads(Path(sys.argv[1]).read_text("utf-8")))
    probe.run()
    print(
        json.dumps(
            {
                "looked_up": probe.looked_up,
                "absent": sorted(probe.absent),
                "problems": probe.problems,
            }
        ),
        file=told,
    )
