"""Scan made programs, hold the findings against the reference, and try their fixes."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

from clipcheck import config, fixing, knowledge, pipeline
from clipcheck.findings import Report
from fuzzing import reference
from fuzzing.program import Program, written

# Most of the time of a small scan; nothing changes what is loaded.
load_knowledge = functools.cache(knowledge.load)


class MismatchError(AssertionError):
    """What clipcheck finds is not what the reference finds, or a fix does not hold."""


class Judged:
    """A folder in which one program after the other is scanned."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text("")
        self.file = folder / "train.py"
        self.refused = 0
        asked = {"jobs": 1, "no_cache": True, "min_risk": "none"}
        knowledge.load = load_knowledge
        self.settings = config.load(folder, None, asked)
        self.unsafe = config.load(folder, None, {**asked, "unsafe_fixes": True})

    def scan(self, text: str) -> Report:
        self.file.write_text(text)
        report = pipeline.run([self.file], self.settings)
        assert not report.failures, report.failures
        return report

    def check(self, program: Program) -> bool:
        """Hold one program against the reference; False where nobody has to know the verdict.

        Raises MismatchError where they differ, and where what is fixed is still there, or damaged.
        """
        text = written(program)
        try:
            expected = reference.verdict(program)
        except reference.NotKnownError:
            self.scan(text)
            return False
        report = self.scan(text)
        found = sorted((one.start.row, one.code) for one in report.findings)
        if found != expected:
            missed, surplus = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            raise MismatchError(f"missed {sorted(missed)}, surplus {sorted(surplus)} in\n{numbered(text)}")
        if any(one.fix is not None for one in report.findings):
            self.fixed(text, report, self.unsafe if len(text) % 3 else self.settings)
        return True

    def fixed(self, text: str, before: Report, settings: config.Settings) -> None:
        """Fix the file as it is: what is fixed is gone, nothing else has come, and a second fix changes nothing."""
        outcome = fixing.apply([self.file], settings, pipeline.run)
        once = self.file.read_text()
        story = f"\n{numbered(text)}\nfixed to\n{numbered(once)}"
        if outcome.refused:  # it would not have held, which is said: nothing may be written then
            if once != text:
                raise MismatchError(f"refused and written: {outcome.refused}{story}")
            self.refused += 1
            return
        ast.parse(once)
        after = pipeline.run([self.file], settings)
        left = Counter(one.code for one in before.findings) - Counter(one.code for one in outcome.fixed)
        # A fix may mend more than its own finding: a clip that moves may be what another step was missing.
        if not Counter(one.code for one in after.findings) <= left:
            raise MismatchError(
                f"fixed {[one.code for one in outcome.fixed]}, and left is more than {left}{story}"
            )
        again = fixing.apply([self.file], settings, pipeline.run)
        if again.written or self.file.read_text() != once:
            raise MismatchError(
                f"a second fix changes something:{story}\nand then to\n{self.file.read_text()}"
            )


def numbered(text: str) -> str:
    return "\n".join(f"{row:3} {line}" for row, line in enumerate(text.splitlines(), 1))
