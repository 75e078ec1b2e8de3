"""Which files: those to leave alone first."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from clipcheck import config
from clipcheck.discover import PathError, common_folder, discover


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n", "utf-8")


def paths(found: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(map(Path, found))


def names(root: Path, *places: Path, **overrides: object) -> list[str]:
    given = list(places) or [root]
    settings = config.load(common_folder(given), None, overrides)
    found = discover(given, settings)
    return [Path(path).relative_to(root).as_posix() for path in found.report_on]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "p").mkdir()
    return tmp_path / "p"


@pytest.mark.parametrize(
    "name",
    [
        ".git/hooks/a.py",
        ".tox/py/a.py",
        ".eggs/a.py",
        ".mypy_cache/a.py",
        ".venv/a.py",
        "__pycache__/a.py",
        "build/lib/a.py",
        "dist/a.py",
        "node_modules/m/a.py",
        "deep/site-packages/torch/a.py",
        "a.pyi",
        "a.txt",
        ".ipynb_checkpoints/a-checkpoint.ipynb",
        "a.py.bak",
        ".python-version",
    ],
)
def test_left_out_by_default(root, name):
    tree(root, "kept.py", name)
    assert names(root) == ["kept.py"]


def test_virtual_environments_are_known_by_their_mark_and_not_by_name(root):
    tree(root, "env/maze.py", "venv/lib/a.py", "conda/a.py")
    (root / "venv" / "pyvenv.cfg").write_text("")
    (root / "conda" / "conda-meta").mkdir()
    assert names(root) == ["env/maze.py"]


def test_git_ignored_files_are_out_the_nearest_file_decides(root):
    (root / ".git" / "info").mkdir(parents=True)
    (root / ".git" / "info" / "exclude").write_text("private.py\n")
    tree(
        root,
        "a.py",
        "private.py",
        "gen/x.py",
        "gen/keep.py",
        "sub/gen_a.py",
        "sub/gen_b.py",
        "out/o.py",
        "t/out/o.py",
    )
    (root / ".gitignore").write_text("# comment\n\ngen/*\n!gen/keep.py\ngen_*.py\n/out/\n")
    (root / "sub" / ".gitignore").write_text("!gen_b.py\n")
    assert names(root) == ["a.py", "gen/keep.py", "sub/gen_b.py", "t/out/o.py"]
    # From below, the files above still count.
    assert names(root, root / "sub") == ["sub/gen_b.py"]


def test_a_worktree_points_to_the_exclude_file_of_its_repository(root, tmp_path):
    tree(root, "a.py", "private.py")
    common = tmp_path / "main" / ".git"
    (common / "worktrees" / "p").mkdir(parents=True)
    (common / "info").mkdir()
    (common / "info" / "exclude").write_text("private.py\n")
    (common / "worktrees" / "p" / "commondir").write_text("../..\n")
    (root / ".git").write_text(f"gitdir: {common / 'worktrees' / 'p'}\n")
    assert names(root) == ["a.py"]


def test_an_ignored_folder_named_outright_is_walked(root):
    (root / ".git").mkdir()
    (root / ".gitignore").write_text("lab/\n")
    tree(root, "lab/a.py", "build/b.py")
    assert names(root) == []
    assert names(root, root / "lab") == ["lab/a.py"]
    assert names(root, root / "build") == ["build/b.py"]


def test_a_file_named_outright_counts_unless_force_exclude(root):
    (root / ".git").mkdir()
    (root / ".gitignore").write_text("ignored.py\n")
    tree(root, "ignored.py", "build/b.py", "ok.py", "v/lib/a.py", "old/o.py")
    (root / "v" / "pyvenv.cfg").write_text("")
    given = [
        root / "ignored.py",
        root / "build" / "b.py",
        root / "ok.py",
        root / "v/lib/a.py",
        root / "old/o.py",
    ]
    extra = {"extend_exclude": ["old/*.py"]}
    assert names(root, *given, **extra) == ["build/b.py", "ignored.py", "ok.py", "old/o.py", "v/lib/a.py"]
    assert names(root, *given, force_exclude=True, **extra) == ["ok.py"]


def test_the_project_above_does_not_exclude_itself(tmp_path):
    root = tmp_path / "build" / "p"
    tree(root, "pyproject.toml", "a.py")
    assert names(root) == ["a.py"]
    assert names(root, root / "a.py", force_exclude=True) == ["a.py"]


def test_exclude_replaces_and_extend_exclude_adds(root):
    tree(root, "build/b.py", "old/o.py", "new/n.py", "new/n_test.py")
    assert names(root, extend_exclude=["old", "*_test.py"]) == ["new/n.py"]
    assert names(root, exclude=["old"]) == ["build/b.py", "new/n.py", "new/n_test.py"]
    (root / "pyproject.toml").write_text("")
    assert names(root, extend_exclude=["/new/"]) == ["old/o.py"]


def test_scripts_without_a_suffix_are_known_by_their_first_line(root):
    (root / "train").write_bytes(b"#!/usr/bin/env python3\nprint()\n")
    (root / "run").write_bytes(b"#!/bin/sh\npython train\n")
    (root / "LICENSE").write_bytes(b"python\n")
    (root / "empty").write_bytes(b"")
    assert names(root) == ["train"]


def test_windows_scripts_and_odd_names(root):
    tree(root, "gui.pyw", "with space.py", "ünï.py", "a.b.py")
    assert names(root) == ["a.b.py", "gui.pyw", "with space.py", "ünï.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_links_and_pipes(root, tmp_path):
    tree(root, "a.py", "pkg/b.py")
    tree(tmp_path, "outside.py", "elsewhere/c.py")
    (root / "pkg" / "loop").symlink_to(root)
    (root / "away").symlink_to(tmp_path / "elsewhere")
    (root / "again.py").symlink_to(root / "a.py")
    (root / "dangling.py").symlink_to(root / "nothing.py")
    (root / "shared.py").symlink_to(tmp_path / "outside.py")
    os.mkfifo(root / "pipe.py")
    assert names(root) == ["a.py", "pkg/b.py", "shared.py"]


def test_each_file_once_absolute_and_sorted(root, monkeypatch):
    tree(root, "b.py", "a/a.py")
    monkeypatch.chdir(root)
    settings = config.load(Path())
    found = discover([Path("b.py"), Path(), Path("a/../b.py"), Path("a")], settings)
    assert paths(found.report_on) == (root / "a" / "a.py", root / "b.py")


@pytest.mark.parametrize(
    ("name", "words"),
    [pytest.param("absent.py", "no such file", id="absent"), pytest.param("a\0b", "null", id="null-byte")],
)
def test_a_path_that_is_not_there_is_a_usage_error(root, name, words):
    with pytest.raises(PathError, match=words):
        discover([root / name], config.Settings(project_root=root))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_what_cannot_be_read_is_named_and_the_rest_is_found(root):
    tree(root, "a.py")
    os.mkfifo(root / "p.py")
    (root / "loop.py").symlink_to("loop.py")
    found = discover([root / "p.py", root / "loop.py", root / "a.py"], config.Settings(project_root=root))
    assert paths(found.report_on) == (root / "a.py",)
    told = [(Path(one.filename).name, one.message) for one in found.failures]
    assert told == [
        ("p.py", "neither a regular file nor a folder"),
        ("loop.py", f"cannot be read: {os.strerror(errno.ELOOP)}"),
    ]


def test_notebooks_are_found_as_python_files_are(root):
    tree(root, "n.ipynb", "deep/m.ipynb", "ignored/x.ipynb")
    (root / ".gitignore").write_text("ignored/\n", "utf-8")
    assert names(root) == ["deep/m.ipynb", "n.ipynb"]
    assert names(root, root / "n.ipynb") == ["n.ipynb"]


def test_a_folder_that_cannot_be_listed_is_a_failure(root, monkeypatch):
    tree(root, "a.py", "closed/b.py")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = discover([root], config.Settings(project_root=root))
    assert paths(found.report_on) == (root / "a.py",)
    assert [failure.filename for failure in found.failures] == [str(root / "closed")]


def test_standard_input_is_one_file_that_need_not_be_there(root, monkeypatch):
    monkeypatch.chdir(root)
    found = discover([Path("-")], config.load(root, None, {"stdin_filename": "src/new.py"}))
    assert paths(found.report_on) == (root / "src" / "new.py",)
    assert found.stdin == root / "src" / "new.py"


def test_the_whole_project_may_be_read_for_one_file(root):
    tree(root, "pyproject.toml", "models.py", "src/train.py", "build/x.py")
    found = discover([root / "src" / "train.py"], config.load(root))
    assert found.root == root
    assert paths(found.report_on) == (root / "src" / "train.py",)
    assert paths(found.project_files()) == (root / "models.py", root / "src" / "train.py")


def test_without_a_mark_the_paths_are_the_project(root):
    tree(root, "a/train.py", "b/models.py")
    found = discover([root / "a"], config.load(root / "a"))
    assert config.find_root(root) is None, "a temporary folder inside a project cannot show this"
    assert found.root == root / "a"
    assert paths(found.project_files()) == (root / "a" / "train.py",)


def test_a_lone_file_is_read_with_what_stands_beside_it(root):
    tree(root, "train.py", "model.py", "data/loader.py", "data/deep/er/far.py")
    found = discover([root / "train.py"], config.load(root))
    assert paths(found.report_on) == (root / "train.py",)
    assert paths(found.project_files()) == (root / "data" / "loader.py", root / "model.py", root / "train.py")


def test_a_lone_file_of_a_package_is_read_with_what_stands_beside_the_package(root):
    tree(root, "train.py", "app/__init__.py", "app/utils/__init__.py", "app/utils/steps.py", "other/a.py")
    found = discover([root / "app" / "utils" / "steps.py"], config.load(root))
    assert paths(found.report_on) == (root / "app" / "utils" / "steps.py",)
    assert paths(found.project_files()) == (
        root / "app" / "__init__.py", root / "app" / "utils" / "__init__.py", root / "app" / "utils" / "steps.py",
        root / "other" / "a.py", root / "train.py",
    )  # fmt: skip


def test_a_lone_file_is_read_with_what_stands_in_the_current_folder_above_it(root, monkeypatch):
    tree(root, "a/main.py", "a/util/steps.py", "b/other.py")
    given = [root / "a" / "util" / "steps.py"]
    assert paths(discover(given, config.load(root)).project_files()) == tuple(given)
    monkeypatch.chdir(root / "a")
    assert paths(discover(given, config.load(root)).project_files()) == (root / "a" / "main.py", *given)
    monkeypatch.chdir(root / "b")
    assert paths(discover(given, config.load(root)).project_files()) == tuple(given)


@pytest.mark.parametrize(
    "name",
    [".venv/lib/a.py", "build/a.py", "env/a.py", "ignored/a.py", "node_modules/a.py", "site-packages/a.py"],
)
def test_beside_a_lone_file_the_usual_excludes_hold(root, name):
    tree(root, "train.py", name)
    if name.startswith("env"):
        (root / "env" / "pyvenv.cfg").touch()
    settings = config.load(root, None, {"extend_exclude": ["ignored"]})
    assert paths(discover([root / "train.py"], settings).project_files()) == (root / "train.py",)


def test_below_a_home_folder_nothing_is_looked_for(root, monkeypatch):
    tree(root, "train.py", "model.py", "other/a.py")
    monkeypatch.setattr(os.path, "expanduser", lambda _: str(root))
    found = discover([root / "train.py"], config.load(root))
    assert paths(found.project_files()) == (root / "model.py", root / "train.py")


def test_beside_a_lone_file_the_nearest_are_read_and_not_all(root, monkeypatch):
    monkeypatch.setattr("clipcheck.discover._MAX_NEAR", 2)
    tree(root, "train.py", "model.py", "other/a.py")
    found = discover([root / "train.py"], config.load(root))
    assert paths(found.project_files()) == (root / "model.py", root / "train.py")


def test_files_and_folders_given_together(root):
    tree(root, "a/train.py", "a/b/c.py", "d/run.py", "d/model.py", "e/x.py")
    given = [root / "a", root / "a" / "train.py", root / "d" / "run.py"]
    found = discover(given, config.load(root))
    assert [path.relative_to(root).as_posix() for path in paths(found.project_files())] == [
        "a/b/c.py", "a/train.py", "d/model.py", "d/run.py",
    ]  # fmt: skip


def test_standard_input_is_of_the_project_that_its_name_stands_in(root, monkeypatch, tmp_path):
    """An editor hands over a file of any project, from whatever folder it was started in."""
    tree(root, "pyproject.toml", "src/model.py")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    name = str(root / "src" / "new.py")
    assert common_folder([Path("-")], name) == root / "src"
    found = discover([Path("-")], config.load(root, None, {"stdin_filename": name}))
    assert found.root == root
    assert paths(found.project_files()) == (root / "src" / "model.py", root / "src" / "new.py")
