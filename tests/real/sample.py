"""List the sites to judge by hand: every finding, and the silent steps in random order (seed 20261124).

    python tests/real/sample.py FOLDER [first|second|examples]

FOLDER holds the checkouts, each in a folder named owner__name. The first set is part of the development set; the second, chosen for
variety, is in no set. `examples` says what becomes today of the steps in examples.tsv: a framework, the place, and the code and risk or
why it is silent.
"""

from __future__ import annotations

import csv
import os
import random
import sys
from pathlib import Path

from clipcheck import config, pipeline
from clipcheck.faults import docket_of
from clipcheck.following import parts
from clipcheck.scanning import scan_paths

SETS = {
    "first": ("pytorch__examples", "karpathy__nanoGPT", "salesforce__awd-lstm-lm", "spro__char-rnn.pytorch"),
    "second": (
        "OpenNMT__OpenNMT-py",
        "bentrevett__pytorch-seq2seq",
        "eriklindernoren__PyTorch-GAN",
        "flairNLP__flair",
        "ikostrikov__pytorch-a2c-ppo-acktr-gail",
        "lucidrains__denoising-diffusion-pytorch",
        "ming024__FastSpeech2",
        "pyg-team__pytorch_geometric",
        "rasbt__LLMs-from-scratch",
        "victoresque__pytorch-template",
    ),
}
SEED = 20261124
WANTED = 40


def main(folder: Path, chosen: str = "second") -> None:
    silent: list[tuple[str, str, int]] = []
    for repository in SETS[chosen]:
        root = (folder / repository).resolve()
        settings = config.load(root)
        report = pipeline.run([root], settings)
        reported = {(finding.filename, finding.cell, finding.start.row) for finding in report.findings}
        for finding in report.findings:
            place = named(finding.filename, finding.cell, root)
            print("finding", repository, place, finding.start.row, finding.code, finding.risk, sep="\t")
        scanned = scan_paths([root], settings)
        for site in sorted({site for part in parts(scanned) for site in part.sightings.steps}):
            cell, row = scanned.library.program(site.filename).locate(site.span.row)
            if (site.filename, cell, row) not in reported:
                silent.append((repository, named(site.filename, cell, root), row))
    random.Random(SEED).shuffle(silent)
    for repository, place, row in silent[:WANTED]:
        print("silent", repository, place, row, "-", "-", sep="\t")
    print(f"{len(silent)} silent steps in all", file=sys.stderr)


def of_examples(folder: Path) -> None:
    """Every step in the files of examples.tsv, and what is said of it today."""
    with (Path(__file__).parent / "examples.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    files = dict.fromkeys(
        (row["framework"], row["repository"], row["path"].partition("[")[0]) for row in rows
    )
    for framework, repository, path in files:
        root = (folder / repository.replace("/", "__")).resolve()
        settings = config.load(root, None, {"min_risk": "none"})
        scanned = scan_paths([root / path], settings)
        steps = {
            site: (step, docket_of(part.sightings, part.context))
            for part in parts(scanned)
            for site, step in part.sightings.steps.items()
        }
        reported = {
            (finding.cell, finding.start.row): f"{finding.code} {finding.risk}"
            for finding in pipeline.run([root / path], settings).findings
        }
        for site in sorted(steps):
            step, docket = steps[site]
            if site.filename == str(root / path):
                cell, row = scanned.library.program(site.filename).locate(site.span.row)
                said = reported.get((cell, row), f"silent: {docket.outcome(step)}")
                print(framework, repository, named(site.filename, cell, root), row, said, sep="\t")


def named(filename: str, cell: int | None, root: Path) -> str:
    """A file by its path in the repository, and the cell of a notebook behind it."""
    return os.path.relpath(filename, root) + ("" if cell is None else f"[cell {cell}]")


if __name__ == "__main__":
    if sys.argv[2:3] == ["examples"]:
        of_examples(Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), *sys.argv[2:3])
