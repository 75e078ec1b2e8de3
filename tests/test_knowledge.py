"""The knowledge files: what is refused, how names match, and whether the frameworks have what they name."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from importlib import resources
from typing import Any

import pytest

from clipcheck.knowledge import CallRule, Framework, Knowledge, KnowledgeError, load

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = load()
HEAD = """\
[framework]
name = "Mine"
checked = "mine 1.0, mine-extras[cpu] 2.0rc1"
recognised = "the clip"
fixed = "the clip before the step"
tried = "run"
"""
CLIP = '[[call]]\nnames = ["mine.clip"]\nevent = "clip"\n'


def read(folder, text: str, head: str = HEAD) -> Knowledge:
    (folder / "mine.toml").write_text(head + text, encoding="utf-8")
    return load([folder])


# -- what is accepted --------------------------------------------------------------------------------


def test_further_folders_add_to_what_is_shipped(tmp_path):
    known = read(tmp_path, CLIP)
    assert known.call("mine.clip") == CallRule("clip", framework="Mine")
    assert known.frameworks["Mine"].name == "Mine"
    assert known.call("torch.nn.utils.clip_grad_norm_") == SHIPPED.call("torch.nn.utils.clip_grad_norm_")
    assert {"mine", "torch"} <= known.packages
    assert "clip" in known.decisive


def test_other_knowledge_has_another_digest(tmp_path):
    assert read(tmp_path, "").digest != SHIPPED.digest == load().digest


def test_only_toml_files_are_read(tmp_path):
    (tmp_path / "notes.txt").write_text("no toml at all [")
    assert load([tmp_path]).digest == SHIPPED.digest


def test_slots(tmp_path):
    known = read(
        tmp_path,
        CLIP.replace(
            '"clip"\n', '"clip"\nkind = "value"\nparameters = ["tensors", 2]\nthreshold = ["limit", -1]\n'
        ),
    )
    rule = known.call("mine.clip")
    assert rule is not None
    assert (rule.kind, rule.slot("parameters"), rule.slot("threshold")) == (
        "value",
        ("tensors", 2),
        ("limit", -1),
    )
    assert rule.slot("scaler") is None


def test_the_first_file_says_how_a_fix_is_written(tmp_path):
    assert read(tmp_path, '[fix]\nclip = "mine.clip"\n').fixes["clip"] == SHIPPED.fixes["clip"]


def test_helpers_from_the_settings():
    known = load((), ["tools.limit"], ["Engine.advance"])
    limit, advance = known.own_rule("pkg.tools.limit"), known.own_rule("Engine.advance")
    assert limit is not None
    assert advance is not None
    assert (limit.event, advance.event) == ("clip", "step")
    assert known.own_rule("mytools.limit") is None
    assert {"limit", "advance"} <= known.decisive
    assert {"limit", "advance"} <= known.event_names()
    assert SHIPPED.own_rule("tools.limit") is None


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[optimizers]\n", "unknown section 'optimizers'", id="section"),
        pytest.param(CLIP + "treshold = 1\n", "[[call]] has unknown keys ['treshold']", id="key of a call"),
        pytest.param(
            '[[class]]\nrole = "module"\nnames = []\nfamilly = "x"\n', "[[class]] has unknown keys", id="of a class"
        ),
        pytest.param(
            '[[method]]\nof = "x"\nnames = []\nevent = "clip"\nrole = "y"\n', "[[method]] has unknown keys", id="of a method"
        ),
        pytest.param('[[wrapper]]\nnames = []\nargument = 0\nevent = "x"\n', "[[wrapper]] has unknown", id="of a wrapper"),
        pytest.param('[[call]]\nnames = ["a.b"]\n', "'event'", id="no event"),
        pytest.param('[[call]]\nevent = "clip"\n', "'names'", id="no names"),
        pytest.param('[[class]]\nnames = ["a.B"]\n', "'role'", id="no role"),
        pytest.param("[hints]\nmodel = '('\n", "unterminated", id="regular expression"),
        pytest.param("[hints\n", "Expected", id="no toml"),
        pytest.param(CLIP + "parameters = 3\n", "parameters = 3 is not a keyword and a position", id="slot"),
    ],
)  # fmt: skip
def test_refused(tmp_path, text, message):
    with pytest.raises(KnowledgeError) as caught:
        read(tmp_path, text)
    assert "mine.toml" in str(caught.value)
    assert message in str(caught.value)


# -- what a file says of itself ----------------------------------------------------------------------


def test_what_a_file_says_of_itself(tmp_path):
    mine = read(tmp_path, CLIP).frameworks["Mine"]
    assert mine == Framework(
        "Mine", "mine 1.0, mine-extras[cpu] 2.0rc1", "the clip", "the clip before the step", "run"
    )
    assert mine.versions == (("mine", "1.0", "run"), ("mine-extras[cpu]", "2.0rc1", "run"))
    assert mine.listed
    assert not mine.shadowed


def test_how_it_was_looked_at_may_stand_behind_a_version(tmp_path):
    head = HEAD.replace("mine 1.0,", "mine 1.0 (read),")
    assert read(tmp_path, CLIP, head).frameworks["Mine"].versions[0] == ("mine", "1.0", "read")


def test_a_file_that_is_no_framework_says_so_and_no_more(tmp_path):
    head = '[framework]\nname = "Mine"\nchecked = "mine 1.0"\nlisted = false\nshadowed = true\n'
    mine = read(tmp_path, CLIP, head).frameworks["Mine"]
    assert (mine.listed, mine.shadowed, mine.recognised) == (False, True, "")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        pytest.param("", "a [framework] section has to say what the file is about", id="no section"),
        pytest.param("framework = 3\n", "a [framework] section has to say", id="no table"),
        *(
            pytest.param(re.sub(rf"^{key} = .*\n", "", HEAD, flags=re.MULTILINE), f"[framework] has no key '{key}'", id=f"no {key}")
            for key in ("name", "checked", "recognised", "fixed", "tried")
        ),
        pytest.param(HEAD + "fixd = 'x'\n", "[framework] has an unknown key 'fixd'", id="unknown key"),
        pytest.param(HEAD.replace('"the clip"', "1"), "[framework] recognised = 1 is not a text", id="not a text"),
        pytest.param(HEAD.replace('"the clip"', '""'), "[framework] recognised = '' is not a text", id="empty"),
        pytest.param(HEAD + "listed = 1\n", "[framework] listed = 1 is not true or false", id="not a flag"),
        pytest.param(HEAD.replace('"run"', '"ran"'), "tried = 'ran' is neither 'run' nor 'read'", id="tried"),
        *(
            pytest.param(HEAD.replace("mine 1.0", text), "is not of the form", id=text)
            for text in ("mine", "1.0", "mine 1.0 and", "mine newest", "mine 1.0 (seen)")
        ),
    ],
)  # fmt: skip
def test_a_file_must_say_what_it_is_about(tmp_path, head, message):
    with pytest.raises(KnowledgeError) as caught:
        read(tmp_path, CLIP, head)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.toml'}: ")
    assert message in str(caught.value)


# -- patterns ----------------------------------------------------------------------------------------

PATTERNS = """
[[class]]
role = "module"
family = "convolution"
names = ["mine.nn.Conv*", "mine.*.Loop"]
[[class]]
role = "optimizer"
names = ["mine.nn.ConvOptimizer"]
[[class]]
role = "module"
names = ["mine.nn.[A-Z]*"]
[[wrapper]]
names = ["mine.wrap.*"]
argument = 1
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine.nn.functional.Conv", None),
        ("mine.nn.Conv.sub", None),
        ("mine.nn.conv", None),
        ("mine.a.b.Loop", None),
        ("mineXnn.Conv1d", None),
        ("other.mine.nn.Conv1d", None),
        ("mine.nn.Conv", ("module", "convolution")),
        ("mine.nn.Conv1d", ("module", "convolution")),
        ("mine.a.Loop", ("module", "convolution")),
        ("mine.nn.ConvOptimizer", ("optimizer", "")),
        ("mine.nn.Other", ("module", "")),
    ],
)
def test_class_patterns(tmp_path, name, expected):
    rule = read(tmp_path, PATTERNS).class_rule(name)
    assert (None if rule is None else (rule.role, rule.family)) == expected


@pytest.mark.parametrize(
    ("name", "argument"),
    [("mine.wrap.a", 1), ("mine.wrap.a.b", None), ("mine.wrap", None), ("torch.compile", 0)],
)
def test_wrapper_patterns(tmp_path, name, argument):
    assert read(tmp_path, PATTERNS).wrapped_argument(name) == argument


@pytest.mark.parametrize(
    ("hint", "word", "expected"),
    [
        ("optimizer", "scheduler", False),
        ("optimizer", "option", False),
        ("optimizer", "adopt", False),
        ("optimizer", "opt", True),
        ("optimizer", "opt_g", True),
        ("optimizer", "Optimizer", True),
        ("optimizer", "optimizers", True),
        ("not-optimizer", "lr_scheduler", True),
        ("clip-call", "clip_image", False),
        ("clip-call", "clamp", False),
        ("clip-call", "clip_gradients", True),
        ("clip-call", "gradient_clipping", True),
        ("clip-call", "clip_by_global_norm", True),
        ("clip-call", "clip_by_value", False),
        ("tape", "d_tape", True),
        ("tape", "tapered", False),
        ("scaler", "scale", False),
        ("scaler", "loss_scaler", True),
        ("no-such-hint", "optimizer", False),
    ],
)
def test_hints(hint, word, expected):
    assert SHIPPED.hinted(hint, word) is expected


@pytest.mark.parametrize(
    ("name", "harmless"),
    [("torch.save", True), ("numpy", True), ("torch_mystery.f", False), ("mystery.f", False)],
)
def test_harmless(name, harmless):
    assert SHIPPED.is_harmless(name) is harmless


def test_a_class_by_the_names_of_all_packages_that_have_it():
    names = dict(SHIPPED.other_names("keras.optimizers.Adam"))
    assert names["keras.optimizers.Adam"] == "keras"
    assert names["tensorflow.keras.optimizers.Adam"] == "tensorflow.keras"
    assert all(SHIPPED.class_rule(name) is SHIPPED.class_rule("keras.optimizers.Adam") for name in names)


@pytest.mark.parametrize("name", sorted(SHIPPED.named))
def test_a_class_that_a_string_stands_for_is_known(name):
    rule = SHIPPED.class_rule(SHIPPED.named[name])
    assert rule is not None
    assert rule.clipping is not None


def test_events_by_name():
    assert {"step", "clip_grad_norm_", "clip_grad_value_"} <= SHIPPED.decisive <= SHIPPED.event_names()
    assert {"backward", "zero_grad", "unscale_", ".grad"} <= SHIPPED.event_names()
    assert not {"parse_args", "get_scale", "add_argument"} & SHIPPED.event_names()


# -- every name against the framework that is installed ----------------------------------------------


def names_of(filename: str) -> list[str]:
    data: dict[str, Any] = tomllib.loads(
        resources.files("clipcheck.rules").joinpath(filename).read_text(encoding="utf-8")
    )
    entries = [entry for section in ("class", "call", "wrapper") for entry in data.get(section, ())]
    names = {name for entry in entries for name in entry["names"]}
    return sorted(name for name in names if "*" not in name and "[" not in name)


def resolve(name: str) -> object:
    """The object a qualified name means; AttributeError or ImportError where there is none."""
    parts = name.split(".")
    found: Any = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], 2):
        # torch.optim deletes the names of its submodules, which can be imported all the same.
        found = (
            getattr(found, part)
            if hasattr(found, part)
            else importlib.import_module(".".join(parts[:number]))
        )
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", names_of("torch.toml"))
def test_torch_has_it(name):
    pytest.importorskip("torch")
    assert callable(resolve(name))


@pytest.mark.filterwarnings("ignore")
def test_every_optimizer_of_torch_is_known():
    torch = pytest.importorskip("torch")
    base = torch.optim.Optimizer
    made = {
        name for name, one in vars(torch.optim).items() if isinstance(one, type) and issubclass(one, base)
    }
    assert {name for name in made if SHIPPED.class_rule(f"torch.optim.{name}") is None} == set()


@pytest.mark.filterwarnings("ignore")
def test_slots_are_where_torch_has_them():
    pytest.importorskip("torch")
    for name, rule in SHIPPED.calls.items():
        if rule.framework != "PyTorch" or not rule.slots or "autograd" in name or "functional" in name:
            continue
        given = list(inspect.signature(resolve(name)).parameters)  # type: ignore[arg-type]
        for _, (keyword, position) in rule.slots:
            assert given[position] == keyword, name


def test_a_class_says_how_it_is_told_to_clip():
    rule = SHIPPED.class_rule("lightning.pytorch.Trainer")
    assert rule is not None and rule.clipping is not None
    assert rule.clipping.arguments == ("gradient_clip_val",)
    assert not rule.clipping.on_by_default
    assert rule.clipping.elsewhere is not None and rule.clipping.elsewhere.search("DeepSpeedStrategy")


def test_what_is_told_to_clip_is_looked_for():
    assert "Trainer" in SHIPPED.told_here
    assert "transformers" in SHIPPED.told_packages


@pytest.mark.parametrize(
    "section", ["clipping = {arguments = ['x'], default = 'off', tipo = 1}", "hooks = {tipo = 1}"]
)
def test_unknown_keys_of_a_class_are_errors(section, tmp_path):
    with pytest.raises(KnowledgeError, match=r"mine\.toml: .*tipo"):
        read(tmp_path, f"[[class]]\nrole = 'x'\nnames = ['x.X']\n{section}\n")


def test_a_package_by_another_name_is_known():
    assert SHIPPED.class_rule("tensorflow.keras.layers.LSTM") == SHIPPED.class_rule("keras.layers.LSTM")


def test_common_names_are_not_searched_for():
    assert "compile" in SHIPPED.decisive
    searched = SHIPPED.decisive_methods | SHIPPED.decisive_functions | SHIPPED.told_here
    assert not searched & {"compile", "Model", "fit"}
    assert "keras" in SHIPPED.by_import
