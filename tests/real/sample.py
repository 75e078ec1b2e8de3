"""List the sites to judge by hand: every finding, and the silent steps in random order (seed 20261124).

    python tests/real/sample.py FOLDER

FOLDER holds the checkouts, each in a folder named owner__name.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from clipcheck import config, pipeline

REPOSITORIES = ("pytorch__examples", "karpathy__nanoGPT", "salesforce__awd-lstm-lm", "spro__char-rnn.pytorch")
SEED = 20261124
WANTED = 40


def main(folder: Path) -> None:
    silent: list[tuple[str, str, int]] = []
    for repository in REPOSITORIES:
        root = folder / repository
        settings = config.load(root)
        report = pipeline.run([root], settings)
        reported = {(finding.filename, finding.start.row) for finding in report.findings}
        for finding in report.findings:
            place = os.path.relpath(finding.filename, root)
            print("finding", repository, place, finding.start.row, finding.code, finding.risk, sep="\t")
        silent += [
            (repository, os.path.relpath(site.filename, root), site.span.row)
            for site in sorted(pipeline.scan([root], settings).sightings.steps)
            if (site.filename, site.span.row) not in reported
        ]
    random.Random(SEED).shuffle(silent)
    for repository, place, row in silent[:WANTED]:
        print("silent", repository, place, row, "-", "-", sep="\t")
    print(f"{len(silent)} silent steps in all", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
