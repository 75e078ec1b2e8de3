"""The list of sites judged by hand is whole, and the page beside it gives its true sums."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = ["repository", "commit", "file", "line", "kind", "code", "said", "verdict", "reason"]
VERDICTS = ("right", "wrong", "miss", "borderline")


def rows() -> list[dict[str, str]]:
    with (HERE / "judged.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_every_site_has_every_column() -> None:
    for row in rows():
        assert list(row) == COLUMNS
        assert all(row.values())
        assert row["verdict"] in VERDICTS
        assert row["kind"] in ("finding", "silent")
        assert re.fullmatch(r"[0-9a-f]{40}", row["commit"])
        assert int(row["line"]) > 0


def test_no_site_stands_twice() -> None:
    sites = [(row["repository"], row["file"], row["line"]) for row in rows()]
    assert len(sites) == len(set(sites))


def test_the_page_gives_the_sums_of_the_list() -> None:
    page = (HERE / "README.md").read_text(encoding="utf-8")
    counted = Counter((row["kind"], row["verdict"]) for row in rows())
    for kind in ("finding", "silent"):
        cells = [str(counted[kind, verdict]) for verdict in VERDICTS]
        assert f"| {kind} | {' | '.join(cells)} |" in page
