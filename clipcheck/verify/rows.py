"""Which rows of a fixed file are those of the file as it was, and which are new."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

_LINE_END = re.compile(r"\r\n|\r|\n")  # what Python takes for one; str.splitlines knows more


class RowMap:
    """Leads from rows (from 1) of `new` back to those of `old`."""

    def __init__(self, old: str, new: str) -> None:
        before, after = _LINE_END.split(old), _LINE_END.split(new)
        head = _common(zip(before, after, strict=False))
        shorter = min(len(before), len(after)) - head
        tail = min(shorter, _common(zip(reversed(before), reversed(after), strict=False)))
        matcher = SequenceMatcher(
            None, before[head : len(before) - tail], after[head : len(after) - tail], autojunk=False
        )
        self._old: dict[int, int] = {row: row for row in range(1, head + 1)}
        self._old |= {len(after) - back: len(before) - back for back in range(tail)}
        self.changed: list[tuple[range, range]] = []  # rows replaced (empty: none), rows in their place
        for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
            was = range(head + old_start + 1, head + old_end + 1)
            now = range(head + new_start + 1, head + new_end + 1)
            if kind != "equal":
                self.changed.append((was, now))
            if len(was) == len(now):
                self._old |= dict(zip(now, was, strict=True))

    def original(self, row: int) -> int | None:
        """Give the row that a row of the new text was; None for one that is new."""
        return self._old.get(row)

    def fixed(self, row: int) -> int | None:
        """Give the row of the new text that a row of the old one has become; None where it is gone."""
        return next((now for now, was in self._old.items() if was == row), None)

    def new_for(self, rows: range) -> Iterator[int]:
        """Yield the new rows that stand at the place of some old ones: changed there, or put before or after."""
        for was, now in self.changed:
            if was.start <= rows.stop and rows.start <= was.stop:
                yield from now


def _common(pairs: Iterator[tuple[str, str]]) -> int:
    count = 0
    for left, right in pairs:
        if left != right:
            break
        count += 1
    return count
