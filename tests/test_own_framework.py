"""A framework that clipcheck does not know, taught by a knowledge file of the project: scanned, fixed, scanned again.

Greenhouse is invented. It stands on PyTorch's tensors and has an optimizer, a trainer, layers, a clip and a step of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import test_contributing
from click.testing import CliRunner

from clipcheck.cli import clipcheck, main

# The file that CONTRIBUTING shows.
KNOWN = test_contributing.BLOCKS[0]

START = """\
from greenhouse.layers import Vine2
from greenhouse.optim import Grow

model = Vine2(8, 16)
optimizer = Grow(0.1, model.parameters())
"""
LOOP = (
    START
    + """
for batch in open("batches"):
    loss = model(batch).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""
)
STEP = "import greenhouse\n" + LOOP.replace("optimizer.step()", "greenhouse.water(optimizer)")
TRAINER = """\
from greenhouse import Gardener
from greenhouse.layers import VineCell

gardener = Gardener(seasons=3)
gardener.tend(VineCell(8))
"""
BED = "from greenhouse import Bed\n\nbed = Bed()\n" + LOOP.replace("loss.backward()", "bed.backward(loss)")

CLIPPED = STEP.replace(
    "    greenhouse.water", "    greenhouse.prune(model.parameters(), 2.0)\n    greenhouse.water"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that has taught clipcheck its framework."""
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "greenhouse.toml").write_text(KNOWN)
    (tmp_path / "clipcheck.toml").write_text('rules = ["known"]\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scan(*arguments: str) -> list[tuple[str, int, str]]:
    """What a scan of the current folder finds: code, row and risk."""
    done = CliRunner().invoke(clipcheck, ["--no-cache", "--output-format", "json", *arguments])
    assert not isinstance(done.exception, Exception), done.output
    return [(one["code"], one["location"]["row"], one["risk"]) for one in json.loads(done.stdout)]


# -- what stays silent -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(CLIPPED, id="clipped by its own function"),
        pytest.param(TRAINER.replace("seasons=3", "prune_at=0.5"), id="trainer told to clip"),
        pytest.param(TRAINER.replace("seasons=3", "**settings"), id="trainer told nobody knows what"),
        pytest.param(TRAINER.replace("layers import VineCell", "layers import Shrub as VineCell"), id="other layer"),
        pytest.param(TRAINER.replace("gardener.tend", "gardener.look_at"), id="trainer that never trains"),
        pytest.param(LOOP.replace("greenhouse", "greenhaus"), id="another library"),
    ],
)  # fmt: skip
def test_silent(project, program):
    (project / "train.py").write_text(program)
    assert scan() == []


def test_nothing_is_known_of_it_without_the_file(project):
    (project / "clipcheck.toml").write_text("")
    (project / "train.py").write_text(TRAINER)
    assert scan() == []


# -- found, fixed, clean -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "found", "written"),
    [
        pytest.param(
            LOOP,
            ("CLP101", 10, "high"),
            "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n    optimizer.step()",
            id="optimizer",
        ),
        pytest.param(
            STEP,
            ("CLP101", 11, "high"),
            "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n    greenhouse.water(optimizer)",
            id="step function",
        ),
        pytest.param(TRAINER, ("CLP104", 4, "high"), "Gardener(seasons=3, prune_at=1.0)", id="trainer"),
        pytest.param(
            BED,
            ("CLP101", 13, "high"),
            "    bed.prune(model.parameters(), limit=1.0)\n    optimizer.step()",
            id="engine",
        ),
    ],
)
def test_found_fixed_and_clean(project, program, found, written):
    train = project / "train.py"
    train.write_text(program)
    assert scan() == [found]
    assert CliRunner().invoke(clipcheck, ["--no-cache", "--fix"]).exit_code == 0
    fixed = train.read_text()
    assert written in fixed
    assert scan() == []
    assert CliRunner().invoke(clipcheck, ["--no-cache", "--fix"]).exit_code == 0
    assert train.read_text() == fixed


def test_a_clip_in_the_wrong_place_is_found_by_its_name(project):
    late = STEP.replace(
        "    optimizer.zero_grad()",
        "    greenhouse.prune(model.parameters(), 2.0)\n    optimizer.zero_grad()",
    )
    (project / "train.py").write_text(late)
    assert [code for code, *_ in scan()] == ["CLP201"]


# -- mistakes in the file ----------------------------------------------------------------------------


def mistaken(capsys, *arguments: str) -> str:
    """What a command says of a mistake; it is the user's, and no fault of clipcheck."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    told = capsys.readouterr()
    assert left.value.code == 2
    assert "fault in clipcheck" not in told.err
    return told.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param('fixed = "', 'fixd = "', "[framework] has an unknown key 'fixd'", id="framework"),
        pytest.param("[libraries]", "[librarys]", "unknown section 'librarys'", id="section"),
        pytest.param("harmless", "harmles", "[libraries] the key 'harmles' means nothing; did you mean 'harmless'", id="key of a table"),
        pytest.param('parameters = ["weights", 1]', 'params = ["weights", 1]', "[[class]] has unknown keys ['params']", id="key of an entry"),
        pytest.param('["weights", 1]', '"weights"', "[[class]] greenhouse.optim.Grow: parameters = 'weights' is not a keyword and a position", id="slot"),
        pytest.param('names = ["greenhouse.Bed"]', 'names = "greenhouse.Bed"', "[[class]] number 4: names = 'greenhouse.Bed' is not a list of texts", id="names"),
        pytest.param('default = "off"', 'default = "maybe"', "[[class]] greenhouse.Gardener: clipping.default = 'maybe' is not 'on' or 'off'", id="default"),
        pytest.param(', default = "off"', "", "[[class]] greenhouse.Gardener: there is no key 'clipping.default'", id="no default"),
        pytest.param('default = "off"', 'default = "off", refused = "("', "clipping.refused = '(' is no regular expression", id="regular expression"),
        pytest.param('"recurrent"', '"recurent"', "[[class]] greenhouse.layers.Vine*: family = 'recurent' means nothing; did you mean 'recurrent'", id="family"),
        pytest.param('role = "optimizer"', 'role = "optimiser"', "[[class]] greenhouse.optim.Grow: role = 'optimiser' means nothing; did you mean 'optimizer'", id="role"),
        pytest.param('"fit"', '"fitt"', "[[method]] tend: event = 'fitt' means nothing; did you mean 'fit'", id="event"),
        pytest.param('kind = "norm"', 'kind = "nrom"', "[[call]] greenhouse.prune: kind = 'nrom' means nothing; did you mean 'norm'", id="kind"),
        pytest.param('of = "gardener"', 'of = "gardner"', "[[method]] tend: of = 'gardner' means nothing; did you mean 'gardener'", id="owner"),
        pytest.param('event = "step"\n', "", "[[call]] greenhouse.water: there is no key 'event'", id="no event"),
        pytest.param("{threshold}", "{treshold}", "[engine.Greenhouse] clip: what stands in braces, 'treshold' means nothing; did you mean 'threshold'", id="template"),
        pytest.param("{threshold}", "{threshold", "[engine.Greenhouse] clip = '{engine}.prune({parameters}, limit={threshold)' is no template", id="braces"),
        pytest.param("[engine.Greenhouse]", "[engine.Greenhaus]", "[engine]: the framework 'Greenhaus' means nothing; did you mean 'Greenhouse'", id="engine"),
        pytest.param('name = "Greenhouse"', 'name = "PyTorch"', "[framework] name = 'PyTorch' is the name of another file already", id="name taken"),
        pytest.param("[[class]]", "[class]", "(at line", id="no toml"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--no-cache", "."], id="scan"),
        pytest.param(["--no-cache", "--fix", "."], id="fix"),
        pytest.param(["--no-cache", "--explain", "train.py:1"], id="explain"),
        pytest.param(["rule", "--frameworks"], id="rule"),
    ],
)
def test_a_mistake_is_named_by_file_and_key(project, capsys, old, new, message, arguments):
    assert old in KNOWN
    (project / "train.py").write_text("pass\n")
    (project / "known" / "greenhouse.toml").write_text(KNOWN.replace(old, new))
    told = mistaken(capsys, *arguments)
    assert f"error: {Path('known', 'greenhouse.toml')}: " in told.replace(f"{project}/", "")
    assert message in told


def test_a_folder_that_is_not_there_is_a_mistake(project, capsys):
    (project / "clipcheck.toml").write_text('rules = ["knwon"]\n')
    assert "knwon: there is no such folder, though `rules` names it" in mistaken(capsys, ".")


def test_a_file_that_is_no_text_is_a_mistake(project, capsys):
    (project / "known" / "greenhouse.toml").write_bytes(b"\xff\xfe\x00")
    assert "greenhouse.toml: cannot be read" in mistaken(capsys, ".")
