"""What git leaves out is out: git itself is asked, about trees and ignore files of every kind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clipcheck import config
from clipcheck.discover import discover

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
FOLDERS = ("", "d", "e", "d/e", "d/e/d", "e/d e")
FILES = ("a.py", "b.py", "ab.py", "!x.py", "#c.py", "é.py", "b [x].py", "a.ipynb")
PATTERNS = (
    "*", "*.py", "a.py", "/a.py", "b.py", "?.py", "[ab].py", "[!a].py", "a*", "*b*.py", "d", "d/", "/d", "/d/", "d/*",
    "d/**", "**/d", "**/e/", "**/a.py", "d/**/a.py", "d/e", "d/e/", "e/d", "/e/*", "d e", "d\\ e/", "e/d e/", "*/",
    "!*", "!*.py", "!a.py", "!/a.py", "!d", "!d/", "!d/a.py", "!d/e/", "!e/**", "!*/", "!**/a.py", "!d/e/a.py",
    "\\!x.py", "\\#c.py", "#c.py", "!x.py", "!!x.py", "a.py ", "a.py\\ ", " a.py", "a.py\t", "a.py\r", "é.py", "**", "/**", "***.py",
    "b [[]x].py", "b \\[x\\].py", "[[:alpha:]].py", "[z-a].py", "[", "a\\", "\\a.py", "//a.py", "d//e", "/", "", "  ", "./a.py",
)  # fmt: skip
LINES = st.lists(st.sampled_from(PATTERNS), max_size=5)


def git(folder: Path, *words: str, given: str = "") -> list[str]:
    """What git prints, of names that end in NUL, without the ignore file of whoever runs the tests."""
    command = ["git", "-c", "core.excludesFile=", "-c", "core.ignoreCase=false", *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command, cwd=folder, input=given.encode(), capture_output=True, check=False,
        env={**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return [name for name in done.stdout.decode().split("\0") if name]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A repository with every file in every folder; examples change its ignore files alone."""
    root = tmp_path_factory.mktemp("tree")
    git(root, "init", "--quiet")
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (root / folder / name).touch()
    return root


def ignore(root: Path, files: dict[str, list[str]]) -> None:
    for folder in FOLDERS:
        (root / folder / ".gitignore").unlink(missing_ok=True)
    for name, lines in files.items():
        path = root / name if "/info/" in name else root / name / ".gitignore"
        path.write_bytes("\n".join([*lines, ""]).encode())


@given(root=LINES, exclude=LINES, inner=st.dictionaries(st.sampled_from(FOLDERS[1:]), LINES, max_size=3))
@example(root=["*", "!*/", "!a.py"], exclude=[], inner={})
@example(root=["d/"], exclude=[], inner={"d": ["!a.py"]})
@example(root=["a.py"], exclude=["b.py"], inner={"d": ["!a.py"], "e": ["!b.py"]})
@example(root=["!d/"], exclude=["d"], inner={"d/e": ["*", "!b.py"]})
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_is_of_the_same_opinion(tree, root, exclude, inner):
    ignore(tree, {"": root, ".git/info/exclude": exclude, **inner})
    asked = config.load(tree, None, {"exclude": [".git"]})
    listed = git(tree, "ls-files", "-z", "--others", "--exclude-standard")
    expected = sorted(name for name in listed if name.endswith((".py", ".ipynb")))
    found = [Path(path).relative_to(tree).as_posix() for path in discover([tree], asked).report_on]
    assert found == expected

    # Named outright, with --force-exclude: one file at a time, as a hook hands them over.
    names = [f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in FILES]
    out = set(git(tree, "check-ignore", "-z", "--stdin", "--no-index", given="\0".join(names)))
    forced = config.load(tree, None, {"exclude": [".git"], "force_exclude": True})
    left = discover([tree / name for name in names], forced).report_on
    assert {Path(path).relative_to(tree).as_posix() for path in left} == set(names) - out
