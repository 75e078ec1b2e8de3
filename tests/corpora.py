"""Scan and fix other people's code: no crash, no hang, and every fix parses, keeps the rest and is the last one.

    python tests/corpora.py --make FOLDER             fetch the standard set
    python tests/corpora.py [--strip] FOLDER...       a folder of folders counts as its folders, with --each

The standard set is the standard library of the running Python with its tests, the installed torch, and ten source distributions of a
package index, unpacked and never built: some 33,000 files. Folders are copied before anything is written.

Each file that speaks of training is scanned and fixed alone first, in a process that is given SECONDS: what hangs or dies is known by its
name. Then the command line scans the folder, fixes it and fixes it again. Most code that is published has few findings: `--strip` takes
the clips out first, by a transformation of its own, and `--graft N` lets every Nth file, whatever it is about, end in a training loop without a
clip, and has each of them fixed alone. What clipcheck itself names as not handled is counted by kind. Ends with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urljoin

import keeping

SDISTS = (
    "transformers",
    "diffusers",
    "espnet",
    "parlai",
    "deepspeed",
    "nemo-toolkit",
    "modelscope",
    "homeassistant",
    "django",
    "salt",
)
PYTHON = (".py", ".pyw", ".ipynb")
COPIED = (*PYTHON, ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".txt")  # what a scan may read
LARGEST = 5_000_000  # bytes of a file that is no Python
SECONDS = 120.0  # for one file
COMMAND = (sys.executable, "-m", "clipcheck", "check", "--no-cache", "--min-risk", "none")
FIX = ("--fix", "--unsafe-fixes")
TRAINING = re.compile(rb"optimi[sz]er|backward\(|clip_|\.step\(|Trainer|\bgrads?\b")
# It uses no name of the file that it is grafted onto, and no line end: those are the file's.
GRAFT = """\

def grafted_training(batches):
    import torch as grafted_torch
    model = grafted_torch.nn.LSTM(4, 8)
    optimizer = grafted_torch.optim.Adam(model.parameters())
    for batch in batches:
        optimizer.zero_grad()
        model(batch)[0].sum().backward()
        optimizer.step()
"""
CHUNK = 256  # files, of a run that failed, that are looked at apart


# -- the standard set --------------------------------------------------------------------------------


def make(folder: Path) -> None:
    """Fetch the standard set: what is there already is left as it is."""
    import torch

    installed = {
        "python": (Path(sysconfig.get_path("stdlib")), ("site-packages", "dist-packages", "__pycache__")),
        "torch": (Path(torch.__file__).parent, ("*.so*", "*.a", "__pycache__")),
    }
    for name, (source, without) in installed.items():
        if not (folder / name).exists():
            copy(source, folder / name, without)
    for name in SDISTS:
        if not list(folder.glob(f"{name.replace('-', '[-_]')}-*")):
            print(f"fetching {name}", file=sys.stderr)
            with tarfile.open(fileobj=io.BytesIO(newest(name))) as archive:
                archive.extractall(folder, filter="data")


def newest(name: str) -> bytes:
    """The newest source distribution of a package, from the index that pip uses, by the index's own description of it.

    `pip download` would run the package's build, for its metadata.
    """
    from packaging.utils import InvalidSdistFilename, parse_sdist_filename
    from packaging.version import InvalidVersion, Version
    from pip._internal.models.index import PyPI

    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = (
        subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip() or PyPI.simple_url
    )
    index = os.environ.get("PIP_INDEX_URL", index)
    page = f"{index.rstrip('/')}/{name}/"
    request = urllib.request.Request(page, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    found: list[tuple[Version, dict[str, object]]] = []
    for one in files:
        with suppress(InvalidSdistFilename, InvalidVersion):
            version = parse_sdist_filename(one["filename"])[1]
            if one["filename"].endswith(".tar.gz") and not version.is_prerelease and not one.get("yanked"):
                found.append((version, one))
    chosen = max(found, key=lambda pair: pair[0])[1]
    with urllib.request.urlopen(urljoin(page, str(chosen["url"])), timeout=600) as answer:
        data: bytes = answer.read()
    if hashlib.sha256(data).hexdigest() != chosen["hashes"]["sha256"]:  # type: ignore[index]
        raise OSError(f"{chosen['filename']}: not what the index promises")
    return data


def copy(source: Path, target: Path, without: Sequence[str] = ()) -> None:
    """Copy a folder as far as it can be copied: links, pipes and what nobody may read are left out."""
    hidden = shutil.ignore_patterns(*without)
    for top, folders, names in os.walk(source):
        folders[:] = sorted(set(folders) - hidden(top, folders))
        place = target / os.path.relpath(top, source)
        place.mkdir(parents=True, exist_ok=True)
        for name in set(names) - hidden(top, names):
            path = Path(top, name)
            if path.is_symlink() or not path.is_file() or not name.endswith(COPIED):
                continue
            with suppress(OSError):
                if name.endswith(PYTHON) or path.stat().st_size < LARGEST:
                    shutil.copyfile(path, place / name)


# -- what is found -----------------------------------------------------------------------------------


@dataclass
class Figures:
    """What became of some folders."""

    counts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)  # of what clipcheck names as not handled
    wrong: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def fail(self, kind: str, where: str, why: str = "") -> None:
        self.counts[kind] += 1
        self.wrong.append(f"{kind}: {where}{': ' * bool(why)}{why}")
        print(f"  {self.wrong[-1]}", flush=True)

    def add(self, other: Figures) -> None:
        self.counts += other.counts
        self.codes += other.codes
        self.kinds += other.kinds
        self.wrong += other.wrong
        self.slowest = max(self.slowest, other.slowest)

    def __str__(self) -> str:
        order = (
            "files",
            "bytes",
            "stripped",
            "files alone",
            "fixes alone",
            "findings",
            "fixes",
            "changed files",
            *WRONG,
        )
        lines = [", ".join(f"{name} {self.counts[name]:,}" for name in order)]
        lines.append(f"slowest file: {self.slowest[1] or '-'} ({self.slowest[0]:.1f} s)")
        if self.codes:
            lines.append(", ".join(f"{code} {many}" for code, many in sorted(self.codes.items())))
        lines += [f"named: {many} x {kind}" for kind, many in self.kinds.most_common()]
        return "\n".join(f"  {line}" for line in lines)


WRONG = ("crashes", "hangs", "not parsing", "not kept", "not idempotent", "fixable left", "not fixed")


def named(text: str) -> Iterator[str]:
    """The kinds of what clipcheck says on standard error about files that it did not handle."""
    for line in text.splitlines():
        found = re.match(r"(?:error: )?\S.*?\.(?:py|pyw|ipynb)\S*?:(?:[\w<>.:]+:)? (?P<said>.+)", line)
        if found:
            yield re.sub(r"'[^']*'|`[^`]*`|[\d,.]*\d", "…", found["said"])[:100]


def refused(text: str) -> set[str]:
    """The files that clipcheck says, on standard error, it did not fix."""
    return set(re.findall(r"^(?:error: )?(.+?): not fixed: ", text, re.MULTILINE))


# -- one file alone ----------------------------------------------------------------------------------


def serve(link: Connection) -> None:
    """Scan and fix files alone, one after the other, as another process asks for."""
    from clipcheck import fixing, knowledge, pipeline
    from clipcheck.config import Settings

    # A checkout parses the knowledge with every scan, for a tenth of a second.
    knowledge._shipped = cache(knowledge._shipped)
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        (place / "clipcheck.toml").touch()
        settings = Settings(
            no_cache=True, min_risk="none", unsafe_fixes=True, fix=True, jobs=1, project_root=place
        )
        while True:
            path, graft = link.recv()
            own = place / f"module{path.suffix}"
            try:
                data = grafted(path.read_bytes()) if graft else path.read_bytes()
                own.write_bytes(data)
                plan = fixing.plan([place], settings, pipeline.run)
                wrong = []
                for change in plan.changes:
                    new = change.source.encode(change.text)
                    own.write_bytes(new)
                    wrong += _alone(data, new)
                    if fixing.plan([place], settings, pipeline.run).changes:
                        wrong.append(("not idempotent", "alone"))
                named = [one.message for one in (*plan.refused, *plan.report.failures)]
                if graft and not plan.changes and not named:
                    wrong.append(("not fixed", "the graft"))
                link.send((wrong, len(plan.fixed), named))
            except Exception as error:
                link.send(([("crashes", repr(error))], 0, []))
            finally:
                own.unlink(missing_ok=True)


def grafted(data: bytes) -> bytes:
    """A file of Python that ends in a training loop, in its own line ends."""
    end = "\r\n" if b"\r\n" in data else "\r" if b"\r" in data and b"\n" not in data else "\n"
    return data + f"\n{GRAFT}".replace("\n", end).encode()


def _alone(old: bytes, new: bytes) -> list[tuple[str, str]]:
    try:
        why = keeping.lost(old, new)
    except SyntaxError as error:
        return [("not parsing", str(error))]
    return [("not kept", why)] if why else []


class Server:
    """A process that scans files alone, and is ended and made anew where it hangs or dies."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.link, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.join()

    def scan(self, path: Path, graft: bool, seconds: float) -> tuple[list[tuple[str, str]], int, list[str]]:
        """What is wrong with a file, the number of its fixes, and what clipcheck names as not handled."""
        self.link.send((path, graft))
        try:
            if self.link.poll(seconds):
                answer: tuple[list[tuple[str, str]], int, list[str]] = self.link.recv()
                return answer
            wrong = [("hangs", f"more than {seconds:g} s")]
        except (EOFError, ConnectionError):
            self.process.join()
            wrong = [("crashes", f"died with {self.process.exitcode}")]
        self.stop()
        self.start()
        return wrong, 0, []


def each_alone(
    files: Sequence[Path], root: Path, figures: Figures, seconds: float, *, graft: bool = False
) -> None:
    """Scan and fix each file in a folder of its own."""
    server = Server()
    for number, path in enumerate(files, 1):
        start = time.perf_counter()
        wrong, fixed, refused = server.scan(path, graft, seconds)
        name = str(path.relative_to(root))
        figures.slowest = max(figures.slowest, (time.perf_counter() - start, f"{root.name}/{name}"))
        figures.counts["files alone"] += 1
        figures.counts["fixes alone"] += fixed
        figures.kinds.update(re.sub(r"`[^`]*`|\d+", "…", one)[:100] for one in refused)
        for kind, why in wrong:
            figures.fail(kind, name, why)
        if number % 100 == 0:
            print(f"\r{number} of {len(files)}", end="", file=sys.stderr, flush=True)
    print("\r", end="", file=sys.stderr)
    server.stop()


# -- the folder --------------------------------------------------------------------------------------


@dataclass
class Ran:
    """What a run of the command line said."""

    findings: list[dict[str, object]]
    errors: str
    wrong: str = ""  # "hangs" or "crashes"

    @property
    def fixable(self) -> list[str]:
        """The files of findings that have a fix."""
        return [str(one["filename"]) for one in self.findings if one["fix"]]


def run(paths: Iterable[Path], root: Path, seconds: float, *options: str) -> Ran:
    """Run the command line in a folder."""
    command = [*COMMAND, *options, "--output-format", "json", *map(str, paths)]
    try:
        done = subprocess.run(command, check=False, cwd=root, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Ran([], f"more than {seconds:g} s", "hangs")
    errors = done.stderr.decode("utf-8", "replace")
    if done.returncode not in (0, 1, 2) or "Traceback (most recent call last)" in errors:
        return Ran([], f"status {done.returncode}, {errors.strip()[-300:]}", "crashes")
    try:
        return Ran(json.loads(done.stdout), errors)
    except ValueError:
        return Ran([], f"no JSON: {errors.strip()[-300:]}", "crashes")


def narrowed(files: Sequence[Path], root: Path, seconds: float, *options: str) -> Sequence[Path]:
    """The fewest of some files with which the command line still fails, by halves."""
    step = max(1, min(CHUNK, (len(files) + 1) // 2))
    for first in range(0, len(files), step):
        part = files[first : first + step]
        if len(part) < len(files) and run(part, root, seconds, *options).wrong:
            return narrowed(part, root, seconds, *options)
    return files


def sources(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in PYTHON and path.is_file())


def whole(root: Path, files: Sequence[Path], figures: Figures, seconds: float) -> None:
    """Scan a folder by the command line, fix it, look at its files, and fix it again."""
    bound = seconds + 2 * len(files)
    before = {path: path.read_bytes() for path in files}

    def checked(*options: str) -> Ran:
        ran = run([root], root, bound, *options)
        if ran.wrong:
            blamed = narrowed(files, root, bound, *options)
            names = ", ".join(str(path.relative_to(root)) for path in blamed[:3])
            figures.fail(ran.wrong, f"{' '.join(options)} {names} ({len(blamed)} files)", ran.errors)
        return ran

    first = checked()
    figures.counts["findings"] += len(first.findings)
    figures.codes.update(str(one["code"]) for one in first.findings)
    figures.kinds.update(named(first.errors))
    fixed = checked(*FIX, "--show-fixes")
    figures.kinds.update(kind for kind in named(fixed.errors) if kind.startswith("not "))
    if said := re.search(r"^fixed (\d+) finding", fixed.errors, re.MULTILINE):
        figures.counts["fixes"] += int(said[1])
    after = {path: path.read_bytes() for path in files}
    for path in files:
        if after[path] != before[path]:
            figures.counts["changed files"] += 1
            for kind, why in _alone(before[path], after[path]):
                figures.fail(kind, str(path.relative_to(root)), why)
    named_as_refused = refused(fixed.errors)
    again = checked(*FIX)  # what it reports is a second scan, too
    for path in files:
        if path.read_bytes() != after[path]:
            figures.fail("not idempotent", str(path.relative_to(root)))
    for name in sorted({os.path.relpath(name, root) for name in again.fixable} - named_as_refused):
        figures.fail("fixable left", name)


def examine(source: Path, strip: bool, graft: int, seconds: float) -> Figures:
    """Copy a folder, and look at its copy."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve() / source.name
        copy(source, root, (".git",))
        (root / "clipcheck.toml").write_text("exclude = []\n")
        files = sources(root)
        for path in files:
            data = path.read_bytes()
            figures.counts["files"] += 1
            figures.counts["bytes"] += len(data)
            if strip and (new := keeping.stripped(data)) != data:
                path.write_bytes(new)
                figures.counts["stripped"] += 1
        if graft:
            some = [path for path in files if path.suffix != ".ipynb"][::graft]
            each_alone(some, root, figures, seconds, graft=True)
            return figures
        each_alone([path for path in files if TRAINING.search(path.read_bytes())], root, figures, seconds)
        whole(root, files, figures, seconds)
    return figures


def main() -> int:
    """Print the figures of each folder, and of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--make", action="store_true", help="fetch the standard set into FOLDER, and stop")
    parser.add_argument("--each", action="store_true", help="take the folders in each FOLDER one by one")
    parser.add_argument("--strip", action="store_true", help="take the clips out of the copy first")
    parser.add_argument(
        "--graft", type=int, default=0, metavar="N", help="fix every Nth file with a loop in it"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one file alone  [%(default)g]")
    asked = parser.parse_args()
    if asked.make:
        for folder in asked.folders:
            folder.mkdir(parents=True, exist_ok=True)
            make(folder)
        return 0
    total = Figures()
    folders = [path for top in asked.folders for path in (sorted(top.iterdir()) if asked.each else [top])]
    for folder in folders:
        print(folder.name, flush=True)
        start = time.perf_counter()
        figures = examine(folder.resolve(), asked.strip, asked.graft, asked.seconds)
        print(f"{figures}\n  {time.perf_counter() - start:.0f} s", flush=True)
        total.add(figures)
    print(f"all ({len(folders)} folders)\n{total}")
    return 1 if total.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
