"""Every fixture that can be run here is run as it is and as `--fix` makes it: refuted before, confirmed after.

A fixture is run if its script takes an optimizer step of torch; those of other frameworks are run in tests/frameworks.
Where another verdict is right, the list below says which, and why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import fixturelib
import pytest

from clipcheck.faults import docket_of
from clipcheck.following import parts
from clipcheck.scanning import scan_paths
from clipcheck.scripts import HIDDEN
from clipcheck.verify import verify
from clipcheck.verify.verdicts import SiteVerdict

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]

Place = tuple[str, int]  # of a step: file in the fixture's folder, row
STEPS = 4  # of each script
ELSEWHERE = re.compile(
    r"^\s*(?:from|import) (?:tensorflow|paddle|mlx|jax|optax|deepspeed|keras)\b", re.MULTILINE
)
# fixture: the word for its finding before, and after; why it is not "refuted" and "confirmed"
OTHER = {
    "accelerate-half-precision": ("confirmed", "confirmed"),  # without CUDA it has no scaler
    "amp-clip-before-unscale": ("confirmed", "confirmed"),  # without CUDA its scaler is switched off
    "amp-unscale-after-clip": ("confirmed", "confirmed"),  # the same
    "branch-without-clip": ("confirmed", "confirmed"),  # the first steps are those that are clipped
    "gradient-masked": ("not measurable", "confirmed"),  # a mask by hand might be a clip, to a run
    "gradients-handed-over": ("not measurable", "confirmed"),  # and so might what is written by hand
    "measured-by-hand": ("refuted", "not measurable"),  # once it is told a bound, it clips by hand
    "old-name": ("confirmed", "confirmed"),  # an old name for the right thing
    "old-name-imported": ("confirmed", "confirmed"),  # the same
    "penalty-by-hand": ("not measurable", "confirmed"),  # a penalty changes the gradients: it might be a clip
    "suppression-partly-unused": ("refuted", "refuted"),  # only a comment is put right
    "suppression-unused": ("confirmed", "confirmed"),  # the same
    "unscaled-by-hand": ("not measurable", "confirmed"),  # a division by hand might be a clip, to a run
    "value-clipping": ("not measurable", "confirmed"),  # no value reaches the limit in so few steps
}
# fixture and row of the steps that count as clipped, and that a run refutes
BARE = {
    ("clip-after-warm-up", 12),  # the first steps are those of the warm-up
    (
        "multiplier-of-a-penalty",
        16,
    ),  # what its optimizer updates is one number, which the scan takes for no model
    ("unscaled-by-hand-and-clipped", 14),  # a run does not know that the division took the scale off
    ("clip-per-network", 12),  # each network alone, and one optimizer for both: not the norm of all
}


def scripts() -> Iterator[tuple[str, str, str]]:
    """Yield fixture, side and script of all that may be run."""
    for fixture in fixturelib.load():
        for side, folder in (("before", fixture.before), ("after", fixture.after)):
            texts = (
                {path: path.read_text("utf-8", errors="replace") for path in sorted(folder.rglob("*.py"))}
                if folder
                else {}
            )
            others = [path.stem for path, text in texts.items() if ELSEWHERE.search(text)]
            beside = re.compile(rf"^(?:from|import) (?:{'|'.join(others) or '!'})\b", re.MULTILINE)
            for path, text in texts.items():
                if "import" in text and not ELSEWHERE.search(text) and not beside.search(text):
                    yield fixture.slug, side, path.relative_to(folder).as_posix()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[Place, SiteVerdict]]:
    """Run them all; for fixture and side, the verdict on each line that stepped."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(fixturelib.FOLDER, folder / "fixtures")
    jobs = [(str(folder / "fixtures" / slug / side), script) for slug, side, script in scripts()]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, str(Path(__file__).with_name("many.py")), str(folder / "jobs.json")]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = verify(command, max_steps=STEPS, env=offline, quiet=True)
    assert (result.exit_status, result.problems) == (0, ()), result
    found: dict[tuple[str, str], dict[Place, SiteVerdict]] = {}
    root = os.path.realpath(folder / "fixtures")
    for site in result.sites:
        if site.place.filename.startswith(root):
            slug, side, name = os.path.relpath(site.place.filename, root).split(os.sep, 2)
            found.setdefault((slug, side), {})[name, site.place.row] = site
    return found


def accused(fixture: fixturelib.Fixture, sites: dict[Place, SiteVerdict]) -> dict[Place, SiteVerdict]:
    """The lines that the fixture's findings are about: those marked, or (of a clip) the step nearest to it."""
    about = {}
    for marker in fixture.markers:
        near = [place for place in sites if place[0] == marker.filename]
        if near:
            place = min(near, key=lambda one: (abs(one[1] - marker.row), one))
            if marker.code != "CLP101" or place[1] == marker.row:
                about[place] = sites[place]
    return about


def test_before_is_refuted_and_after_is_confirmed(
    ran: dict[tuple[str, str], dict[Place, SiteVerdict]],
) -> None:
    wrong, count = [], 0
    for fixture in fixturelib.load():
        before = accused(fixture, ran.get((fixture.slug, "before"), {}))
        after = ran.get((fixture.slug, "after"), {})
        if fixture.after is None or not before:
            continue
        count += 1
        expected = OTHER.get(fixture.slug, ("refuted", "confirmed"))
        # a fix moves steps, and leaves their order
        stepped = [sorted(ran[fixture.slug, "before"]), sorted(after)]
        assert [name for name, _ in stepped[0]] == [name for name, _ in stepped[1]], fixture.slug
        moved = dict(zip(*stepped, strict=True))
        words = {(site.word, after[moved[place]].word) for place, site in before.items()}
        if words != {expected}:
            wrong.append((fixture.slug, words, [site.reason for site in (*before.values(), *after.values())]))
    assert not wrong, "\n".join(map(str, wrong))
    assert count > 95  # 113 with every framework of the extra installed


def test_what_the_scan_takes_for_clipped_is_not_bare(
    ran: dict[tuple[str, str], dict[Place, SiteVerdict]],
) -> None:
    """A run refutes no step that the scan counts as clipped, but where the list says why."""
    wrong, count = [], 0
    for fixture in fixturelib.load():
        sites = ran.get((fixture.slug, "before"), {})
        if not sites or fixture.markers:
            continue
        scanned = scan_paths([fixture.before], fixturelib.settings(fixture.before, fixture))
        steps = [
            (part, docket_of(part.sightings, part.context), site, step)
            for part in parts(scanned)
            for site, step in part.sightings.steps.items()
        ]
        for part, docket, site, step in steps:
            place = os.path.relpath(site.filename, fixture.before), step.call.name_span.row
            if place not in sites or docket.outcome(step) != "clipped":
                continue
            if any(clip.kind in HIDDEN for clip in part.sightings.acting(part.sightings.paths(step))):
                continue
            count += 1
            if (sites[place].word == "refuted") is not ((fixture.slug, place[1]) in BARE):
                wrong.append((fixture.slug, place, sites[place].word, sites[place].reason))
    assert not wrong, "\n".join(map(str, wrong))
    assert count > 85  # 95
