"""Patterns of ignore files, one by one, where git's own opinion is known: what does not match first."""

from __future__ import annotations

import pytest

from clipcheck.gitignore import make_patterns

ROOT = "/p"


def said(pattern: str, path: str) -> bool | None:
    """What a pattern says of a path; one that ends in `/` is a folder's."""
    patterns = make_patterns([pattern.encode()], ROOT)
    return None if patterns is None else patterns.verdict(f"{ROOT}/{path.rstrip('/')}", path.endswith("/"))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        pytest.param("# a.py", "a.py", id="comment"),
        pytest.param("   ", "a.py", id="spaces"),
        pytest.param("/", "a.py", id="slash"),
        pytest.param("!", "a.py", id="mark-alone"),
        pytest.param("a.py/", "a.py", id="folders-only"),
        pytest.param("data/**", "data/", id="what-is-in-it-and-not-it"),
        pytest.param("data/*", "data/", id="as-before"),
        pytest.param("data", "data/a.py", id="the-folder-above-is-asked-for-itself"),
        pytest.param("/a.py", "d/a.py", id="anchored"),
        pytest.param("d/a.py", "e/d/a.py", id="anchored-by-a-slash-within"),
        pytest.param("d*e/a.py", "d/e/a.py", id="no-star-over-a-slash"),
        pytest.param("d**e/a.py", "d/e/a.py", id="two-stars-within-a-name-are-one"),
        pytest.param("?.py", "é.py", id="one-byte"),
        pytest.param("d?", "d/", id="the-mark-of-a-folder-is-no-letter"),
        pytest.param("d[!x]", "d/", id="nor-in-a-set"),
        pytest.param("[a.py", "[a.py", id="open-bracket"),
        pytest.param("[[:no:]].py", "a.py", id="unknown-class"),
        pytest.param("[z-a].py", "m.py", id="range-backwards"),
        pytest.param("a\\", "a\\", id="nothing-to-escape"),
        pytest.param("a.py\t", "a.py", id="a-tab-is-a-letter"),
    ],
)
def test_nothing_is_said(pattern, path):
    assert said(pattern, path) is None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("a.py", "d/e/a.py"),
        ("a.py\r", "a.py"),
        ("a.py  ", "a.py"),
        ("a\\ ", "a "),
        ("\\#a", "#a"),
        ("\\!a", "!a"),
        ("data/**", "data/x/a.py"),
        ("**/d/a.py", "d/a.py"),
        ("d/**/a.py", "d/a.py"),
        ("d/**/a.py", "d/e/f/a.py"),
        ("d/***/a.py", "d/e/a.py"),
        ("**", "d/"),
        ("d/", "e/d/"),
        ("[]-]", "]"),
        ("[!a-c]", "d"),
        ("[^a]", "b"),
        ("[\\]]", "]"),
        ("[a\\-c]", "-"),
        ("[[:digit:]x].py", "7.py"),
        ("[[:x].py", ":.py"),
        ("*.py", ".py"),
    ],
)
def test_out(pattern, path):
    assert said(pattern, path) is True
    assert said("!" + pattern, path) is False


def test_the_last_decides_and_a_folder_elsewhere_has_nothing_to_say():
    patterns = make_patterns([b"*.py", b"!a*.py", b"ab.py"], ROOT)
    assert [patterns.verdict(f"{ROOT}/{name}", False) for name in ("b.py", "a.py", "ab.py", "x")] == [
        True, False, True, None,
    ]  # fmt: skip
    assert patterns.verdict("/pp/b.py", False) is None
    assert patterns.verdict(ROOT, True) is None
