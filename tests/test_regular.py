"""Expressions that are compiled when they are used."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from clipcheck.regular import regular


def test_nothing_is_compiled_before_it_is_used() -> None:
    broken = regular("(")
    with pytest.raises(re.error):
        broken.search("text")


@pytest.mark.parametrize("method", ["search", "match", "fullmatch", "findall", "split"])
def test_the_methods_are_those_of_the_pattern(method: str) -> None:
    lazy, compiled = regular("b+", re.IGNORECASE), re.compile("b+", re.IGNORECASE)
    for text in ("abBa", "bb", "", "ac"):
        for _ in range(2):
            found, expected = (getattr(one, method)(text) for one in (lazy, compiled))
            assert found == expected or found.span() == expected.span()
    assert lazy.pattern == "b+"


def test_bytes() -> None:
    assert regular(rb"\*+").sub(b"*", b"a***b") == b"a*b"


def test_equal_pickled_and_copied() -> None:
    one = regular("a")
    assert one == regular("a") != regular("b")
    assert regular("a", re.IGNORECASE) != one != "a"
    assert len({one, regular("a")}) == 1
    for again in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert again == one
        assert again.search("ba")


def test_what_a_pattern_has_not() -> None:
    with pytest.raises(AttributeError):
        _ = regular("a").other
