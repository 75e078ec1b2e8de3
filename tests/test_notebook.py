"""Notebooks: read as one program, reported by cell, written back with nothing else changed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from clipcheck import config, fixing, pipeline
from clipcheck.cells import read_cells, write_cells
from clipcheck.config import UserError
from clipcheck.magics import plain
from clipcheck.notebook import NotebookError, code_of, open_program, rewrite, sources

NAME = "n.ipynb"
HEAD = "import torch\nfrom torch import nn"
MODEL = "model = nn.LSTM(4, 8)\noptimizer = torch.optim.Adam(model.parameters())"
LOOP = (
    "for batch in range(9):\n    optimizer.zero_grad()\n    model(torch.randn(5, 1, 4))[0].sum().backward()\n"
)
STEP = "    optimizer.step()"
CLIP = "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"


def code(source: str | list[str], **more: object) -> dict[str, object]:
    lines = source.splitlines(keepends=True) if isinstance(source, str) else source
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": lines,
        **more,
    }


def words(source: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": [source]}


def book(*cells: str | dict[str, object], language: str | None = None, **layout: object) -> str:
    """Return a notebook of cells (strings are code), laid out as Jupyter writes them unless `layout` says else."""
    metadata = {} if language is None else {"language_info": {"name": language}}
    data = {
        "cells": [code(cell) if isinstance(cell, str) else cell for cell in cells],
        "metadata": metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(data, **{"indent": 1, "ensure_ascii": False, **layout}) + "\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes files below an empty folder and scans it, or fixes it."""
    monkeypatch.chdir(tmp_path)

    class Project:
        folder = tmp_path

        def write(self, **files: str) -> None:
            for name, text in files.items():
                stem, _, suffix = name.rpartition("_")
                (tmp_path / f"{stem}.{suffix}").write_text(text, "utf-8", newline="")

        def settings(self, **given: object) -> config.Settings:
            return config.load(tmp_path, None, {"no_cache": True, "jobs": 1, **given})

        def scan(self, *paths: str, **given: object):
            return pipeline.run([tmp_path / name for name in paths] or [tmp_path], self.settings(**given))

        def fix(self, **given: object):
            return fixing.apply([tmp_path], self.settings(**given), pipeline.run)

        def places(self, **given: object) -> list[tuple[str, str, int | None, int]]:
            return [
                (one.code, Path(one.filename).name, one.cell, one.start.row)
                for one in self.scan(**given).findings
            ]

    return Project()


# -- silent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param([words(LOOP + STEP)], id="words"),
        pytest.param([code(LOOP + STEP) | {"cell_type": "raw"}], id="raw"),
        pytest.param([code("1", outputs=[{"text": [LOOP + STEP]}])], id="output"),
        pytest.param(["%%bash\n" + LOOP + STEP], id="bash"),
        pytest.param(["\n%%writefile train.py\n" + LOOP + STEP], id="writefile"),
        pytest.param(["%%unheard_of --of it\n" + LOOP + STEP], id="unknown-magic"),
        pytest.param([code(LOOP + STEP, metadata={"vscode": {"languageId": "r"}})], id="marked-as-R"),
        pytest.param([LOOP + CLIP + STEP], id="clipped"),
        pytest.param(["%timeit optimizer.step()"], id="timed"),
        pytest.param(["!echo 'optimizer.step()'"], id="shell"),
        pytest.param([LOOP + STEP + "  # clipcheck: ignore[CLP101]"], id="ignored"),
        pytest.param(["# clipcheck: ignore-file", LOOP + STEP], id="ignored-file"),
        pytest.param([LOOP + CLIP.rstrip() + "\nnorm = 1", "optimizer.step()"], id="step-in-the-next-cell"),
    ],
)
def test_nothing_to_report(project, cells):
    project.write(n_ipynb=book(HEAD, MODEL, *cells))
    report = project.scan()
    assert report.findings == ()
    assert report.failures == ()


@pytest.mark.parametrize("language", ["R", "julia", "scala"])
def test_other_languages_are_not_read(project, language):
    project.write(n_ipynb=book(HEAD, MODEL, LOOP + STEP, "this is ( not Python", language=language))
    report = project.scan()
    assert (report.findings, report.failures, report.files) == ((), (), 1)


def test_damage_does_not_matter_where_no_event_can_be(project):
    project.write(n_ipynb=book("x = (", words("optimizer.step()")), m_ipynb='{"cells": [', e_ipynb="")
    assert project.scan().failures == ()


def test_copies_that_jupyter_keeps_are_left_out(project):
    (project.folder / ".ipynb_checkpoints").mkdir()
    (project.folder / ".ipynb_checkpoints" / "n-checkpoint.ipynb").write_text(book(HEAD, MODEL, LOOP + STEP))
    assert project.scan().files == 0


def test_no_import_means_a_notebook(project):
    """`from shared import model` in another notebook or script finds no `shared.ipynb`."""
    project.write(
        shared_ipynb=book(HEAD, MODEL),
        train_py=f"{HEAD}\nfrom shared import model, optimizer\n{LOOP}{STEP}\n",
    )
    assert project.places(min_risk="none") == []


# -- reported ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [None, "python", "ipython"])
def test_cells_are_one_program(project, language):
    project.write(n_ipynb=book(words("# Title"), HEAD, MODEL, words("train"), LOOP + STEP, language=language))
    (finding,) = project.scan().findings
    assert (finding.code, finding.risk, finding.cell) == ("CLP101", "high", 4)
    assert (finding.start.row, finding.start.column) == (4, 5)
    assert (finding.end.row, finding.end.column) == (4, 21)
    assert [(item.cell, item.row) for item in finding.evidence] == [(2, 1), (2, 2), (4, 3)]
    assert finding.fix is not None
    assert [(edit.cell, edit.start.row, edit.content) for edit in finding.fix.edits] == [(4, 4, CLIP)]


def test_a_function_uses_the_global_of_the_call(project):
    """The model of a cell between the function and its call is the one that is trained."""
    train = "def train():\n" + re.sub("(?m)^", "    ", LOOP + STEP)
    plain_model = MODEL.replace("nn.LSTM(4, 8)", "nn.Linear(4, 8)")
    project.write(n_ipynb=book(HEAD, train, MODEL, "train()"))
    project.write(m_ipynb=book(HEAD, train, plain_model, "train()"))
    assert project.places() == [("CLP101", "n.ipynb", 1, 5)]


def test_old_format(project):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "text"},
        {"cell_type": "code", "input": f"{HEAD}\n{MODEL}\n", "language": "python", "outputs": []},
        {"cell_type": "code", "input": [LOOP, STEP], "language": "python", "outputs": []},
        {"cell_type": "code", "input": ["x <- (optimizer.step()"], "language": "R", "outputs": []},
    ]
    text = json.dumps({"metadata": {}, "nbformat": 3, "worksheets": [{"cells": cells}]})
    project.write(n_ipynb=text)
    assert project.places() == [("CLP101", "n.ipynb", 2, 4)]
    project.fix()
    cells[2]["input"] = [LOOP, CLIP, STEP]
    assert json.loads((project.folder / NAME).read_text("utf-8"))["worksheets"] == [{"cells": cells}]


def test_the_probe_sees_through_json(project):
    """In one string, `step` follows the n of an escaped line end."""
    source = f"{HEAD}\n{MODEL}\nfor batch in range(9):\n model(batch)[0].backward();optimizer.\\\nstep()"
    project.write(n_ipynb=book(code([source])))
    assert len(project.scan().findings) == 1


def test_a_notebook_tells_what_a_module_trains(project):
    project.write(
        run_ipynb=book(HEAD, "from fitting import fit", MODEL, "fit(model, optimizer)"),
        fitting_py="import torch\ndef fit(model, optimizer):\n    model(0)[0].backward()\n    optimizer.step()\n",
    )
    (finding,) = project.scan().findings
    assert (Path(finding.filename).name, finding.cell, finding.risk) == ("fitting.py", None, "high")
    assert (Path(finding.evidence[0].filename).name, finding.evidence[0].cell) == ("run.ipynb", 2)


def test_await_outside_functions(project):
    project.write(n_ipynb=book(HEAD, MODEL, "data = await load()\nasync for x in data: pass", LOOP + STEP))
    report = project.scan()
    assert (len(report.findings), report.failures) == (1, ())


def test_standard_input(project, monkeypatch):
    arguments = ["-", "--stdin-filename", NAME, "--output-format", "json", "--no-cache"]
    from clipcheck.cli import clipcheck

    done = CliRunner().invoke(clipcheck, ["check", *arguments], input=book(HEAD, MODEL, LOOP + STEP))
    assert [(one["cell"], one["location"]["row"]) for one in json.loads(done.stdout)] == [(2, 4)]


# -- cells that cannot be parsed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "row"),
    [
        ("x = (\n", 1),
        ("x = 1\ny = = 2", 2),
        ('text = """never closed', 1),
        ("print 'old'", 1),
        ("if x:", 1),
        ("else:\n    pass", 1),
        ("%%time\n)", 2),
        ("  y = (", 1),
        ("x = '\ud800'", 1),
    ],
)
def test_a_broken_cell_is_left_out_and_named(project, broken, row):
    project.write(n_ipynb=book(HEAD, MODEL, broken, LOOP + STEP, ensure_ascii=True))
    report = project.scan()
    assert [(one.cell, one.start.row) for one in report.findings] == [(3, 4)]
    ((failure),) = report.failures
    assert (Path(failure.filename).name, failure.cell, failure.row) == (NAME, 2, row)


def test_two_cells_that_only_fit_together_are_broken(project):
    """The string that one opens and the other closes would swallow what is between them."""
    quotes = '"' * 3
    project.write(n_ipynb=book(HEAD, MODEL, f"x = {quotes}", LOOP + STEP, f"y = {quotes}"))
    report = project.scan()
    assert [failure.cell for failure in report.failures] == [2, 4]
    assert len(report.findings) == 1


def test_broken_cells_are_fixed_around(project):
    project.write(n_ipynb=book(HEAD, MODEL, "x = (", LOOP + STEP))
    outcome = project.fix()
    assert (len(outcome.fixed), outcome.refused) == (1, ())
    assert sources((project.folder / NAME).read_text("utf-8"))[3] == LOOP + CLIP + STEP


def test_broken_cells_are_named_from_the_cache_too(project, tmp_path):
    project.write(n_ipynb=book(HEAD, MODEL, "x = (", LOOP + STEP))
    reports = [project.scan(no_cache=False, cache_dir=tmp_path / "cache") for _ in range(2)]
    assert reports[0] == reports[1]
    assert len(reports[1].failures) == 1


def test_exit_status_and_words(project):
    from clipcheck.cli import clipcheck

    project.write(n_ipynb=book(HEAD, MODEL, "y = 1\nx = (", LOOP + STEP))
    done = CliRunner().invoke(clipcheck, ["check", "--no-cache", NAME])
    assert done.exit_code == 2
    assert "error: n.ipynb:cell 2:2:5: cannot be parsed by Python 3" in done.stderr
    assert "n.ipynb:cell 3:4:5: CLP101 unclipped-step [high risk]" in done.stdout
    assert "   4 | optimizer.step()\n     | ^^^^" in done.stdout
    assert "= n.ipynb:cell 1:1: LSTM made here" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "optimizer.step()",
        '{"cells": [], "x": optimizer.step()}',
        '{"cells": {"optimizer.step()": 1}}',
        '["optimizer.step()"]',
        '{"cells": []} optimizer.step()',
        '{"name": "optimizer.step()"}',
        '{"cells": [1], "optimizer.step()": 2}',
        '{"optimizer.step()": ' + "[" * 100_000,
    ],
)
def test_what_is_no_notebook_is_named(project, text):
    project.write(n_ipynb=text)
    report = project.scan()
    assert report.findings == ()
    assert "cannot be read as a notebook" in report.failures[0].message


# -- magics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "x = 5 % 3\ny = x != 3",
        'text = """\n%matplotlib inline\n!ls\n"""',
        "x = (5\n     % 3)\nprint('what?')",
        "x = 7 \\\n% 3",
        "print('%d' % 3)\nprint('x =%d' % 3, '=!')",
        "# what?\n#!ls",
        "run - x",
        "pip install torch\nx = 1",
        "piper install torch",
        "",
    ],
)
def test_plain_python_stays(source):
    assert plain(source) == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%matplotlib inline", "pass"),
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("!pip install torch\r\nx = 1\r\n", "pass\r\nx = 1\r\n"),
        ("!!ls", "pass"),
        ("if x:\n    !ls\n    %cd ..\nelse:\n\t!pwd", "if x:\n    pass\n    pass\nelse:\n\tpass"),
        ("!pip install \\\n  torch \\\n  numpy\nx = 1", "pass\n \n \nx = 1"),
        ("?print\nprint?\nmodel.fit??\n%timeit?", "pass\npass\npass\npass"),
        ("files = !ls *.py", "files = ..."),
        ("a.b['c'] = %sql select 1", "a.b['c'] = ..."),
        ("a, b = !echo $x", "a, b = ..."),
        ("for f in x:\n    out = !cat {f}\n    print(out)", "for f in x:\n    out = ...\n    print(out)"),
        ("%time train(model)", "pass; train(model)"),
        ("%time train model", "pass"),
        ("loss = %time train(model)", "loss =       train(model)"),
        ("%timeit train(model)", "pass"),
        ("%%time\nx = 1", " \nx = 1"),
        ("\n%%capture out\n%%time\n%cd x\ny", "\n \n \npass\ny"),
        ("%%timeit -n 3\nx", " \nx"),
        ("%%bash\nls\n\nrm x", " \n \n\n "),
        ("%%bash\rx\ny", " \r \n "),
        ("%%script python\r\nx\r\n", " \r\n \r\n"),
        ("x = '''\n%no\n'''\n%yes", "x = '''\n%no\n'''\npass"),
        ("f(1,\n  '''%''' '(',\n% 3)\n%yes", "f(1,\n  '''%''' '(',\n% 3)\npass"),
        ("x = 1  # a ' quote and a ( \\\n%yes", "x = 1  # a ' quote and a ( \\\npass"),
        ("x = 'it\\'s' + \\\n  'y'\n%yes", "x = 'it\\'s' + \\\n  'y'\npass"),
        ("def f():\n    x?\n", "def f():\n    pass\n"),
        (",print a b\n/print 1", "pass\npass"),
        ("pip install -q torch torchvision\n", "pass\n"),
        ("\n  cd data", "\n  pass"),
    ],
)
def test_magics(source, expected):
    assert plain(source) == expected


@given(st.text("%!?=x \n\r()'\"\\#[]:", max_size=60))
def test_rows_stay(source):
    rows = re.findall("\r\n|\n|\r", source)
    assert re.findall("\r\n|\n|\r", plain(source)) == rows


# -- rows and cells ----------------------------------------------------------------------------------


def test_rows_are_found_again():
    program = open_program(book("a = 1\nb = 2", words("text"), "", "  c = 3\n  d = 4\n", "e = 5"), NAME)
    rows = program.text.split("\n")
    found = {}
    for name in "abcde":
        row = next(number for number, line in enumerate(rows, 1) if line.strip().startswith(name))
        cell, inside = program.locate(row)
        assert program.row(cell, inside) == row
        found[name] = (cell, inside)
    assert found == {"a": (0, 1), "b": (0, 2), "c": (3, 1), "d": (3, 2), "e": (4, 1)}
    assert ast.unparse(ast.parse(program.text)).startswith("a = 1")
    with pytest.raises(IndexError):
        program.row(1, 1)


def test_a_cell_indented_as_a_whole(project):
    """IPython takes the indentation away; here it stays, so that columns do."""
    indented = re.sub("(?m)^", "  ", LOOP + STEP)
    project.write(n_ipynb=book(HEAD, MODEL, indented))
    (finding,) = project.scan().findings
    assert (finding.cell, finding.start.row, finding.start.column) == (2, 4, 7)
    project.fix()
    assert sources((project.folder / NAME).read_text("utf-8"))[2] == re.sub("(?m)^", "  ", LOOP + CLIP + STEP)


# -- reports -----------------------------------------------------------------------------------------


def test_json_counts_in_cells(project):
    from clipcheck.cli import clipcheck

    project.write(n_ipynb=book(words("text"), HEAD, MODEL, LOOP + STEP))
    done = CliRunner().invoke(clipcheck, ["check", "--no-cache", "--output-format", "json"])
    (finding,) = json.loads(done.stdout)
    assert (finding["cell"], finding["location"]) == (3, {"row": 4, "column": 5})
    assert finding["evidence"][0] == {
        "filename": str(project.folder / NAME),
        "row": 1,
        "message": "LSTM made here (cell 2)",
    }
    assert [edit["location"] for edit in finding["fix"]["edits"]] == [{"row": 4, "column": 1}]


def test_json_has_no_edits_of_other_cells(project):
    """The contract's edits have no cell of their own: applied to the finding's cell they would do harm."""
    project.write(
        n_ipynb=book("from torch.nn import LSTM\nfrom torch.optim import Adam", SHORT_MODEL, LOOP_ALONE)
    )
    from clipcheck.cli import clipcheck

    done = CliRunner().invoke(clipcheck, ["check", "--no-cache", "--output-format", "json"])
    (finding,) = json.loads(done.stdout)
    assert finding["fix"]["applicability"] == "safe"
    assert finding["fix"]["edits"] == []


def test_explain(project):
    from clipcheck.cli import clipcheck

    project.write(n_ipynb=book(words("text"), HEAD, MODEL, LOOP + STEP))
    for place in (f"{NAME}:3:4", f"{NAME}:cell 3:4"):
        done = CliRunner().invoke(clipcheck, ["check", "--no-cache", "--explain", place])
        assert done.exit_code == 0
        assert "n.ipynb:cell 3:4: `optimizer.step()`" in done.stdout
        assert "an LSTM made at n.ipynb:cell 2:1" in done.stdout
        assert "1. backward at n.ipynb:cell 3:3" in done.stdout
    with pytest.raises(UserError, match="no row 1 of code in cell 0"):
        pipeline.explain(project.folder / NAME, 1, project.settings(), cell=0)


def test_explain_says_which_cell_calls(project):
    train = "def train():\n" + re.sub("(?m)^", "    ", LOOP + STEP)
    project.write(n_ipynb=book(HEAD, train, MODEL, "epochs = 3\ntrain()"))
    told = pipeline.explain(project.folder / NAME, 5, project.settings(), cell=1)
    assert "by the call in line 2 of cell 3" in told


@pytest.mark.parametrize("place", [NAME, f"{NAME}:4", f"{NAME}:x:4", f"{NAME}:3:0"])
def test_explain_needs_the_cell(project, place):
    project.write(n_ipynb=book(HEAD))
    from clipcheck.cli import clipcheck

    done = CliRunner().invoke(clipcheck, ["check", "--explain", place])
    assert isinstance(done.exception, UserError)
    assert "FILE:CELL:LINE" in str(done.exception)


# -- fixes -------------------------------------------------------------------------------------------

SHORT_MODEL = "model = LSTM(4, 8)\noptimizer = Adam(model.parameters())"
LOOP_ALONE = "for batch in range(9):\n    model(batch)[0].sum().backward()\n" + STEP


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"ensure_ascii": True},
        {"indent": 2},
        {"indent": "\t"},
        {"indent": None},
        {"indent": None, "separators": (",", ":"), "ensure_ascii": True},
        {"sort_keys": True, "indent": 4},
    ],
)
@pytest.mark.parametrize("one_string", [False, True])
def test_one_line_and_no_other_byte(project, layout, one_string):
    def made(clip: str) -> str:
        loop = LOOP + clip + STEP + "  # “done” – \\n \x7f\t"
        train: dict[str, object] = code(loop, outputs=[{"text": "Ω <b> \\/"}])
        if one_string:
            train["source"] = loop
        return book(words("é"), HEAD, MODEL, train, "'ü'", **layout)

    project.write(n_ipynb=made(""))
    outcome = project.fix()
    assert len(outcome.fixed) == 1
    assert (project.folder / NAME).read_text("utf-8") == made(CLIP)
    assert project.fix().written == ()


def test_bytes_that_no_json_writer_would_write_stay(project):
    """Odd white space, escapes nobody needs, a byte order mark, Windows line ends, no last one."""
    text = book(HEAD, MODEL, LOOP + STEP).rstrip()
    text = text.replace("optimizer.zero_grad", "\\u006fptimizer.zero_grad").replace(
        '"metadata"', '"metadata" '
    )
    text = "\ufeff" + text.replace("\n", "\r\n")
    project.write(n_ipynb=text)
    assert len(project.fix().fixed) == 1
    step = next(line for line in text.splitlines(keepends=True) if "optimizer.step" in line)
    clip = step.replace(STEP, CLIP.rstrip("\n") + "\\n").replace('"\r', '",\r')
    written = (project.folder / NAME).read_bytes().decode("utf-8")
    assert written == text.replace(step, clip + step)


@pytest.mark.parametrize(
    ("cells", "after"),
    [
        pytest.param(
            ["from torch.nn import LSTM\nfrom torch.optim import Adam", SHORT_MODEL, LOOP_ALONE],
            {0: "import torch\nfrom torch.nn import LSTM\nfrom torch.optim import Adam"},
            id="beside-the-imports-of-the-first-cell",
        ),
        pytest.param(
            [
                "!pip install torch",
                "def show(x):\n    print(x)",
                "from torch.nn import LSTM\nfrom torch.optim import Adam\n",
                SHORT_MODEL,
                LOOP_ALONE,
            ],
            {2: "from torch.nn import LSTM\nfrom torch.optim import Adam\nimport torch\n"},
            id="below-the-command-that-installs-it",
        ),
        pytest.param(
            ["from torch.nn import LSTM\nfrom torch.optim import Adam\n" + SHORT_MODEL + "\n" + LOOP_ALONE],
            {},
            id="in-one-cell",
        ),
    ],
)
def test_where_an_import_goes(project, cells, after):
    project.write(n_ipynb=book(*cells))
    assert len(project.fix().fixed) == 1
    found = sources((project.folder / NAME).read_text("utf-8"))
    for cell, source in after.items():
        assert found[cell] == source
    assert CLIP + STEP in found[len(cells) - 1]
    assert code_of((project.folder / NAME).read_text("utf-8"), NAME).count("import torch\n") == 1


def test_nothing_moves_to_another_cell(project):
    """A clip in the cell after the step stays there; the finding has no fix."""
    step = "model(torch.randn(5, 1, 4))[0].sum().backward()\noptimizer.step()"
    project.write(n_ipynb=book(HEAD, MODEL, step, CLIP.strip()))
    assert [(one.code, one.cell, one.fix) for one in project.scan().findings] == [("CLP201", 3, None)]
    assert project.fix(unsafe_fixes=True).written == ()


def test_within_one_cell_a_clip_moves(project):
    body = "model(torch.randn(5, 1, 4))[0].sum().backward()\noptimizer.step()\n"
    project.write(n_ipynb=book(HEAD, MODEL, body + CLIP.strip()))
    assert [one.code for one in project.fix().fixed] == ["CLP201"]
    after = sources((project.folder / NAME).read_text("utf-8"))
    assert after[2] == body.replace("optimizer.step()\n", f"{CLIP.strip()}\noptimizer.step()")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("%time optimizer.step()", id="the-step"),
        pytest.param(
            "optimizer.step()\nif True:\n    !date\n    " + CLIP.strip(), id="within-what-would-move"
        ),
    ],
)
def test_magics_are_not_rewritten(project, step):
    project.write(n_ipynb=book(HEAD, MODEL, "model(torch.randn(5, 1, 4))[0].sum().backward()\n" + step))
    text = (project.folder / NAME).read_text("utf-8")
    project.fix(unsafe_fixes=True)
    after = (project.folder / NAME).read_text("utf-8")
    assert ("%time" in after, "!date" in after) == ("%time" in text, "!date" in text)


def test_renames_go_to_every_cell(project):
    imported = f"{HEAD}\nfrom torch.nn.utils import clip_grad_norm"
    clip = "    clip_grad_norm(model.parameters(), 1.0)\n"
    project.write(n_ipynb=book(imported, MODEL, LOOP + clip + STEP))
    assert [one.code for one in project.fix().fixed] == ["CLP303"]
    after = sources((project.folder / NAME).read_text("utf-8"))
    assert after[0] == imported + "_"
    assert after[2] == LOOP + clip.replace("norm(", "norm_(") + STEP


def test_an_idle_comment_goes(project):
    project.write(n_ipynb=book(HEAD, "x = optimizer.step  # clipcheck: ignore", "# clipcheck: ignore\ny = 1"))
    assert len(project.fix().fixed) == 2
    after = sources((project.folder / NAME).read_text("utf-8"))
    assert (after[1], after[2]) == ("x = optimizer.step", "y = 1")


def test_the_diff_shows_python(project):
    project.write(n_ipynb=book(HEAD, MODEL, LOOP + STEP))
    planned = fixing.plan([project.folder], project.settings(), pipeline.run)
    shown = fixing.diff(planned, project.folder)
    assert shown.startswith("--- a/n.ipynb:cell 2\n+++ b/n.ipynb:cell 2\n@@ -1,4 +1,5 @@\n")
    assert f"\n+{CLIP}" in shown
    assert '"' not in shown


# -- write-back --------------------------------------------------------------------------------------

_LETTERS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n\r\t"\\/é\u2028😀'), max_size=40
)
_LAYOUTS = st.sampled_from(
    [{}, {"ensure_ascii": True}, {"indent": None}, {"indent": None, "separators": (",", ":")}, {"indent": 4}]
)


@given(st.lists(_LETTERS, min_size=1, max_size=4), st.data(), _LAYOUTS, st.booleans())
def test_written_sources_are_read_again(texts, data, layout, one_string):
    cells = [code([text] if one_string else re.findall(r"[^\n]*\n|[^\n]+", text)) for text in texts]
    if one_string:
        cells = [cell | {"source": "".join(cell["source"])} for cell in cells]
    text = book(*cells, **layout)
    notebook = read_cells(text)
    assert [cell.source for cell in notebook.cells] == texts
    changed = data.draw(st.dictionaries(st.integers(0, len(texts) - 1), _LETTERS))
    written = write_cells(text, notebook, changed)
    wanted = json.loads(text)
    for index, source in changed.items():
        wanted["cells"][index]["source"] = source
    got = json.loads(written)
    for cell in (*got["cells"], *wanted["cells"]):
        cell["source"] = "".join(cell["source"])
    assert got == wanted
    # Back again: all bytes are as they were, but for how the lines of a changed cell are cut.
    assert [
        cell.source
        for cell in read_cells(write_cells(written, read_cells(written), dict(enumerate(texts)))).cells
    ] == texts
    assert write_cells(text, notebook, dict(enumerate(texts))) == text


@given(
    st.lists(st.text("ab\n", max_size=8), min_size=1, max_size=6),
    st.integers(0, 30),
    st.text("xy\n\\", max_size=5),
)
def test_lines_that_stay_keep_their_bytes(elements, at, inserted):
    """Elements that are no lines, as odd writers leave them, stay as they are above and below a change."""
    old = "".join(elements)
    at = min(at, len(old))
    text = json.dumps({"cells": [code(elements)]}, indent=1)
    notebook = read_cells(text)
    written = write_cells(text, notebook, {0: old[:at] + inserted + old[at:]})
    assert read_cells(written).cells[0].source == old[:at] + inserted + old[at:]
    first = json.dumps(elements[0])
    if elements[0].endswith("\n") and at >= len(elements[0]):
        assert f'"source": [\n    {first}' in written


def test_edits_over_the_end_of_a_cell_are_refused():
    text = book("a = 1", "b = 2")
    program = open_program(text, NAME).text
    with pytest.raises(NotebookError):
        rewrite(text, NAME, [(0, len(program) - 2, "c")])
    with pytest.raises(NotebookError):
        rewrite(book("%time a"), NAME, [(6, 7, "b")])
    assert sources(rewrite(text, NAME, [(program.index("b"), program.index("b") + 1, "c")])) == {
        0: "a = 1",
        1: "c = 2",
    }
