"""What a finding is known by: the same however the file has aged, and another for another finding."""

from __future__ import annotations

import aging
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipcheck import config, pipeline
from clipcheck.fingerprint import one_line, tight


def scan(folder, text=None, name="train.py", **given):
    path = folder / name
    if text is not None:
        path.write_bytes(text.encode())
    return pipeline.run([path], config.load(folder, None, {"no_cache": True, "jobs": 1, **given})).findings


def prints(findings):
    return [one.fingerprint for one in findings]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return scan(tmp_path_factory.mktemp("first"), aging.PROGRAM)


def test_findings_of_equal_statements_are_told_apart(first):
    assert len(set(prints(first))) == len(first) == aging.STEPS
    assert [(one.scope, one.statement) for one in first] == [
        ("train", "optimizer.step()"),
        ("train", "optimizer.step()"),
        ("Trainer.fit", "optimizer.step(None)"),
        ("Trainer.tune", "optimizer.step()"),
        ("", "optimizer.step()"),
    ]


@pytest.mark.parametrize("age", aging.AGES, ids=lambda age: age.__name__)
def test_each_age_is_another_text_with_the_same_fingerprints(age, first, tmp_path):
    aged = age(aging.PROGRAM)
    assert aged != aging.PROGRAM
    found = scan(tmp_path, aged)
    assert prints(found) == prints(first)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.sampled_from(aging.AGES[1:6]), unique=True, min_size=2))
def test_ages_in_any_order(ages, first, tmp_path):
    text = aging.PROGRAM
    for age in sorted(ages, key=aging.AGES.index):
        text = age(text)
    assert prints(scan(tmp_path, aging.below_others(aging.blank_lines(text)))) == prints(first)


def test_other_findings_come_and_go(first, tmp_path):
    assert prints(scan(tmp_path, aging.PROGRAM + aging.ANOTHER))[: aging.STEPS] == prints(first)
    gone = aging.PROGRAM.replace("optimizer.step()", "optimizer.step()  # clipcheck: ignore", 1)
    assert prints(scan(tmp_path, gone)) == prints(first)[1:]  # the second of two equal ones keeps its own


def test_another_file_function_or_statement_is_another_finding(first, tmp_path):
    assert not set(prints(scan(tmp_path, aging.PROGRAM, "other.py"))) & set(prints(first))
    renamed = scan(tmp_path, aging.PROGRAM.replace("def tune", "def adapt"))
    assert [a == b for a, b in zip(prints(renamed), prints(first), strict=True)] == [
        True,
        True,
        True,
        False,
        True,
    ]
    changed = scan(tmp_path, aging.PROGRAM.replace("step(None)", "step(closure=None)"))
    assert [a == b for a, b in zip(prints(changed), prints(first), strict=True)] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_the_path_counts_from_the_folder_of_the_settings(first, tmp_path):
    """A part of a repository that is scanned alone, as a hook does, gives the same fingerprints."""
    (tmp_path / "clipcheck.toml").write_text("")
    part = tmp_path / "part"
    part.mkdir()
    (part / "pyproject.toml").write_text("")
    (part / "train.py").write_text(aging.PROGRAM)
    alone = pipeline.run([part], config.load(part, None, {"no_cache": True, "jobs": 1}))
    whole = pipeline.run([tmp_path], config.load(tmp_path, None, {"no_cache": True, "jobs": 1}))
    assert prints(alone.findings) == prints(whole.findings)
    assert not set(prints(alone.findings)) & set(prints(first))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a.step()", "a.step()", id="as-it-is"),
        pytest.param("a \\\n  .step(\n    b,  # why\n)", "a.step(b)", id="rows-and-comments"),
        pytest.param(
            'step(\'# no comment\', """a # b""")', 'step(\'# no comment\', """a # b""")', id="strings"
        ),
        pytest.param("# clipcheck:  ignore", "# clipcheck: ignore", id="a-comment"),
        pytest.param("é = 'ü'\t+ x", "é = 'ü' + x", id="letters"),
    ],
)
def test_a_statement_on_one_line(text, line):
    assert one_line(text).replace(",)", ")") == line


@pytest.mark.parametrize(
    ("one", "other"),
    [("f(a, b)", "f(\n  a,\n  b,\n)"), ("x = f(a)[0]", "x=f( a ) [ 0 ]"), ("f(a, *b)", "f(a,*b)")],
)
def test_formatters_change_nothing(one, other):
    assert tight(one_line(one)) == tight(one_line(other))


def test_words_stay_apart():
    assert tight("return step") != tight("returnstep")
