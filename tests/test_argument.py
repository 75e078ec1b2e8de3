"""A call is given an argument in the layout that it has."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from clipcheck.argument import argument_changes, entry_changes, member_changes, renamed_changes
from clipcheck.findings import AddMember, RenameArgument, Span
from clipcheck.statements import PlacementError


def given(text: str, name: str = "clip", value: str = "1.0") -> str:
    """The text after its first call is given the argument."""
    call = next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    segment = ast.get_source_segment(text, call)
    assert segment is not None
    start = text.index(segment)
    places = argument_changes(text, start, start + len(segment), name, value)
    for place in reversed(places):
        text = text[: place.start] + place.content + text[place.end :]
    ast.parse(text)
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f()", "f(clip=1.0)"),
        ("f( )", "f( clip=1.0)"),
        ("f(a)", "f(a, clip=1.0)"),
        ("f(a, )", "f(a, clip=1.0 )"),
        ("f(a,)", "f(a, clip=1.0)"),
        ("f(a, **rest)", "f(a, **rest, clip=1.0)"),
        ("f(a, (b, c))", "f(a, (b, c), clip=1.0)"),
        ("x = f(')') + g(1)", "x = f(')', clip=1.0) + g(1)"),
        ("f(clip=None)", "f(clip=1.0)"),
        ("f(clip=0, b=1)", "f(clip=1.0, b=1)"),
        ("f(é='ü', clip=(0))", "f(é='ü', clip=(1.0))"),
    ],
)
def test_on_one_line(before: str, after: str) -> None:
    assert given(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f(\n    a,\n    b,\n)\n", "f(\n    a,\n    b,\n    clip=1.0,\n)\n"),
        ("f(\n    a,\n    b\n)\n", "f(\n    a,\n    b,\n    clip=1.0\n)\n"),
        ("f(\n    a,\n    b)\n", "f(\n    a,\n    b,\n    clip=1.0)\n"),
        ("f(\n    a, b,\n)\n", "f(\n    a, b, clip=1.0\n)\n"),
        ("f(a,\n  b)\n", "f(a,\n  b,\n  clip=1.0)\n"),
        ("f(\n    a,  # one\n    # two\n)\n", "f(\n    a,  # one\n    clip=1.0,\n    # two\n)\n"),
        ("f(\n    a  # one\n)\n", "f(\n    a,  # one\n    clip=1.0\n)\n"),
        ("f(\r\n\ta,\r\n)\r\n", "f(\r\n\ta,\r\n\tclip=1.0,\r\n)\r\n"),
        ("f(  # all of it\n)\n", "f(  # all of it\nclip=1.0)\n"),
        (
            "f(\n    a,\n    [\n        b,\n    ],\n)\n",
            "f(\n    a,\n    [\n        b,\n    ],\n    clip=1.0,\n)\n",
        ),
    ],
)
def test_over_several_lines(before: str, after: str) -> None:
    assert given(before) == after


def test_what_is_no_call_has_no_place() -> None:
    with pytest.raises(PlacementError):
        argument_changes("a + b", 0, 5, "clip", "1.0")


def test_a_call_of_a_call_is_given_it_last() -> None:
    assert given(dedent("make(1)(\n    a,\n)\n")) == "make(1)(\n    a,\n    clip=1.0,\n)\n"


# -- one more member of a list ------------------------------------------------------------------------


def with_member(text: str, **flags: bool) -> str:
    wanted = AddMember(Span(1, 0, 1, len(text)), "cbs", "c", **flags)
    for place in reversed(member_changes(text, 0, len(text), wanted)):
        text = text[: place.start] + place.content + text[place.end :]
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f(x)", "f(x, cbs=[c])"),
        ("f()", "f(cbs=[c])"),
        ("f(cbs=None)", "f(cbs=[c])"),
        ("f(cbs=[])", "f(cbs=[c])"),
        ("f(cbs=[a])", "f(cbs=[a, c])"),
        ("f(cbs=[a,], y=1)", "f(cbs=[a, c], y=1)"),
        (
            "f(\n    cbs=[\n        a,\n        b(1),\n    ],\n)",
            "f(\n    cbs=[\n        a,\n        b(1),\n        c,\n    ],\n)",
        ),
        ("f(cbs=[a,\n       b])", "f(cbs=[a,\n       b,\n       c])"),
    ],
)
def test_a_list_gets_one_more_member(before, after):
    assert with_member(before) == after


def test_one_object_becomes_a_list_of_two_where_one_is_enough():
    assert with_member("f(cbs=a())", alone=True) == "f(cbs=[a(), c])"
    assert with_member("f(x)", alone=True) == "f(x, cbs=c)"


def test_a_name_that_surely_is_a_list_is_spread():
    assert with_member("f(cbs=watchers)", listed=True) == "f(cbs=[*watchers, c])"


@pytest.mark.parametrize("text", ["f(cbs=watchers)", "f(cbs=a())", "f(cbs=(a, b))", "f(cbs='disable')"])
def test_what_is_no_list_that_can_be_seen_gets_no_member(text):
    with pytest.raises(PlacementError):
        with_member(text)


# -- one more entry of a dict --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{"clip": 1.0}'),
        ('{"a": 1}', '{"a": 1, "clip": 1.0}'),
        ("{'a': 1}", "{'a': 1, 'clip': 1.0}"),
        ('{"a": 1, "clip": 0}', '{"a": 1, "clip": 1.0}'),
        ('{"a": {"clip": 0}}', '{"a": {"clip": 0}, "clip": 1.0}'),
        (
            '{\n    "a": {\n        "b": 2,\n    },\n}',
            '{\n    "a": {\n        "b": 2,\n    },\n    "clip": 1.0,\n}',
        ),
        ('{\n    "é": 1,\n    "clip": None,  # off\n}', '{\n    "é": 1,\n    "clip": 1.0,  # off\n}'),
    ],
)
def test_a_dict_is_given_an_entry(before: str, after: str) -> None:
    text = before
    for place in reversed(entry_changes(text, 0, len(text), "clip", "1.0")):
        text = text[: place.start] + place.content + text[place.end :]
    assert text == after


@pytest.mark.parametrize("text", ["[1]", "{1, 2}", "f(a)"])
def test_what_is_no_dict_has_no_place(text: str) -> None:
    with pytest.raises(PlacementError):
        entry_changes(text, 0, len(text), "clip", "1.0")


# -- another name for an argument --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("f(old=1)", "", "f(new=1)"),
        ("f(a, old = (1), b=old)", "", "f(a, new = (1), b=old)"),
        ("f(\n    old=  # old\n    1,\n)", "2.0", "f(\n    new=  # old\n    2.0,\n)"),
        ("f(old, é='old', old=1)", "2.0", "f(old, é='old', new=2.0)"),
    ],
)
def test_an_argument_is_renamed(before: str, value: str, after: str) -> None:
    text = before
    wanted = RenameArgument(Span(0, 0, 0, 0), "old", "new", value)
    for place in reversed(renamed_changes(before, 0, len(before), wanted)):
        text = text[: place.start] + place.content + text[place.end :]
    assert text == after


def test_what_is_not_there_is_not_renamed() -> None:
    with pytest.raises(PlacementError):
        renamed_changes("f(a)", 0, 4, RenameArgument(Span(0, 0, 0, 0), "old", "new"))
