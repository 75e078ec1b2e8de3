"""How much processor time clipcheck takes beside other tools: `python tests/benchmarks/speed.py FOLDER`.

Every figure is a ratio of CPU seconds (user and system, of the process and all that it starts), measured in pairs in turns
on the same files; the median of five pairs counts. FOLDER holds what is scanned, and is made by

    python tests/benchmarks/speed.py --make FOLDER

from the installed torch package and ten wheels of a package index (FOLDER/corpus: some 8,000 files, 130 MB). pytorch/examples
has to be put into FOLDER/examples by hand, and TorchFix installed somewhere (`--torchfix PATH`): it does not go with every
version of libcst. Of the overhead of `verify`, see overhead.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

WHEELS = [
    "transformers",
    "pytorch-lightning",
    "espnet",
    "allennlp",
    "flair",
    "darts",
    "stable-baselines3",
    "trl",
    "timm",
    "speechbrain",
]
FILES = 1_000  # of the project that the hook's file stands in
# Runs a command and prints its CPU seconds and the size of its largest process, in MB.
METER = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=sys.argv[1])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
TRAINING = '''\
"""A training script of ten kilobytes, {number}."""

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_


class Tagger(nn.Module):
    def __init__(self, words=1000, width=64, hidden=128, tags=12):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, tags)

    def forward(self, words):
        features, _ = self.lstm(self.embedding(words))
        return self.head(features)


def evaluate(model, batches):
    model.eval()
    right = total = 0
    with torch.no_grad():
        for words, tags in batches:
            guess = model(words).argmax(-1)
            right += (guess == tags).sum().item()
            total += tags.numel()
    return right / max(total, 1)


def train(model, batches, epochs=3, lr=1e-3, max_norm=1.0):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for words, tags in batches:
            optimizer.zero_grad()
            loss = criterion(model(words).flatten(0, 1), tags.flatten())
            loss.backward()
            {clip}
            optimizer.step()
        print(epoch, evaluate(model, batches))


'''
HELPER = '''\
def describe_{number}(values, names=("loss", "accuracy"), width=12, digits=4):
    """A row of a table, with the names of its columns where there are any."""
    cells = [f"{{value:>{{width}}.{{digits}}f}}" for value in values]
    if len(names) == len(cells):
        cells = [f"{{name}}={{cell.strip()}}" for name, cell in zip(names, cells)]
    return " | ".join(cells)


'''
CLIP = "clip_grad_norm_(model.parameters(), max_norm)"


class Used(NamedTuple):
    seconds: float
    megabytes: float


def used(command: Sequence[str | Path], folder: Path = Path()) -> Used:
    """Run a command and return what it took."""
    asked = [sys.executable, "-c", METER, str(folder), *map(str, command)]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    return Used(*json.loads(done.stdout))


def make(folder: Path) -> None:
    """Put the corpus together: torch as it is installed, and the wheels unpacked beside it."""
    import torch

    corpus = folder / "corpus"
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, *WHEELS]
        subprocess.run(command, check=True)
        for wheel in sorted(Path(wheels).glob("*.whl")):
            zipfile.ZipFile(wheel).extractall(corpus)
    shutil.copytree(
        Path(torch.__file__).parent, corpus / "torch", ignore=shutil.ignore_patterns("*.so*", "*.a")
    )


def script(number: int = 0, clip: str = CLIP) -> str:
    """A training script of ten kilobytes."""
    text = TRAINING.format(number=number, clip=clip)
    helpers = iter(range(10_000))
    while len(text) < 10_000:
        text += HELPER.format(number=next(helpers))
    return text + 'if __name__ == "__main__":\n    train(Tagger(), [])\n'


def project(folder: Path) -> Path:
    """A project of a thousand files, every tenth a training script, and the one that is staged."""
    for number in range(FILES):
        package = folder / f"part{number % 25}"
        package.mkdir(parents=True, exist_ok=True)
        helper = "".join(HELPER.format(number=one) for one in range(12))
        text = script(number) if number % 10 == 0 else f"import torch\nimport part{number % 7}\n\n\n{helper}"
        (package / f"module{number}.py").write_text(text, encoding="utf-8")
    (folder / "pyproject.toml").write_text("[project]\nname = 'made'\n", encoding="utf-8")
    return folder / "part0" / "module0.py"


class Row(NamedTuple):
    what: str
    ours: Callable[[], Used]
    theirs: Callable[[], Used]
    target: float
    memory: bool = False


def rows(folder: Path, scratch: Path, clipcheck: str, ruff: str, torchfix: str) -> Iterator[Row]:
    """What is compared with what."""
    corpus, examples = folder / "corpus", folder / "examples"
    cache, theirs = scratch / "cache", scratch / "ruff"
    quiet = [clipcheck, "--exit-zero", "--quiet"]
    lint = [ruff, "check", "--select", "F401", "--exit-zero", "--quiet"]
    cold = lambda: used([*quiet, "--no-cache", corpus])  # noqa: E731
    cold_lint = lambda: used([*lint, "--no-cache", corpus])  # noqa: E731
    yield Row("cold scan of the corpus : ruff", cold, cold_lint, 1.5)
    yield Row("peak memory of that : ruff", cold, cold_lint, 2.0, memory=True)
    used([*quiet, "--cache-dir", cache, corpus])
    used([*lint, "--cache-dir", theirs, corpus])
    yield Row(
        "warm scan, nothing changed : ruff from its cache",
        lambda: used([*quiet, "--cache-dir", cache, corpus]),
        lambda: used([*lint, "--cache-dir", theirs, corpus]),
        2.0,
    )
    if examples.is_dir() and torchfix:
        yield Row(
            "cold scan of pytorch/examples : TorchFix",
            lambda: used([*quiet, "--no-cache", examples]),
            lambda: used([torchfix, "--select", "ALL", examples]),
            1 / 50,
        )
    if torchfix:
        yield from _hooks(scratch, quiet, torchfix)
    yield Row(
        "clipcheck --version : python -c pass",
        lambda: used([clipcheck, "--version"]),
        lambda: used([Path(clipcheck).with_name("python"), "-c", "pass"]),
        6.0,
    )


def _hooks(scratch: Path, quiet: list[str], torchfix: str) -> Iterator[Row]:
    """What a pre-commit hook is asked: one file."""
    alone = scratch / "alone"
    alone.mkdir()
    (alone / "train.py").write_text(script(), encoding="utf-8")
    fix = lambda: used([torchfix, "--select", "ALL", "train.py"], alone)  # noqa: E731
    yield Row(
        "one clean file of 10 kB, no cache : TorchFix",
        lambda: used([*quiet, "--no-cache", "train.py"], alone),
        fix,
        0.10,
    )
    large, cache = scratch / "large", scratch / "hook"
    staged = project(large)
    for _ in range(2):  # the second run finds files that are old enough to be known by their times
        used([*quiet, "--cache-dir", cache, large])
        used([*quiet, "--cache-dir", cache, staged])
    edits = iter(range(10_000))

    def edited(clip: str, *options: str) -> Used:
        staged.write_text(script(next(edits), clip), encoding="utf-8")
        return used([*quiet, "--cache-dir", cache, *options, staged], large)

    yield Row("one staged file of 1,000, cache warm : TorchFix on it", lambda: edited(CLIP), fix, 0.15)
    yield Row("the same with a finding", lambda: edited("pass"), fix, 0.50)
    yield Row("the same with --fix", lambda: edited("pass", "--fix"), fix, 0.50)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", action="store_true", help="put the corpus together, and stop")
    parser.add_argument("--clipcheck", default=shutil.which("clipcheck"))
    parser.add_argument("--ruff", default=shutil.which("ruff"))
    parser.add_argument("--torchfix", default=shutil.which("torchfix"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", default="", help="only those with this text in their name")
    asked = parser.parse_args()
    if asked.make:
        make(asked.folder)
        return
    print(
        f"{platform.machine()}, Python {platform.python_version()}; {versions(asked.clipcheck, asked.ruff)}"
    )
    print("| what | ratio | pairs | target |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        place = asked.folder.resolve()
        for row in rows(place, Path(scratch), asked.clipcheck, asked.ruff, asked.torchfix or ""):
            if asked.rows not in row.what:
                continue
            found = []
            for pair in range(asked.pairs):
                first, second = (row.ours, row.theirs) if pair % 2 else (row.theirs, row.ours)
                one, other = first(), second()
                ours, theirs = (one, other) if pair % 2 else (other, one)
                found.append(
                    ours.megabytes / theirs.megabytes if row.memory else ours.seconds / theirs.seconds
                )
            spread = f"{min(found):.3g} to {max(found):.3g}"
            print(
                f"| {row.what} | {statistics.median(found):.3g} | {spread} | {row.target:.3g} |", flush=True
            )


def versions(*tools: str) -> str:
    """What the tools call themselves."""
    said = (subprocess.run([tool, "--version"], capture_output=True, text=True, check=True) for tool in tools)
    return ", ".join(done.stdout.strip() for done in said)


if __name__ == "__main__":
    main()
