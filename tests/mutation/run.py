"""Change the code a little, many times, and count the changes that no test notices (mutmut).

    python tests/mutation/run.py [GROUP...] [--sample N | --all] [--work FOLDER [--again]]

groups.toml says which modules make a group, which tests have to notice, and how many mutants are tried: those with the smallest
hashes of their names, which are the same ones again as long as their function is. Mutants that mypy refuses are not tried, nor counted: CI
would not let them in. Every mutant that survives must be explained in survivors.toml; the exit status is 1 where one is not, or
where fewer than 80% of the protocol or of the fix are killed. Once tests have changed, `--again` tries the survivors of the same FOLDER anew.

Functions and methods are changed, but not decorated ones, nor what stands outside of functions: the table of the protocol is held, cell by
cell, against the words of the design by tests/test_protocol.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NEEDED = 0.8  # of the mutants of these groups have to be killed
HELD = {"protocol", "fix"}
# What mutmut writes of a mutant that is not run.
SKIPPED, REFUSED = 34, 37
# What mypy says of the mutated copy of a module, but not of mutants: of names that mutmut makes up, of decorators.
NOT_OF_MUTANTS = ["misc", "has-type", "var-annotated", "no-any-return", "untyped-decorator"]


class Key(NamedTuple):
    """A mutant as it is known when others come and go: its function, the rows that were, and those that are."""

    function: str
    was: str
    now: str


def main(arguments: Sequence[str] | None = None) -> int:
    groups = tomllib.loads((HERE / "groups.toml").read_text("utf-8"))
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("group", nargs="*", default=[], help=f"one of {', '.join(groups)}")
    parser.add_argument("--sample", type=int, help="how many mutants of each group")
    parser.add_argument("--all", action="store_true", help="all of them, which takes hours")
    parser.add_argument("--work", type=Path, help="where the copies are made, and kept")
    parser.add_argument(
        "--again", action="store_true", help="try what survived there once more, by new tests"
    )
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="how many at a time")
    given = parser.parse_args(arguments)
    explained = {Key(one["function"], one["was"], one["now"]): one["why"] for one in _survivors()}
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        lacking = [
            _group(name, groups[name], work / name, given, explained) for name in given.group or groups
        ]
    return int(any(lacking))


def _survivors() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads((HERE / "survivors.toml").read_text("utf-8")).get(
        "survivor", []
    )
    return found


def _group(
    name: str, group: Mapping[str, Any], folder: Path, given: Any, explained: Mapping[Key, str]
) -> bool:
    """Run one group and print what became of it. Whether something is lacking."""
    started = time.monotonic()
    sample = None if given.all else given.sample or group["sample"]
    _copy(folder, again=given.again)
    if not given.again:
        _configure(folder, group, checked=True)
        made = _call(folder, "prepare", "" if sample is None else str(sample))
        (folder / "made.json").write_text(json.dumps(made), "utf-8")
    made = json.loads((folder / "made.json").read_text("utf-8"))
    _configure(folder, group, checked=False)
    if given.again:
        _call(folder, "again")
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from mutmut.__main__ import cli; cli()",
            "run",
            "--max-children",
            str(given.children),
        ],
        cwd=folder,
        env=_environment(),
        stdout=(folder / "mutmut.txt").open("w"),
        stderr=subprocess.STDOUT,
        check=True,
    )
    seen = _call(folder, "results")
    counted = Counter(one["status"] for one in seen["mutants"])
    tried = sum(counted.values())
    killed = counted["killed"] + counted["timeout"] + counted["segfault"]
    rate = killed / tried
    print(
        f"{name}: {made['all']} mutants, {made['refused']} refused by mypy, {tried} of the other {made['rest']} tried: "
        f"{killed} killed ({counted['timeout']} by running too long), {tried - killed} survived, {rate:.1%} "
        f"({time.monotonic() - started:.0f} s)"
    )
    alive = [
        Key(one["function"], one["was"], one["now"])
        for one in seen["mutants"]
        if one["status"] not in ("killed", "timeout", "segfault")
    ]
    for key in sorted(alive):
        why = explained.get(key)
        print(f"  {key.function}\n    - {key.was}\n    + {key.now}\n    {why or 'NOT EXPLAINED'}", flush=True)
    lacking = [key for key in alive if key not in explained]
    print(f"  {len(alive) - len(lacking)} explained, {len(lacking)} not\n", flush=True)
    return bool(lacking) or (name in HELD and rate < NEEDED)


def _environment() -> dict[str, str]:
    # The copy must be what is imported, whatever else is installed; mutmut puts its folder first.
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"NO_COLOR": "1"}


def _copy(folder: Path, *, again: bool) -> None:
    """What the tests of a group need, with the rules where an installation has them."""
    ignored = shutil.ignore_patterns("__pycache__", "verify", "frameworks", "real", "mutation")
    if again:
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored, dirs_exist_ok=True)
        for name in _slugs():
            shutil.copytree(ROOT / "fixtures" / name, folder / "fixtures" / name, dirs_exist_ok=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "clipcheck", folder / "clipcheck", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "rules", folder / "clipcheck" / "rules", ignore=ignored)
    shutil.copytree(ROOT / "rules", folder / "rules", ignore=ignored)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    for name in _slugs():
        shutil.copytree(ROOT / "fixtures" / name, folder / "fixtures" / name)


def _slugs() -> list[str]:
    """The fixtures whose words are kept: few, and yet nearly all that any of them reaches."""
    return sorted(path.stem for path in (ROOT / "tests" / "words").glob("*.txt"))


def _fixed(group: Mapping[str, Any]) -> list[str]:
    """The tests that fix those fixtures, for a group that asks for them."""
    test = "tests/test_fixtures.py::test_fix_gives_after_byte_for_byte"
    return [f"{test}[{name}]" for name in _slugs()] if group.get("fixtures") else []


def _configure(folder: Path, group: Mapping[str, Any], *, checked: bool) -> None:
    """Write the copy's pyproject.toml: that of the project, and how mutmut is to go about it."""
    modules = [f"clipcheck/{name}" for name in group["modules"]]
    table: dict[str, Any] = {
        "source_paths": ["clipcheck"],
        "only_mutate": modules,
        "also_copy": ["rules", "fixtures"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": [*(f"tests/{name}" for name in group["tests"]), *_fixed(group)],
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    if checked:
        files = [str(path.relative_to(folder)) for name in modules for path in sorted(folder.glob(name))]
        options = ["--output=json", "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
        disabled = [f"--disable-error-code={code}" for code in NOT_OF_MUTANTS]
        where = ["--python-executable", sys.executable, f"--cache-dir={folder / 'mypy'}"]
        table["type_check_command"] = [sys.executable, "-m", "mypy", *options, *disabled, *where, *files]
    # JSON's lists and strings are those of TOML.
    rows = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    own = (ROOT / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text("\n".join([own, "[tool.mutmut]", *rows, ""]), "utf-8")


# -- what runs in a process of its own, since mutmut reads its settings and changes sys.path once ---------------------


def _call(folder: Path, what: str, *arguments: str) -> Any:
    command = [sys.executable, str(HERE / "run.py"), f"--{what}", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _prepare(sample: str) -> dict[str, int]:
    """Make all mutants, and mark those that mypy refuses and those that are not in the sample."""
    from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants
    from mutmut.mutation.file_mutation import filter_mutants_with_type_checker

    Path("mutants").mkdir()
    copy_src_dir()
    copy_also_copy_files()
    create_mutants(os.cpu_count() or 1)
    refused = filter_mutants_with_type_checker()
    files = list(_mutated())
    names = [name for data in files for name in data.exit_code_by_key]
    rest = sorted(set(names) - set(refused), key=lambda name: hashlib.sha256(name.encode()).digest())
    tried = set(rest[: int(sample) if sample else None])
    for data in files:
        for name in data.exit_code_by_key:
            if name not in tried:
                data.exit_code_by_key[name] = REFUSED if name in refused else SKIPPED
        data.save()
    return {"all": len(names), "refused": len(refused), "rest": len(rest)}


def _again() -> int:
    """Let what survived be run again; how many that are."""
    from mutmut.stats import status_by_exit_code

    count = 0
    # Which tests reach which function is asked again; else mutmut would forget all results where tests were added.
    Path("mutants/mutmut-stats.json").unlink(missing_ok=True)
    for data in _mutated():
        for name, code in data.exit_code_by_key.items():
            if status_by_exit_code[code] in ("survived", "no tests", "suspicious"):
                data.exit_code_by_key[name] = None
                count += 1
        data.save()
    return count


def _results() -> dict[str, list[dict[str, str]]]:
    """What became of the mutants that were tried."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    out = []
    for data in _mutated():
        for name, code in data.exit_code_by_key.items():
            if code in (SKIPPED, REFUSED):
                continue
            rows = get_diff_for_mutant(name, path=data.path).splitlines()[2:]
            was, now = (
                " ".join(row[1:].strip() for row in rows if row.startswith(sign)) for sign in ("-", "+")
            )
            function = name.partition("__mutmut_")[0].replace("x_", "", 1).replace("xǁ", "").replace("ǁ", ".")
            out.append({"function": function, "was": was, "now": now, "status": status_by_exit_code[code]})
    return {"mutants": out}


def _mutated() -> Iterator[Any]:
    from mutmut.__main__ import SourceFileMutationData, walk_mutatable_files

    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        yield data


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        print("\n" + json.dumps(_prepare(sys.argv[2])))
    elif sys.argv[1:2] == ["--results"]:
        print("\n" + json.dumps(_results()))
    elif sys.argv[1:] == ["--again"]:
        print("\n" + json.dumps(_again()))
    else:
        sys.exit(main())
