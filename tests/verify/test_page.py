"""The page: what it shows, that nothing of the project gets into it as HTML, and how it looks on a phone."""

from __future__ import annotations

import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from clipcheck.verify.advice import Advice
from clipcheck.verify.command import verify as command
from clipcheck.verify.compare import compare
from clipcheck.verify.missing import MissingLibrary
from clipcheck.verify.session import Place, Process, StepRecord, record_of
from clipcheck.verify.showing.page import to_html
from clipcheck.verify.showing.render import to_json
from clipcheck.verify.showing.series import DRAWN, series_of
from clipcheck.verify.stress import both
from clipcheck.verify.verdicts import Verification

from .browsing import dump, looked_at
from .recorded import record, usual, verification

NASTY = "/tmp/</title><script>document.title='pwned'</script><img src=x onerror=alert(1)>&\"'.py"


class Tags(HTMLParser):
    """Collects the tags of a page, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_page_holds_verdicts_numbers_and_drawings() -> None:
    html = to_html(usual(), version="1.2", cwd="/tmp")
    cells = re.findall(r'data-label="(.*?)">(.*?)</td>', html)
    assert [text for label, text in cells if label == "step"] == ["train.py:7", "train.py:9", "train.py:12"]
    assert [text for label, text in cells if label == "verdict"] == ["confirmed", "refuted", "not reached"]
    assert ("raw", "8") in cells
    assert ("used", "1") in cells
    assert ("clipped", "88%") in cells
    # norms and share of the clipped line, norms of the bare one, nothing for the line that never ran
    assert re.findall(r"<h3>(.*?)</h3>", html) == ["Gradient norm", "Clipped share", "Gradient norm"]
    assert "1 confirmed, 1 refuted, 0 not measurable, 1 not reached (80 updates observed)" in html
    assert "the gradient was not finite at 11 steps" in html


def test_nothing_is_loaded_and_nothing_runs() -> None:
    tags = Tags(to_html(usual(), cwd="/tmp")).seen
    assert not {"script", "iframe", "object", "embed", "img", "base"} & {tag for tag, _ in tags}
    linked = [
        value
        for _, attributes in tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data") or (value and "url(" in value)
    ]
    assert linked  # clip paths and markers of the drawings
    assert all(
        re.match(r"#|url\(#|data:,", str(value)) or "clip-path: url(#" in str(value) for value in linked
    )
    (policy,) = [a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'")


def test_ids_are_met_once() -> None:
    ids = [
        attributes["id"] for _, attributes in Tags(to_html(usual(), cwd="/tmp")).seen if "id" in attributes
    ]
    assert len(ids) == len(set(ids)) > 10


def test_drawings_have_the_colours_of_the_page() -> None:
    html = to_html(usual(), cwd="/tmp")
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert {"var(--raw)", "var(--used)", "var(--threshold)", "var(--share)", "var(--text)"} <= set(
        re.findall(r"var\(--\w+\)", drawings)
    )
    assert "#0101" not in html


def test_what_comes_from_the_project_is_text() -> None:
    process = Process(1, records=(record(1, 5.0, place=Place(NASTY, 1)),), failures=(f"failed at {NASTY}",))
    run = verification(
        process, command=("python", NASTY), crash=f"ValueError: {NASTY}", ended="exit status 1",
        problems=process.failures,
    )  # fmt: skip
    html = to_html(run, version=NASTY, cwd="/elsewhere")
    tags = [tag for tag, _ in Tags(html).seen]
    assert "script" not in tags
    assert "img" not in tags
    assert html.count("&lt;script&gt;") >= 5
    assert not [name for _, attributes in Tags(html).seen for name in attributes if name.startswith("on")]


def test_advice_stands_with_its_line() -> None:
    run = usual()
    (place, *_) = (site.place for site in run.sites)
    html = to_html(run, cwd="/tmp", advice={place: Advice(0.5, ("it <explodes>",), current=1.0)})
    first, second, _ = html.split('<section class="card site">')[1:]
    assert "<dt>threshold</dt><dd>try 0.5 in place of 1; it &lt;explodes&gt;</dd>" in first
    assert "<dl" not in second


def test_comparison_and_stress_are_tables_and_drawings() -> None:
    before = [record(step, 2.0**step, used=2.0**step, loss=3.0, covered=0) for step in range(1, 9)]
    before.append(record(9, math.nan, loss=math.nan, covered=0))
    after = [record(step, 2.0**step, loss=3.0 - (step - 1) / 10) for step in range(1, 10)]
    runs = [verification(Process(1, records=tuple(run))) for run in (before, after)]
    html = to_html(
        runs[1],
        cwd="/tmp",
        names=("as it is", "fixed"),
        comparison=compare(*(run.sessions for run in runs), [(Place("/tmp/train.py", 6), True)]),
        stress=both(1.5, runs),
    )
    _, compared, stressed = (part.split("</section>")[0] for part in html.split('<section class="card ')[1:])
    cells = re.findall(r'data-label="(.*?)">(.*?)</td>', compared)
    assert cells[5:7] == [("used, as it is", "2"), ("used, fixed", "1")]
    assert ("loss, as it is", "nan") in cells
    assert "train.py:6: written by the fix, ran" in compared
    assert "before step 1, the first that the clip changes" in compared
    assert re.findall(r"<h3>(.*?)</h3>", compared) == ["Norm used", "Loss"]
    assert "as it is: 256 at the end, at most 256; fixed: 1 at the end, at most 1" in compared
    assert "as it is: not finite" in compared
    assert "as it is: broke at step 9" in stressed
    assert "fixed: held for 9 steps" in stressed
    assert re.findall(r"<h3>(.*?)</h3>", stressed) == ["Norm used under stress", "Loss under stress"]
    ids = [one["id"] for _, one in Tags(html).seen if "id" in one]
    assert len(ids) == len(set(ids))


def test_loss_is_drawn_where_it_was_recorded() -> None:
    first = record(1, 5.0, loss=2.5)
    html = to_html(verification(Process(1, records=(first,))), cwd="/tmp")
    assert re.findall(r"<h3>(.*?)</h3>", html) == ["Gradient norm", "Clipped share", "Loss"]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param((record(1, math.nan), record(2, math.inf)), id="nothing finite"),
        pytest.param((record(1, 0.0),), id="zero"),
        pytest.param((record(1, 5.0, skipped=True),), id="all skipped"),
        pytest.param((record(1, 5.0, threshold=-1.0), record(2, 5.0, threshold=2.0)), id="odd thresholds"),
        pytest.param(tuple(record(1, 5.0, evaluation=e) for e in (1, 2, 3)), id="closure"),
        pytest.param((), id="no steps"),
    ],
)
def test_odd_runs_have_a_page(records: tuple[StepRecord, ...]) -> None:
    assert "</html>" in to_html(verification(Process(1, records=records)), cwd="/tmp")


def test_a_command_that_could_not_run_has_a_page() -> None:
    assert "nope: not found" in to_html(Verification(("nope",), not_run="nope: not found"))


def test_long_runs_are_thinned_and_keep_their_peaks() -> None:
    records = [record(step, 0.5) for step in range(1, 5 * DRAWN + 1)]
    records[1234] = record(1235, 4000.0)
    records[2345] = record(2346, math.nan)
    (series,) = series_of([Process(1, records=tuple(records))], records[0].place)
    assert (len(series.updates), series.seen) == (DRAWN, 5 * DRAWN)
    assert 4000.0 in [update.raw for update in series.updates]
    assert any(math.isnan(update.raw) for update in series.updates)
    html = to_html(verification(Process(1, records=tuple(records))), cwd="/tmp")
    assert "of 5000 updates, the largest of each stretch is drawn" in html
    assert len(html) < 200_000


def test_share_counts_finite_updates_above_the_threshold() -> None:
    records = [record(step, raw) for step, raw in enumerate((0.5, 2.0, math.nan, 2.0), 1)]
    (series,) = series_of([Process(3, rank=1, records=tuple(records))], records[0].place)
    assert series.name == "rank 1"
    assert [update.share for update in series.updates] == [0.0, 0.5, 0.5, pytest.approx(2 / 3)]


def test_evaluations_of_a_closure_share_their_step() -> None:
    records = [record(2, 5.0, evaluation=1), record(2, 5.0, evaluation=2), record(3, 5.0, evaluation=1)]
    (series,) = series_of([Process(1, records=tuple(records))], records[0].place)
    assert [update.at for update in series.updates] == [2.0, 2.5, 3.0]


def test_json_holds_every_record() -> None:
    run = usual()
    told = json.loads(json.dumps(to_json(run), allow_nan=False))
    (kept,) = told["sessions"]
    again = tuple(record_of(entry) for entry in kept["records"])
    # NaN differs from itself
    assert [repr(one) for one in again] == [repr(one) for one in run.sessions[0].records]


def test_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(
        "import torch\n"
        "net = torch.nn.Linear(3, 1)\n"
        "optimizer = torch.optim.SGD(net.parameters(), lr=0.01)\n"
        "for _ in range(3):\n"
        "    optimizer.zero_grad()\n"
        "    net(torch.ones(4, 3)).sum().backward()\n"
        "    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)\n"
        "    optimizer.step()\n"
    )
    done = CliRunner().invoke(
        command, ["--report", "a.html", "--json", "a.json", "--", sys.executable, "train.py"]
    )
    assert done.exit_code == 0, done.output
    assert "train.py:8" in (tmp_path / "a.html").read_text()
    assert len(json.loads((tmp_path / "a.json").read_text())["sessions"][0]["records"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--report", "nowhere/a.html", "--", "true"], "the folder of nowhere/a.html does not exist"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named_before_the_run(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "clipcheck.verify.command.find_spec", lambda name: None if name == library else object()
    )
    target = tmp_path / "a.html"
    done = CliRunner().invoke(command, ["--report", str(target), "--", "touch", str(tmp_path / "ran")])
    assert done.exit_code == 2
    assert f"--report needs {library}: pip install 'clipcheck[report]'" in done.output
    assert not (tmp_path / "ran").exists()


def test_a_missing_library_is_named_by_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingLibrary, match=r"jinja2 is not installed: pip install 'clipcheck\[report\]'"):
        to_html(usual())


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(360, True), (360, False), (1200, True)])
def test_in_a_browser(width: int, dark: bool, tmp_path: Path) -> None:
    run = usual()
    place = Place("/tmp/" + "a_folder_with_a_rather_long_name/" * 4 + "train.py", 77)
    process = Process(2, rank=0, records=(record(1, 123456.789, place=place),))
    run = verification(
        *run.sessions, process, command=("torchrun", "--nproc-per-node=2", "x" * 200), ended="exit status 1",
        crash="RuntimeError: " + "y" * 200,
    )  # fmt: skip
    (first, *_) = run.sites
    html = to_html(
        run,
        cwd="/tmp",
        names=("without its clips", "as it is"),
        comparison=compare(run.sessions, run.sessions, [(place, True)]),
        stress=both(2.0, [run, run]),
        advice={first.place: Advice(1.0, ("z" * 200,))},
    )
    seen = looked_at(html, tmp_path, width=width, dark=dark)
    assert seen["width"] == width
    assert seen["scrolls"] <= width, "the page scrolls sideways"
    assert seen["tooWide"] == []
    assert seen["dark"] is dark
    page, text = (_light(seen[name]) for name in ("page", "text"))
    assert (page < 60 and text > 200) if dark else (page > 200 and text < 80)
    # the lines of the drawings have the colours of the mode
    assert seen["raw"] == ("#f59e5b" if dark else "#c2570c")
    assert ("rgb(245, 158, 91)" if dark else "rgb(194, 87, 12)") in seen["strokes"]
    assert seen["letters"] >= 9.0, "the letters of the drawings are too small to read"
    assert seen["verdicts"] == ["confirmed", "confirmed", "refuted"]
    assert (seen["sections"], seen["drawings"]) == (3, 7)
    assert seen["scripts"] == 1  # the one that asks
    assert (seen["images"], seen["loaded"]) == (0, [])


@pytest.mark.slow
def test_in_a_browser_nothing_of_the_project_runs(tmp_path: Path) -> None:
    run = verification(
        Process(1, records=(record(1, 5.0, place=Place(NASTY, 1)),)), crash=NASTY, ended="exit status 1"
    )
    path = tmp_path / "page.html"
    path.write_text(to_html(run, cwd="/elsewhere"), encoding="utf-8")
    dom = dump(path, tmp_path)
    assert "<title>clipcheck verify: 1 confirmed" in dom
    assert "<img" not in dom
    assert "<script" not in dom


def _light(colour: str) -> float:
    """Give how light a colour of the form rgb(r, g, b) is, from 0 to 255."""
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue
