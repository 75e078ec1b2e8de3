"""The comment that an editor's "ignore this finding" writes, and where: what cannot have one first."""

from __future__ import annotations

import pytest

pytest.importorskip("pygls")

from clipcheck.findings import Finding, Position
from clipcheck.server.silence import comment
from clipcheck.sourcefile import Lines


def silenced(text: str, first: int, last: int | None = None, filename: str = "a.py") -> str | None:
    """The text with the comment in it, for a finding in these rows."""
    place = (Position(first, 1), Position(last or first, 2))
    edit = comment(text, Finding("CLP101", "unclipped-step", "", filename, *place, "high"), filename)
    if edit is None:
        return None
    at = Lines(text).offset_of(edit.start)
    return text[:at] + edit.content + text[at:]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        pytest.param("x = 1, \\\n", 1, id="goes-on"),
        pytest.param('"""a\nb\n"""\n', 2, id="inside-a-string"),
    ],
)
def test_no_row_can_have_one(text, last):
    assert silenced(text, 1, last) is None


@pytest.mark.parametrize(
    ("text", "last", "expected"),
    [
        pytest.param("step()\n", 1, "step()  # clipcheck: ignore[CLP101]\n", id="plain"),
        pytest.param("step()  \r\n", 1, "step()  # clipcheck: ignore[CLP101]  \r\n", id="spaces-behind"),
        pytest.param("step()", 1, "step()  # clipcheck: ignore[CLP101]", id="no-line-end"),
        pytest.param("s(\n)\n", 2, "s(  # clipcheck: ignore[CLP101]\n)\n", id="several-rows"),
        pytest.param("s(1, \\\n  2)\n", 2, "s(1, \\\n  2)  # clipcheck: ignore[CLP101]\n", id="row-goes-on"),
        pytest.param('s("""\n""")\n', 2, 's("""\n""")  # clipcheck: ignore[CLP101]\n', id="string-ends"),
        pytest.param(
            "s()  # noqa: E501\n", 1, "s()  # noqa: E501  # clipcheck: ignore[CLP101]\n", id="behind-another"
        ),
        pytest.param(
            "s()  # clipcheck: ignore[CLP3]\n", 1, "s()  # clipcheck: ignore[CLP3, CLP101]\n", id="joins-one"
        ),
        pytest.param(
            "s('\U0001f600')  # clipcheck:ignore[CLP3] why\n",
            1,
            "s('\U0001f600')  # clipcheck:ignore[CLP3, CLP101] why\n",
            id="joins-one-behind-an-astral-letter",
        ),
    ],
)
def test_where_the_comment_goes(text, last, expected):
    assert silenced(text, 1, last) == expected


def test_in_a_cell_with_a_magic():
    assert silenced("%time\n!ls 'x\nstep()", 3, None, "n.ipynb") == (
        "%time\n!ls 'x\nstep()  # clipcheck: ignore[CLP101]"
    )
