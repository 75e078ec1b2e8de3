"""Fixes are applied where they hold, and nothing else changes: not in the text, not on disk."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placing import CLIP, span, verdict

from clipcheck.config import Settings
from clipcheck.findings import (
    Action,
    AddImport,
    Edit,
    Failure,
    Finding,
    Fix,
    InsertBefore,
    MoveBefore,
    Position,
    Replace,
    Report,
    Span,
)
from clipcheck.fixing import PASSES, FixOutcome, Plan, Run, apply, diff, plan, write
from clipcheck.place import place
from clipcheck.sourcefile import Lines, decode, read
from clipcheck.splice import render
from clipcheck.write import Change

STEP = "opt.step()"
Rule = Callable[[str, Span], Sequence[Action]]


def clip_above(source: str, step: Span) -> Sequence[Action]:
    """The fix of the fake rule: a clip above the step, and the import that it needs."""
    return (InsertBefore(step, (CLIP,)), AddImport("import torch"))


def judged(filename: str, text: str, rule: Rule) -> list[Finding]:
    """Report each step that no clip stands right before, as the engine would."""
    try:
        body = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]
    except SyntaxError:
        return []
    body.sort(key=lambda node: (node.lineno, node.col_offset))
    verdicts = []
    for last, node in zip([None, *body], body, strict=False):
        if ast.unparse(node) == STEP and (last is None or ast.unparse(last) != CLIP):
            where = Span(node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
            verdicts.append(verdict(text, where, *rule(text, where), filename=filename))
    return place(text, verdicts, {})


def scanner(rule: Rule = clip_above) -> Run:
    """Return a fake `run` that reads files, or the overlay, and judges them by `rule`."""

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        findings: list[Finding] = []
        failures: list[Failure] = []
        for path in paths:
            text = overlay.get(str(path)) or decode(path.read_bytes())[0]
            try:
                ast.parse(text)
            except SyntaxError:
                failures.append(Failure(str(path), "broken"))
            findings += judged(str(path), text, rule)
        return Report(tuple(findings), tuple(failures))

    return run


def fixed(path: Path, rule: Rule = clip_above) -> FixOutcome:
    return apply([path], Settings(), scanner(rule))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_bytes(b"import torch\nopt.step()\n")
    return path


FIXED = b"import torch\nclip(model)\nopt.step()\n"


def finding(source: str, *edits: tuple[int, int, str], applicability: Any = "safe", row: int = 1) -> Finding:
    """Return a finding whose fix is `edits`, in offsets."""
    lines = Lines(source)
    parts = tuple(Edit(text, lines.position(start), lines.position(end)) for start, end, text in edits)
    here = Position(row, 1)
    fix = Fix(applicability, "", parts)
    return Finding("CLP101", "n", f"at {row}", "/p/a.py", here, here, "high", fix=fix)


# --- render: what stays as it is ---------------------------------------------------------------------

LEFT = {
    "no findings": ("a()\n", []),
    "no fix": ("a()\n", [replace(finding("a()\n", (0, 0, "b()\n")), fix=None)]),
    "an unsafe fix": ("a()\n", [finding("a()\n", (0, 0, "b()\n"), applicability="unsafe")]),
    "the result would not parse": ("a()\n", [finding("a()\n", (0, 0, "b(\n"))]),
    "another statement would change": (
        "if x:\n    a()\n    b()\n",
        [finding("if x:\n    a()\n    b()\n", (14, 18, ""))],
    ),
    "an edit that swallows a line end": ("# a\nb()\n", [finding("# a\nb()\n", (3, 4, ""))]),
    "places that the text does not have": ("a()\n", [finding("a()\n\n\n", (6, 6, "b()\n"))]),
    "a source that does not parse": ("a(\n", [finding("a(\n", (0, 0, "b()\n"))]),
    "edits that change nothing": ("a()\n", [finding("a()\n", (0, 1, "a"))]),
}


@pytest.mark.parametrize(("source", "findings"), LEFT.values(), ids=LEFT.keys())
def test_render_leaves_alone(source: str, findings: list[Finding]) -> None:
    assert render(source, findings, unsafe=False) == (source, [])


def test_unsafe_fixes_where_asked_for() -> None:
    one = finding("a()\n", (0, 0, "b()\n"), applicability="unsafe")
    assert render("a()\n", [one], unsafe=True) == ("b()\na()\n", [one])


def test_shared_edits_are_made_once() -> None:
    source = "a()\nb()\n"
    first = finding(source, (0, 0, "import t\n"), (0 + 4, 4, "c()\n"))
    second = finding(source, (0, 0, "import t\n"), (8, 8, "d()\n"), row=2)
    assert render(source, [second, first], unsafe=False) == (
        "import t\na()\nc()\nb()\nd()\n",
        [first, second],
    )


CONFLICTS = {
    "overlap": ((0, 3, "x()"), (1, 3, "()")),
    "the same place": ((0, 0, "x()\n"), (0, 0, "y()\n")),
    "a place within": ((0, 4, ""), (2, 2, "1")),
    "a place at the start": ((0, 0, "x()\n"), (0, 3, "y()")),
}


@pytest.mark.parametrize(("one", "other"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_the_later_of_two_that_conflict_waits(one: tuple[int, int, str], other: tuple[int, int, str]) -> None:
    source = "a()\nb()\n"
    first, second = finding(source, one), finding(source, other, row=2)
    assert render(source, [second, first], unsafe=False)[1] == [first]


def test_edits_side_by_side_do_not_conflict() -> None:
    source = "a()\nb()\n"
    both = [finding(source, (0, 4, "")), finding(source, (4, 4, "c()\n"), row=2)]
    assert render(source, both, unsafe=False) == ("c()\nb()\n", both)


def test_one_that_breaks_the_file_does_not_hold_up_the_others() -> None:
    source = "a()\nb()\n"
    bad, good = finding(source, (0, 0, "x(\n")), finding(source, (4, 4, "c()\n"), row=2)
    assert render(source, [bad, good], unsafe=False) == ("a()\nc()\nb()\n", [good])


BLOCK = """\
\"\"\"é\"\"\"
import os  # os

class A(B):
    x = 1; y = 2\t# é
    @d
    def f(self, a=(1,
                   2)):
        for i in a:
            if i: continue
            elif a:
                g()  # g
            else:
                s = '''
  text
'''
            self.é(); opt.step()
        else:
            pass

        with a as b, c:
            try: g()
            except (E, F): raise
            finally:
                h(
                    i,
                )

async def g():
    async for i in j: await k
match os:
    case 1 if x: pass
    case [a, *b]:
        z = lambda: 1
while 1: break
"""


@settings(max_examples=150, deadline=None)
@given(data=st.data(), newline=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans(), tabs=st.booleans())
def test_inserting_anywhere_changes_nothing_else(
    data: st.DataObject, newline: str, last: bool, tabs: bool
) -> None:
    source = BLOCK.replace("    ", "\t") if tabs else BLOCK
    source = source.replace("\n", newline)
    source = source if last else source.removesuffix(newline)
    statements = sorted(
        (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)),
        key=lambda node: (node.lineno, node.col_offset),
    )
    anchors = data.draw(st.lists(st.sampled_from(statements), max_size=5, unique=True))
    spans = [Span(n.lineno, n.col_offset, n.end_lineno or 0, n.end_col_offset or 0) for n in anchors]
    verdicts = [verdict(source, where, InsertBefore(where, (CLIP,))) for where in spans]
    findings = place(source, verdicts, {})
    text, applied = render(source, findings, unsafe=False)
    ast.parse(text)
    assert [one for one in findings if one.fix] == sorted(applied, key=findings.index)
    assert text.count(CLIP) == len(applied)
    rest, at = "", 0
    lines = Lines(source)
    for edit in sorted({edit for one in applied if one.fix for edit in one.fix.edits}, key=lambda e: e.start):
        assert edit.start == edit.end
        offset = lines.offset_of(edit.start)
        rest += source[at:offset]
        assert text.startswith(edit.content, len(rest) + sum(map(len, _before(applied, edit))))
        at = offset
    assert len(text) == len(source) + sum(len(e) for e in _before(applied, None))
    # Each statement but an `elif` has a place before it.
    assert len(applied) == len(spans) - sum(source.startswith("elif", lines.range(s)[0]) for s in spans)


def _before(applied: list[Finding], edit: Edit | None) -> list[str]:
    edits = {one for finding in applied if finding.fix for one in finding.fix.edits}
    return [one.content for one in edits if edit is None or one.start < edit.start]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), newline=st.sampled_from(["\n", "\r\n"]), last=st.booleans(), after=st.booleans())
def test_moving_anything_keeps_every_statement_and_comment(
    data: st.DataObject, newline: str, last: bool, after: bool
) -> None:
    from clipcheck.findings import MoveAfter

    source = BLOCK.replace("\n", newline)
    source = source if last else source.removesuffix(newline)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    one, other = (
        Span(n.lineno, n.col_offset, n.end_lineno or 0, n.end_col_offset or 0)
        for n in (data.draw(st.sampled_from(nodes)), data.draw(st.sampled_from(nodes)))
    )
    action = (MoveAfter if after else MoveBefore)(one, other)
    (found,) = place(source, [verdict(source, one, action)], {})
    text, applied = render(source, [found], unsafe=False)
    if applied:

        def kinds(code: str) -> list[str]:
            walked = ast.walk(ast.parse(code))
            return sorted(
                type(n).__name__ for n in walked if isinstance(n, ast.stmt) and not isinstance(n, ast.Pass)
            )

        assert kinds(text) == kinds(source)
        assert text.count("#") == source.count("#")
        assert text.count("\n") - source.count("\n") in (-1, 0, 1)


# --- plan and apply: what stays as it is --------------------------------------------------------------


def test_nothing_to_fix_scans_once(file: Path) -> None:
    file.write_bytes(FIXED)
    calls = 0

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        nonlocal calls
        calls += 1
        return scanner()(paths, settings, overlay=overlay)

    assert plan([file], Settings(), run) == Plan((), (), (), Report())
    assert calls == 1


def test_a_plan_writes_nothing(file: Path) -> None:
    before = file.read_bytes()
    planned = plan([file], Settings(), scanner())
    assert planned.overlay == {str(file): FIXED.decode()}
    assert [one.code for one in planned.fixed] == ["CLP101"]
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["train.py"]


def test_fixing_twice_changes_nothing(file: Path) -> None:
    assert fixed(file).written == (str(file),)
    assert file.read_bytes() == FIXED
    stamp = file.stat().st_mtime_ns, file.stat().st_ino
    assert fixed(file) == FixOutcome((), (), (), Report())
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == stamp


def _circling(source: str, step: Span) -> Sequence[Action]:
    return (InsertBefore(step, ("other()",)),)


def _breaking(source: str, step: Span) -> Sequence[Action]:
    return (Replace(step, "opt.step()\nopt.step()"),)


def test_fixes_that_do_not_settle_are_refused(file: Path) -> None:
    before = file.read_bytes()
    outcome = fixed(file, _circling)
    assert file.read_bytes() == before
    assert (outcome.written, outcome.fixed) == ((), ())
    assert [failure.filename for failure in outcome.refused] == [str(file)]
    assert f"do not settle after {PASSES} passes" in outcome.refused[0].message
    assert len(outcome.report.findings) == 1


def test_fixes_that_bring_findings_are_refused(file: Path) -> None:
    def once(source: str, step: Span) -> Sequence[Action]:
        return _breaking(source, step) if source.count(STEP) == 1 else ()

    before = file.read_bytes()
    outcome = fixed(file, once)
    assert file.read_bytes() == before
    assert "CLP101 is still found, or new" in outcome.refused[0].message
    assert len(outcome.report.findings) == 1


def test_one_file_refused_does_not_hold_up_another(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("import torch\nopt.step()\n")
    bad.write_text("BAD = 1\nopt.step()\n")

    def rule(source: str, step: Span) -> Sequence[Action]:
        return (_circling if "BAD" in source else clip_above)(source, step)

    outcome = apply([bad, good], Settings(), scanner(rule))
    assert outcome.written == (str(good),)
    assert [failure.filename for failure in outcome.refused] == [str(bad)]
    assert [one.filename for one in outcome.report.findings] == [str(bad)]
    assert bad.read_text() == "BAD = 1\nopt.step()\n"


def test_a_fix_that_brings_findings_in_another_file_is_refused(tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    for name in names[:2]:
        name.write_text("import torch\nopt.step()\n")
    names[2].write_text("x = 1\n")
    plain = scanner()

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        report = plain(paths, settings, overlay=overlay)
        if CLIP not in overlay.get(str(names[0]), ""):
            return report
        here = Position(1, 1)
        new = Finding("CLP204", "n", "m", str(names[2]), here, here, "high")
        return replace(report, findings=(*report.findings, new))

    outcome = apply(names, Settings(), run)
    assert outcome.written == (str(names[1]),)
    assert [failure.filename for failure in outcome.refused] == [str(names[0])]
    assert "CLP204" in outcome.refused[0].message


def test_a_fixed_file_that_the_scan_cannot_read_is_refused(file: Path) -> None:
    plain = scanner()

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        report = plain(paths, settings, overlay=overlay)
        return replace(report, failures=(Failure(str(file), "cannot"),)) if overlay else report

    outcome = apply([file], Settings(), run)
    assert "cannot be read: cannot" in outcome.refused[0].message


def test_a_fix_in_a_cell_that_the_file_does_not_have_is_not_written(file: Path) -> None:
    plain = scanner()

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        report = plain(paths, settings, overlay=overlay)
        return Report(tuple(replace(one, cell=0) for one in report.findings))

    assert plan([file], Settings(), run).changes == ()


def test_only_what_is_wanted(file: Path) -> None:
    assert plan([file], Settings(), scanner(), wanted=lambda one: False).changes == ()


@pytest.mark.parametrize(("unsafe", "count"), [(False, 0), (True, 1)])
def test_unsafe_fixes_hang_on_the_settings(file: Path, unsafe: bool, count: int) -> None:
    plain = scanner()

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        report = plain(paths, settings, overlay=overlay)
        return Report(
            tuple(
                replace(one, fix=one.fix and replace(one.fix, applicability="unsafe"))
                for one in report.findings
            )
        )

    assert len(plan([file], Settings(unsafe_fixes=unsafe), run).changes) == count


# --- passes -------------------------------------------------------------------------------------------


def test_many_findings_share_their_import(file: Path) -> None:
    file.write_text("if a:\n    opt.step()\nelse: opt.step()\n")
    outcome = fixed(file)
    after = "import torch\n\nif a:\n    clip(model)\n    opt.step()\nelse: clip(model); opt.step()\n"
    assert file.read_text() == after
    assert [(one.start.row, one.start.column) for one in outcome.fixed] == [(2, 5), (3, 7)]
    assert outcome.report == Report()


def test_fixes_that_conflict_take_a_pass_each(file: Path) -> None:
    def rule(source: str, step: Span) -> Sequence[Action]:
        return (InsertBefore(step, (CLIP,)), AddImport(f"import m{source.count(CLIP)}_{step.row % 7}"))

    file.write_text("opt.step()\nopt.step()\nopt.step()\n")
    outcome = fixed(file, rule)
    assert [one.start.row for one in outcome.fixed] == [1, 2, 3]
    assert outcome.report.findings == ()
    assert file.read_text().count("import m") == 3


# --- bytes --------------------------------------------------------------------------------------------

BYTES = {
    "crlf": (
        b"import torch\r\nif x:\r\n\topt.step()\r\n",
        b"import torch\r\nif x:\r\n\tclip(model)\r\n\topt.step()\r\n",
    ),
    "mixed": (
        b"import torch\r\na()\nopt.step()\rb()\n",
        b"import torch\r\na()\nclip(model)\ropt.step()\rb()\n",
    ),
    "no final newline": (b"import torch\nopt.step()", b"import torch\nclip(model)\nopt.step()"),
    "mark": (b"\xef\xbb\xbfopt.step()\n", b"\xef\xbb\xbfimport torch\n\nclip(model)\nopt.step()\n"),
    "form feed": (b"import torch\n\x0c\nopt.step()\n", b"import torch\n\x0c\nclip(model)\nopt.step()\n"),
    "trailing space": (
        b"import torch  \nx = 1 \t\nopt.step()\n\n\n",
        b"import torch  \nx = 1 \t\nclip(model)\nopt.step()\n\n\n",
    ),
    "latin-1": (
        b"# coding: latin-1\nimport torch\ns = '\xe9'; opt.step()\n",
        b"# coding: latin-1\nimport torch\ns = '\xe9'; clip(model); opt.step()\n",
    ),
    "utf-8": (
        "import torch\ns = 'é😀'; opt.step()\n".encode(),
        "import torch\ns = 'é😀'; clip(model); opt.step()\n".encode(),
    ),
}


@pytest.mark.parametrize(("before", "after"), BYTES.values(), ids=BYTES.keys())
def test_bytes(file: Path, before: bytes, after: bytes) -> None:
    file.write_bytes(before)
    outcome = fixed(file)
    assert outcome.refused == ()
    assert file.read_bytes() == after


def test_a_fix_that_the_encoding_cannot_hold_is_refused(file: Path) -> None:
    before = b"# coding: latin-1\nimport torch\ns = '\xe9'; opt.step()\n"
    file.write_bytes(before)

    def rule(source: str, step: Span) -> Sequence[Action]:
        return (InsertBefore(step, (CLIP,)), AddImport("import \u0436"))

    outcome = fixed(file, rule)
    assert file.read_bytes() == before
    assert "encoding of the file" in outcome.refused[0].message


def test_an_encoding_that_does_not_come_back_is_refused(file: Path) -> None:
    before = b"# coding: utf-7\nimport torch\ns = '+AGE-'\nopt.step()\n"
    file.write_bytes(before)
    outcome = fixed(file)
    assert file.read_bytes() == before
    assert "does not give the same bytes back" in outcome.refused[0].message


# --- on disk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o664])
def test_mode_is_kept(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert fixed(file).written
    assert file.stat().st_mode & 0o7777 == mode
    assert os.listdir(file.parent) == ["train.py"]


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "link.py"
    link.symlink_to(file)
    assert apply([link], Settings(project_root=tmp_path), scanner()).written == (str(link),)
    assert link.is_symlink()
    assert file.read_bytes() == FIXED
    assert os.listdir(folder) == ["link.py"]


def test_two_names_of_one_file(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(file)
    outcome = apply([file, link], Settings(), scanner())
    assert (len(outcome.written), outcome.refused) == (2, ())
    assert file.read_bytes() == FIXED


def test_a_read_only_file_is_left_alone(file: Path) -> None:
    before = file.read_bytes()
    file.chmod(0o444)
    outcome = fixed(file)
    assert file.read_bytes() == before
    assert "read-only" in outcome.refused[0].message
    assert (outcome.fixed, len(outcome.report.findings)) == ((), 1)


def test_a_file_changed_in_between_is_left_alone(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("import torch\nopt.step()\n")
    plain = scanner()

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        if overlay:
            file.write_bytes(b"# mine\nopt.step()\n")
        return plain(paths, settings, overlay=overlay)

    outcome = apply([file, other], Settings(), run)
    assert file.read_bytes() == b"# mine\nopt.step()\n"
    assert outcome.written == (str(other),)
    assert "changed since it was read" in outcome.refused[0].message
    assert [one.filename for one in outcome.report.findings] == [str(file)]
    assert sorted(os.listdir(tmp_path)) == ["other.py", "train.py"]


def test_a_file_gone_in_between_is_named(file: Path) -> None:
    plain = scanner()

    def run(paths: Sequence[Path], settings: Settings, *, overlay: Mapping[str, str]) -> Report:
        if not file.exists():
            return Report()
        report = plain(paths, settings, overlay=overlay)
        if overlay:
            file.unlink()
        return report

    outcome = apply([file], Settings(), run)
    assert (outcome.written, len(outcome.refused)) == ((), 1)
    assert not file.exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(os, step, full)
    outcome = fixed(file)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["train.py"]
    assert "No space left" in outcome.refused[0].message


# --- diff ---------------------------------------------------------------------------------------------


def test_no_changes_no_diff(file: Path) -> None:
    file.write_bytes(FIXED)
    assert diff(plan([file], Settings(), scanner())) == ""


def test_diff(file: Path) -> None:
    expected = "--- a/train.py\n+++ b/train.py\n@@ -1,2 +1,3 @@\n import torch\n+clip(model)\n opt.step()\n"
    assert diff(plan([file], Settings(), scanner()), file.parent) == expected


@pytest.mark.parametrize("tool", [["patch", "-p1", "--binary"], ["git", "apply"]], ids=["patch", "git"])
@pytest.mark.parametrize(("before", "after"), BYTES.values(), ids=BYTES.keys())
def test_a_diff_can_be_applied(file: Path, tool: list[str], before: bytes, after: bytes) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    folder = file.parent / "with space"
    folder.mkdir()
    path = file.rename(folder / "é train.py")
    path.write_bytes(before)
    text = diff(plan([path], Settings(), scanner()), file.parent)
    assert path.read_bytes() == before
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(file.parent.parent)}
    subprocess.run(
        tool, cwd=file.parent, input=text.encode("utf-8", "surrogateescape"), check=True, env=environment
    )
    assert path.read_bytes() == after


def test_a_span_helper_of_these_tests_counts_bytes() -> None:
    assert span("é = 1; a\n", "a") == Span(1, 8, 1, 9)


def test_every_file_written_that_has_other_names_is_named(tmp_path):
    names = [str(tmp_path / name) for name in ("a.py", "b.py", "c.py")]
    for name in names:
        Path(name).write_text("old = 1\n")
    for name in (names[0], names[2]):
        os.link(name, f"{name}.other")
    changes = tuple(Change(name, read(Path(name)), "new = 1\n") for name in names)
    outcome = write(Plan(changes, (), (), Report()), Report)
    assert (outcome.written, outcome.parted) == (tuple(names), (names[0], names[2]))
    assert [Path(name).read_text() for name in names] == ["new = 1\n"] * 3
    assert Path(f"{names[0]}.other").read_text() == "old = 1\n"
