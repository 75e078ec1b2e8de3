"""What a scan says of some fixtures, word for word: `python tests/words.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

import fixturelib
import pytest
import words

every = pytest.mark.parametrize("fixture", words.fixtures(), ids=lambda fixture: fixture.slug)


@every
def test_words_are_those_that_were_read(fixture, tmp_path: Path):
    root = fixturelib.copy(fixture.before, tmp_path / "project")
    report = fixturelib.scan(root, fixturelib.settings(root, fixture))
    assert words.said(report, root) == (words.FOLDER / f"{fixture.slug}.txt").read_text(encoding="utf-8")


def test_every_rule_that_fixtures_show_is_among_them():
    shown = {marker.code for one in fixturelib.load() for marker in one.markers}
    kept = {marker.code for one in words.fixtures() for marker in one.markers}
    assert shown == kept
