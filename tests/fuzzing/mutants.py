"""Changed fixtures are scanned, and have to be found guilty of the same."""

from __future__ import annotations

import ast
from pathlib import Path
from random import Random

import fixturelib
from fixturelib import Fixture

from clipcheck import knowledge, pipeline
from fuzzing.judged import MismatchError, load_knowledge, numbered
from fuzzing.mutating import CHANGES, changed


class Mutants:
    """Copies of the fixtures in a folder, scanned with changed files laid over them."""

    def __init__(self, folder: Path) -> None:
        knowledge.load = load_knowledge
        self.folder = folder
        self.copies: dict[str, Path] = {}

    def check(self, fixture: Fixture, names: list[str], chance: Random) -> bool:
        """Change all files of a fixture; False where that changes nothing. Raises MismatchError."""
        root = self.copies.get(fixture.slug)
        if root is None:
            root = self.copies[fixture.slug] = fixturelib.copy(fixture.before, self.folder / fixture.slug)
        sources = {path: path.read_bytes().decode() for path in sorted(root.rglob("*.py"))}
        alone = len(sources) == 1
        overlay = {}
        for path, text in sources.items():
            new = changed(text, names, chance, alone=alone)
            if new != text:
                ast.parse(new)
                overlay[str(path)] = new
        if not overlay:
            return False
        texts = {path: overlay.get(str(path), text) for path, text in sources.items()}
        expected = [
            marker
            for path, text in texts.items()
            for marker in fixturelib.markers_of(text.encode(), path.relative_to(root).as_posix())
        ]
        expected += [marker for marker in fixture.markers if ".ipynb" in marker.filename]
        report = pipeline.run([root], fixturelib.settings(root, fixture), overlay=overlay)
        if report.failures:
            raise MismatchError(f"{fixture.slug}, {names}: {report.failures}")
        missing, surplus = fixturelib.agree(expected, fixturelib.found(report, root))
        if missing or surplus:
            shown = "\n".join(f"-- {name}\n{numbered(text)}" for name, text in overlay.items())
            raise MismatchError(f"{fixture.slug}, {names}: missing {missing}, surplus {surplus} in\n{shown}")
        return True


def some_changes(chance: Random) -> list[str]:
    """One change, or a few on top of each other."""
    return chance.sample(sorted(CHANGES), chance.choice((1, 1, 2, 3)))
