"""Every page in rules/ keeps its form, and its examples are scanned, fixed and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import fixturelib
import pytest

RULES = fixturelib.ROOT / "rules"
PAGES = sorted(RULES.glob("CLP*.md"))
IMPLEMENTED = (
    "CLP101",
    "CLP102",
    "CLP103",
    "CLP104",
    "CLP105",
    "CLP201",
    "CLP202",
    "CLP203",
    "CLP204",
    "CLP205",
    "CLP206",
    "CLP207",
    "CLP208",
    "CLP209",
    "CLP210",
    "CLP301",
    "CLP302",
    "CLP303",
    "CLP304",
    "CLP901",
)
HEADINGS = [
    "What it does",
    "Why it matters",
    "Example",
    "Use instead",
    "The fix",
    "When to ignore it",
    "Options",
    "References",
]
IMPORTED = re.compile(r"^(?:import|from) (deepspeed|lightning|tensorflow|torch|transformers)\b", re.MULTILINE)
TITLE = re.compile(r"# (CLP\d{3}): ([a-z]+(?:-[a-z]+)*)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
examples = pytest.mark.parametrize("heading", ["Example", "Use instead"])


def section(page: Path, heading: str) -> str:
    """Return the text below a heading."""
    text = page.read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].strip()


def block(page: Path, heading: str) -> str:
    """Return the one Python block below a heading."""
    blocks = re.findall(r"^```python\n(.*?)^```$", section(page, heading), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return str(blocks[0])


def verdict(page: Path) -> str:
    """Return what the page says of its fix: "safe", "unsafe" or "none"."""
    word = re.match(r"\w+", section(page, "The fix"))
    assert word is not None
    return word[0].lower()


def project(text: str, folder: Path) -> Path:
    folder.mkdir()
    (folder / "example.py").write_text(text, encoding="utf-8")
    return folder


def test_every_implemented_rule_has_a_page() -> None:
    assert set(IMPLEMENTED) <= {page.stem for page in PAGES}


def test_every_page_has_a_judge() -> None:
    """A page promises a rule; CLP901 is judged by the suppressions themselves."""
    from clipcheck.judges import CODES
    from clipcheck.suppress import UNUSED

    assert {page.stem for page in PAGES} == {*CODES, UNUSED}


@pages
def test_form(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    title = TITLE.fullmatch(lines[0])
    assert title is not None
    assert title[1] == page.stem
    assert lines[1] == ""
    assert lines[2].endswith(".")
    assert lines[3] == ""
    assert [line[3:] for line in lines if line.startswith("## ")] == HEADINGS
    assert all(section(page, heading) for heading in HEADINGS)
    assert verdict(page) in ("safe", "unsafe", "none")
    assert not re.search(r"unverified|\bTODO\b", "\n".join(lines))


@pages
def test_example_is_found(page: Path, tmp_path: Path) -> None:
    root = project(block(page, "Example"), tmp_path / "project")
    expected = list(fixturelib.read_markers(block(page, "Example"), "example.py"))
    assert page.stem in {marker.code for marker in expected}
    actual = fixturelib.found(fixturelib.scan(root, fixturelib.settings(root)), root)
    assert fixturelib.agree(expected, actual) == ([], [])


@pages
def test_use_instead_is_silent(page: Path, tmp_path: Path) -> None:
    root = project(block(page, "Use instead"), tmp_path / "project")
    report = fixturelib.scan(root, fixturelib.settings(root))
    assert report.failures == ()
    assert fixturelib.found(report, root) == []


@pages
def test_fix_makes_the_second_block_of_the_first(page: Path, tmp_path: Path) -> None:
    """A safe fix needs no leave; an unsafe one is written only with it; none writes nothing."""
    example, instead = block(page, "Example"), block(page, "Use instead")
    for unsafe in (False, True):
        root = project(example, tmp_path / f"project-{unsafe}")
        fixturelib.fix(root, fixturelib.settings(root, unsafe=unsafe))
        applies = verdict(page) == "safe" or (unsafe and verdict(page) == "unsafe")
        assert (root / "example.py").read_text(encoding="utf-8") == (instead if applies else example)


@pages
@examples
def test_block_runs(page: Path, heading: str, tmp_path: Path) -> None:
    for name in sorted(set(IMPORTED.findall(block(page, heading)))):
        pytest.importorskip(name)
        if name == "transformers":
            pytest.importorskip("accelerate")  # its Trainer needs it
    root = project(block(page, heading), tmp_path / "project")
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
