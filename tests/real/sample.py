"""List the sites to judge by hand: every finding, and the silent steps in random order (seed 20261124).

    python tests/real/sample.py FOLDER [first|second]

FOLDER holds the checkouts, each in a folder named owner__name. The first set is part of the development set; the second, chosen for
variety, is in no set.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from clipcheck import config, pipeline

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
        scanned = pipeline.scan([root], settings)
        for site in sorted(scanned.sightings.steps):
            cell, row = scanned.library.program(site.filename).locate(site.span.row)
            if (site.filename, cell, row) not in reported:
                silent.append((repository, named(site.filename, cell, root), row))
    random.Random(SEED).shuffle(silent)
    for repository, place, row in silent[:WANTED]:
        print("silent", repository, place, row, "-", "-", sep="\t")
    print(f"{len(silent)} silent steps in all", file=sys.stderr)


def named(filename: str, cell: int | None, root: Path) -> str:
    """A file by its path in the repository, and the cell of a notebook behind it."""
    return os.path.relpath(filename, root) + ("" if cell is None else f"[cell {cell}]")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
