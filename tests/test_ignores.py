"""`--add-ignores`: a comment where one can stand, nothing else changed, and silence afterwards."""

from __future__ import annotations

import ast
import json
import os

import fixturelib
import pytest
from commanding import caller

import clipcheck
from clipcheck import config, fixing, ignores, notebook, pipeline
from clipcheck.config import UserError

FIXTURES = [fixture for fixture in fixturelib.load() if fixture.markers]
HEAD = """\
import torch
from torch import nn

model = nn.LSTM(8, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in torch.randn(9, 3, 2, 8):
    loss = model(batch)[0].mean()
    loss.backward()
"""
COMMENT = "# clipcheck: ignore[CLP101]"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return caller(capsys, "--no-cache")


def settings(folder, **given):
    return config.load(folder, None, {"no_cache": True, "jobs": 1, **given})


# -- nothing to write --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("", id="no-step"),
        pytest.param(
            "    nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n    optimizer.step()\n", id="clipped"
        ),
        pytest.param(f"    optimizer.step()  {COMMENT}\n", id="silenced"),
        pytest.param("    optimizer.step()  # noqa\n", id="noqa"),
        pytest.param("    optimizer.step()  # clipcheck: ignore\n", id="all-rules"),
    ],
)
def test_a_file_without_findings_stays(rest, run, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(HEAD + rest)
    assert run("--add-ignores")[::2] == (0, "")
    assert run("--add-ignores", "--diff") == (0, "", "")
    assert path.read_text() == HEAD + rest


def test_an_idle_comment_is_for_the_fix_to_take_away(run, tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = 1  # clipcheck: ignore\n")
    status, out, err = run("--add-ignores")
    assert (status, err) == (1, "")
    assert "CLP901" in out
    assert path.read_text() == "x = 1  # clipcheck: ignore\n"


# -- where it goes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("    optimizer.step()\n", f"    optimizer.step()  {COMMENT}\n", id="plain"),
        pytest.param("    optimizer.step()", f"    optimizer.step()  {COMMENT}", id="no-last-line-end"),
        pytest.param(
            "    optimizer.step()\t \n", f"    optimizer.step()  {COMMENT}\t \n", id="spaces-behind"
        ),
        pytest.param(
            "    optimizer.step()  # why\n",
            f"    optimizer.step()  # why  {COMMENT}\n",
            id="behind-a-comment",
        ),
        pytest.param(
            "    optimizer.step()  # noqa: E501\n",
            f"    optimizer.step()  # noqa: E501  {COMMENT}\n",
            id="behind-another-tool's",
        ),
        pytest.param(
            "    optimizer.step(\n        None,\n    )\n",
            f"    optimizer.step(  {COMMENT}\n        None,\n    )\n",
            id="several-rows",
        ),
        pytest.param(
            "    optimizer \\\n        .step()\n",
            f"    optimizer \\\n        .step()  {COMMENT}\n",
            id="backslash",
        ),
        pytest.param(
            '    optimizer.step("""\n    # text\n    """ and None)\n',
            f'    optimizer.step("""\n    # text\n    """ and None)  {COMMENT}\n',
            id="string-over-rows",
        ),
        pytest.param(
            "    optimizer.step(\n        None,  # clipcheck: ignore[CLP1]\n    )\n",
            None,
            id="silenced-in-another-row",
        ),
        pytest.param(
            "    optimizer.step(); optimizer.zero_grad()\n",
            f"    optimizer.step(); optimizer.zero_grad()  {COMMENT}\n",
            id="shared-row",
        ),
        pytest.param(
            "    if batch.sum() > 0: optimizer.step()\n",
            f"    if batch.sum() > 0: optimizer.step()  {COMMENT}\n",
            id="one-line-suite",
        ),
        pytest.param(
            "    optimizer.step()  # clipcheck: ignore[CLP3] measured\n",
            f"    optimizer.step()  {COMMENT} measured\n",
            id="in-place-of-an-idle-code",
        ),
        pytest.param(
            "    optimizer.step()  # clipcheck: ignore[]\n",
            f"    optimizer.step()  # clipcheck: ignore[]  {COMMENT}\n",
            id="behind-one-that-asks-for-nothing",
        ),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_where_the_comment_goes(before, after, line_end, tmp_path):
    path = tmp_path / "a.py"
    source, expected = (
        (HEAD + text).replace("\n", line_end).encode()
        for text in (before, before if after is None else after)
    )
    path.write_bytes(source)
    report = clipcheck.check([path], add_ignores=True, no_cache=True)
    assert path.read_bytes() == expected
    assert (report.findings, report.failures) == ((), ())


def test_rules_that_a_comment_silences_already_stay_in_it(tmp_path):
    path = tmp_path / "a.py"
    clip = "    nn.utils.clip_grad_value_(model.parameters(), 1e9)"
    path.write_text(f"{HEAD}{clip}  # clipcheck: ignore[CLP301]\n    optimizer.step()\n")
    (found,) = clipcheck.check([path], no_cache=True).findings
    assert clipcheck.check([path], add_ignores=True, no_cache=True).findings == ()
    assert f"{clip}  # clipcheck: ignore[CLP301, {found.code}]\n" in path.read_text()


def test_several_rules_share_a_comment(tmp_path):
    path = tmp_path / "a.py"
    clip = "    nn.utils.clip_grad_value_(model.parameters(), 1e9)"
    path.write_text(f"{HEAD}{clip}\n    optimizer.step()\n")
    codes = [one.code for one in clipcheck.check([path], no_cache=True).findings]
    assert codes == ["CLP301", "CLP302"]
    assert clipcheck.check([path], add_ignores=True, no_cache=True).findings == ()
    assert f"{clip}  # clipcheck: ignore[CLP301, CLP302]\n" in path.read_text()


def test_a_call_inside_a_statement_of_several_rows(tmp_path):
    """The comment counts in every row of the statement, also where a finding is about a call in the middle of it."""
    path = tmp_path / "a.py"
    path.write_text(
        "import equinox as eqx\nimport optax\n\nmodel = eqx.nn.GRUCell(3, 4, key=0)\n"
        "def kept(*a): return a[0]\nopt = kept(\n    optax.adam(1e-3),\n)\nstate = opt.init(model)\n"
        "grads = eqx.filter_grad(lambda m: m(1).sum())(model)\nupdates, state = opt.update(grads, state)\n"
        "model = eqx.apply_updates(model, updates)\n"
    )
    assert [one.code for one in clipcheck.check([path], no_cache=True).findings] == ["CLP104"]
    assert clipcheck.check([path], add_ignores=True, no_cache=True).findings == ()
    assert "opt = kept(  # clipcheck: ignore[CLP104]\n" in path.read_text()


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param('    optimizer.step(); x = """\n"""\n', id="the-row-ends-in-a-string"),
        pytest.param("    optimizer.step(); x = 1 + \\\n        2\n", id="the-row-goes-on"),
    ],
)
def test_where_no_comment_can_stand_the_finding_stays_and_is_named(rest, run, tmp_path):
    path = tmp_path / "a.py"
    loop = HEAD[HEAD.index("for ") :]
    path.write_text(HEAD + rest + loop + "    optimizer.step()\n")
    status, out, err = run("--add-ignores")
    assert status == 1
    assert "a.py:9:5: CLP101" in out
    assert (
        "error: a.py:9:5: no comment written for CLP101: none can stand in a line of this statement\n" in err
    )
    assert "silenced 1 finding in 1 file\n" in err
    assert path.read_text() == HEAD + rest + loop + f"    optimizer.step()  {COMMENT}\n"
    assert run("--add-ignores", "--quiet")[0] == 1


# -- on the command line -----------------------------------------------------------------------------


def test_the_diff_shows_it_and_writes_nothing(run, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(HEAD + "    optimizer.step()\n")
    status, out, err = run("--add-ignores", "--diff")
    assert (status, err) == (1, "")
    assert f"-    optimizer.step()\n+    optimizer.step()  {COMMENT}\n" in out
    assert path.read_text() == HEAD + "    optimizer.step()\n"
    assert run("--add-ignores", "--diff", "--exit-zero")[0] == 0


def test_what_the_settings_leave_out_gets_no_comment(run, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(HEAD + "    optimizer.step()\n")
    assert run("--add-ignores", "--select", "CLP2")[0] == 0
    run("--write-baseline", "b.json")
    assert run("--add-ignores", "--baseline", "b.json")[0] == 0
    assert path.read_text() == HEAD + "    optimizer.step()\n"


@pytest.mark.skipif(os.name == "nt", reason="the mode says it all there")
def test_a_file_that_cannot_be_written_is_named(run, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(HEAD + "    optimizer.step()\n")
    path.chmod(0o444)
    status, _, err = run("--add-ignores")
    assert status == 1
    assert "error: a.py: not written: the file is read-only\n" in err


def test_other_encodings_keep_their_bytes(tmp_path):
    path = tmp_path / "a.py"
    data = ("# coding: latin-1\n# é\n" + HEAD + "    optimizer.step()\n").encode("latin-1")
    path.write_bytes(data)
    clipcheck.check([path], add_ignores=True, no_cache=True)
    assert path.read_bytes() == data.replace(b".step()", f".step()  {COMMENT}".encode())
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "    optimizer.step()\n").encode())
    clipcheck.check([path], add_ignores=True, no_cache=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfimport")
    assert path.read_bytes().endswith(f"{COMMENT}\n".encode())


def test_the_settings_that_exclude_each_other(tmp_path):
    for given in ({"fix": True}, {"write_baseline": "b.json"}):
        with pytest.raises(UserError, match="--add-ignores"):
            clipcheck.check([tmp_path], add_ignores=True, **given)
    with pytest.raises(UserError, match="run --fix first"):
        clipcheck.fix([tmp_path], add_ignores=True)


# -- notebooks, and every fixture --------------------------------------------------------------------


def test_a_notebook_changes_in_the_row_of_its_cell_alone(tmp_path):
    loop = HEAD[HEAD.index("for ") :] + "    optimizer.step()\n    print('\\u00e9')"
    cells = [
        {"cell_type": "markdown", "source": ["# Ü"], "metadata": {}},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", HEAD[: HEAD.index("for ")]],
            "outputs": [1.50],
        },
        {"cell_type": "code", "source": loop.splitlines(keepends=True), "outputs": []},
    ]
    path = tmp_path / "n.ipynb"
    text = json.dumps({"metadata": {"b": 1, "a": "\x07"}, "cells": cells, "nbformat": 4}, indent=3) + "\n\n"
    path.write_text(text)
    assert clipcheck.check([path], add_ignores=True, no_cache=True).findings == ()
    assert path.read_text() == text.replace(".step()", f".step()  {COMMENT}")


def test_a_magic_is_left_alone(run, tmp_path):
    source = HEAD + "    %time optimizer.step()"
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source}], "metadata": {}}))
    old = path.read_bytes()
    status, _, err = run("--add-ignores")
    assert (status, path.read_bytes()) == (1, old)
    assert "n.ipynb:cell 0:9:" in err


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.slug)
def test_every_fixture_falls_silent_and_stays_the_same_program(fixture, tmp_path):
    root = fixturelib.copy(fixture.before, tmp_path / "project")
    wanted = fixturelib.settings(root, fixture)
    before = fixturelib.tree(root)
    planned = ignores.plan([root], wanted, pipeline.run)
    written = fixing.write(planned, lambda: pytest.fail("all can be written"))
    assert written.refused == ()
    assert {one.code for one in fixturelib.scan(root, wanted).findings} <= {"CLP901"}
    after = fixturelib.tree(root)
    for name, data in before.items():
        old, new = (notebook.open_program(text.decode(), name).text for text in (data, after[name]))
        assert ast.dump(ast.parse(old)) == ast.dump(ast.parse(new))
        grown = [pair for pair in zip(old.split("\n"), new.split("\n"), strict=True) if pair[0] != pair[1]]
        assert all("clipcheck" in row or longer.startswith(row.rstrip()) for row, longer in grown)
        assert sum(one.filename.endswith(name) for one in written.fixed) >= len(grown)
    assert ignores.plan([root], wanted, pipeline.run).changes == ()
    assert fixturelib.tree(root) == after
