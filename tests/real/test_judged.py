"""The lists of sites judged by hand are whole, and the page beside them gives their true sums."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = ["repository", "commit", "file", "line", "kind", "code", "said", "verdict", "reason"]
VERDICTS = ("right", "wrong", "miss", "borderline")
OF_EXAMPLES = ["framework", "repository", "commit", "path", "row", "said", "judged", "why"]
FRAMEWORKS = ("Lightning", "Accelerate", "Hugging Face Trainer", "Keras", "optax")
SAID = r"CLP\d{3} (high|medium|low|none)|silent: (clipped|low|unknown|not seen)"


def rows(name: str = "judged.tsv") -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as stream:
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


def test_every_step_of_an_example_has_every_column() -> None:
    for row in rows("examples.tsv"):
        assert list(row) == OF_EXAMPLES
        assert all(row.values())
        assert row["framework"] in FRAMEWORKS
        assert re.fullmatch(r"[0-9a-f]{40}", row["commit"])
        assert int(row["row"]) > 0
        assert re.fullmatch(SAID, row["said"])
        assert row["judged"] in ("right", "wrong", "borderline")


def test_no_step_of_an_example_stands_twice() -> None:
    steps = [(row["repository"], row["path"], row["row"]) for row in rows("examples.tsv")]
    assert len(steps) == len(set(steps))


def test_each_framework_has_ten_examples_half_of_them_others() -> None:
    page = (HERE / "README.md").read_text(encoding="utf-8")
    for framework in FRAMEWORKS:
        found = [row for row in rows("examples.tsv") if row["framework"] == framework]
        files = {(row["repository"], row["path"].partition("[")[0]) for row in found}
        assert len(files) == 10
        own = re.search(rf"^- {framework}'s own: (.+)$", page, re.MULTILINE)
        assert own is not None
        assert sum(repository not in own[1] for repository, _ in files) >= 5


def test_the_page_gives_the_sums_of_the_examples() -> None:
    page = (HERE / "README.md").read_text(encoding="utf-8")
    counted = Counter((row["framework"], row["judged"]) for row in rows("examples.tsv"))
    for framework in FRAMEWORKS:
        found = [counted[framework, verdict] for verdict in ("right", "wrong", "borderline")]
        cells = " | ".join(map(str, (10, sum(found), *found)))
        assert f"| {framework} | {cells} |" in page
