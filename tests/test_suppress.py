"""Suppression comments: what is no comment first."""

from __future__ import annotations

import pytest

from clipcheck.findings import RemoveComment, Replace, Site, Span, Verdict
from clipcheck.suppress import apply, find_suppressions


def verdict(code: str, row: int, end_row: int | None = None) -> Verdict:
    return Verdict(code, "message", Site("f.py", Span(row, 0, end_row or row, 4)), "high")


def rows(item: Verdict) -> range:
    return range(item.site.span.row, item.site.span.end_row + 1)


def judge(source: str, *verdicts: Verdict) -> tuple[list[str], list[Verdict]]:
    kept, unused = apply(verdicts, find_suppressions(source), rows, filename="f.py")
    return [item.code for item in kept], list(unused)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("step()\n", id="none"),
        pytest.param("step('# clipcheck: ignore')\n", id="in-a-string"),
        pytest.param('"""\n# clipcheck: ignore-file\n# noqa\n"""\nstep()\n', id="in-a-docstring"),
        pytest.param("step()  # clipcheck: ignored\n", id="longer-word"),
        pytest.param("step()  # clipcheck: ignore-files\n", id="longer-word-file"),
        pytest.param("step()  # clipcheck: ignore[]\n", id="no-codes-asked"),
        pytest.param("step()  # see clipcheck, ignore that\n", id="prose"),
        pytest.param("step()  # clipcheck ignore\n", id="no-colon"),
        pytest.param("step()  # noqation\n", id="noqa-longer"),
        pytest.param("step()  # ruff: noqa\n", id="other-tools-file-comment"),
    ],
)
def test_no_suppression(source):
    assert find_suppressions(source) == ()


@pytest.mark.parametrize(
    ("comment", "codes", "kind"),
    [
        ("# clipcheck: ignore", (), "line"),
        ("#clipcheck:ignore", (), "line"),
        ("# CLIPCHECK: Ignore[clp101 , CLP3]", ("CLP101", "CLP3"), "line"),
        ("# clipcheck: ignore-file", (), "file"),
        ("# clipcheck: ignore-file[CLP3]", ("CLP3",), "file"),
        ("# noqa", (), "noqa"),
        ("# NOQA: E501,CLP101", ("E501", "CLP101"), "noqa"),
        ("# noqa:CLP101 CLP102", ("CLP101", "CLP102"), "noqa"),
    ],
)
def test_the_forms(comment, codes, kind):
    (found,) = find_suppressions(f"step()  {comment}\n")
    assert (found.codes, found.kind, found.row, found.text) == (codes, kind, 1, comment)


def test_columns_count_bytes_and_reach_over_the_reason_up_to_the_next_request():
    source = "é = 'ü'  # clipcheck: ignore[CLP1] naïve # noqa: E501\n"
    first, second = find_suppressions(source)
    data = source.encode()
    assert data[first.span.column : first.span.end_column].decode() == "# clipcheck: ignore[CLP1] naïve"
    assert data[second.span.column : second.span.end_column].decode() == "# noqa: E501"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_end_and_after_a_triple_quoted_string(newline):
    source = newline.join(["x = '''", "é''' # clipcheck: ignore", "y  # noqa", ""])
    first, second = find_suppressions(source)
    assert (first.row, first.span) == (2, Span(2, 6, 2, 25))
    assert second.row == 3


def test_damage_ends_the_search_quietly():
    assert [item.row for item in find_suppressions("a  # noqa\nb = (\n")] == [1]
    assert find_suppressions("'''\n# noqa\n") == ()
    assert [item.row for item in find_suppressions("\ufeffa  # noqa\n")] == [1]


def test_a_comment_on_any_row_of_the_statement_counts():
    source = "step(\n    a,  # clipcheck: ignore[CLP101]\n)\nstep()\n"
    kept, unused = judge(source, verdict("CLP101", 1, 3), verdict("CLP101", 4))
    assert kept == ["CLP101"]
    assert unused == []


def test_only_the_codes_named():
    kept, unused = judge("step()  # clipcheck: ignore[CLP1]\n", verdict("CLP101", 1), verdict("CLP201", 1))
    assert kept == ["CLP201"]
    assert unused == []


def test_a_file_comment_silences_all_rows():
    source = "# clipcheck: ignore-file[CLP1]\nstep()\nstep()\n"
    kept, unused = judge(source, verdict("CLP101", 2), verdict("CLP301", 3))
    assert (kept, unused) == (["CLP301"], [])


@pytest.mark.parametrize(
    ("comment", "kept"),
    [
        ("# noqa", []),
        ("# noqa: CLP101", []),
        ("# noqa: E501", ["CLP101"]),
        ("# noqa: some words", ["CLP101"]),
    ],
)
def test_noqa_is_honoured_and_never_reported(comment, kept):
    assert judge(f"step()  {comment}\n", verdict("CLP101", 1)) == (kept, [])
    assert judge(f"step()  {comment}\n") == ([], [])


def test_an_idle_comment_is_reported_and_its_fix_removes_it():
    _, (found,) = judge("step()  # clipcheck: ignore[CLP101] measured\n")
    assert (found.code, found.risk, found.site.filename) == ("CLP901", "none", "f.py")
    assert found.message == "`# clipcheck: ignore[CLP101]` suppresses nothing"
    assert found.repair is not None
    assert found.repair.applicability == "safe"
    assert found.repair.actions == (RemoveComment(Span(1, 8, 1, 44)),)


def test_idle_codes_of_a_comment_in_use_are_taken_out_and_the_reason_stays():
    source = "step()  # clipcheck: ignore[CLP101, CLP3] measured\n"
    kept, (found,) = judge(source, verdict("CLP101", 1))
    assert kept == []
    assert "CLP3 suppresses nothing" in found.message
    assert found.repair is not None
    assert found.repair.actions == (Replace(Span(1, 8, 1, 41), "# clipcheck: ignore[CLP101]"),)


def test_an_idle_file_comment_is_reported():
    _, found = judge("# clipcheck: ignore-file\nx = 1\n")
    assert [item.code for item in found] == ["CLP901"]


def test_beside_a_file_comment_in_use_no_other_is_called_idle():
    source = "# clipcheck: ignore-file\nstep()\nx = 1  # clipcheck: ignore\n"
    assert judge(source, verdict("CLP101", 2)) == ([], [])


def test_two_comments_on_one_statement_are_both_in_use():
    source = "step(  # clipcheck: ignore\n)  # clipcheck: ignore[CLP101]\n"
    assert judge(source, verdict("CLP101", 1, 2)) == ([], [])
