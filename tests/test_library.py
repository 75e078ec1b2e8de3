"""Which files are looked into, and that facts are the same however they are come by."""

from __future__ import annotations

import os

import pytest

from clipcheck import extract, knowledge, library
from clipcheck.cache import FactsCache
from clipcheck.config import Settings
from clipcheck.facts import ModuleFacts
from clipcheck.leading import outline_of
from clipcheck.library import Library
from clipcheck.modules import Modules

KNOWN = knowledge.load()
STEP = b"optimizer.step()\n"


@pytest.fixture
def make(tmp_path):
    def made(overlay=None, known=KNOWN, **settings):
        return Library(known, Settings(**{"no_cache": True, "jobs": 1, **settings}), overlay or {})

    return made


def write(folder, **files):
    """Write files by module name and return their paths in order."""
    for name, data in files.items():
        (folder / f"{name}.py").write_bytes(data)
    return [str(folder / f"{name}.py") for name in files]


# -- candidates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"import torch\nprint('hello')\n",
        b"steps = 3\n",
        b"stepping()\nmy_step()\n",
        b"loss.backward()\n",
        b"eclipse_grad()\n",
        b"clip_anything(p)\n",
        b"(((not python, but step\n",
        b"\xff\xfe step\n",
        b"scheduler.step()\n",
        b"observation = env.step(action)\n",
        b"lr_scheduler_of(optimizer, 0.9).step()\n",
        b"Environment(optimizer).step()\n",
        b"'of what is not opened here').step(1)\n",
        b"class A:\n    def step(self):\n        loss.backward()\n\n    def run(self):\n        self.step()\n",
        b"from transformers import Trainer  # a name in an import alone\n",
        b"from lightning import Trainer\nparser = Trainer.add_argparse_args(parser)\n",
        b"import clip_grad_norm_\n",
    ],
)
def test_files_that_can_hold_no_event(make, tmp_path, data):
    assert make().candidates(write(tmp_path, a=data)) == []


@pytest.mark.parametrize(
    "data",
    [
        b"optimizer.step()\n",
        b"scaler . step(optimizer)\n",
        b"getattr(optimizer, 'step')()\n",
        b"optimizer.\\\nstep()\n",
        b"(optimizer\n    .step())\n",
        b"each = [one.step for one in optimizers], optimizer.step\n",
        b"loss.backward()\nthing.step()\n",
        b"train.AdamOptimizer(rate(1e-3),\n    0.9) . minimize(loss)\n",
        b"train.AdamOptimizer(" + b"learning_rate=FLAGS.rate, " * 12 + b").minimize(loss)\n",
        b"clip_grad_norm_(p, 1.0)\n",
        b"clip_norm_of_gradients(p)\n",
        b"from transformers import Trainer\nTrainer(model)\n",
        b"from x import Trainer\nclass Mine(Trainer): pass\n",
        b"from lightning import Trainer\ntrainer: Trainer = make(settings)\n",
        b"import lightning\ntrainer = lightning.Trainer . from_argparse_args(args)\n",
        b"import optax\n",
        b"tf.keras.Model().fit(x)\n",
        b"optim_wrapper = dict()\n",
        b"x = 1  # clipcheck: ignore\n",
        b"(((not python, but optimizer.step()\n",
        b"\xff\xfe optimizer.step()\n",
    ],
)
def test_files_that_can(make, tmp_path, data):
    (name,) = write(tmp_path, a=data)
    assert make().candidates([name]) == [name]


def test_a_projects_own_helpers_make_candidates(make, tmp_path):
    (name,) = write(tmp_path, a=b"engine.advance(optimizer)\n")
    assert make().candidates([name]) == []
    own = knowledge.load((), (), ["Engine.advance"])
    assert make(known=own).candidates([name]) == [name]


def test_the_overlay_is_probed_in_place_of_the_file(make, tmp_path):
    one, two = write(tmp_path, one=STEP, two=b"pass\n")
    assert make({one: "pass\n", two: "optimizer.step()\n"}).candidates([one, two]) == [two]


def test_a_file_that_is_gone_is_no_candidate_but_a_failure(make, tmp_path):
    looked = make()
    assert looked.candidates([str(tmp_path / "gone.py")]) == []
    (failure,) = looked.failures
    assert failure.message.startswith("cannot be read: ")
    looked.candidates([str(tmp_path / "gone.py")])
    assert looked.failures == [failure]


# -- reading -----------------------------------------------------------------------------------------


def test_facts_are_read_once(make, tmp_path):
    (name,) = write(tmp_path, a=STEP)
    looked = make()
    first = looked.read(name)
    write(tmp_path, a=b"other()\n")
    assert looked.read(name) is first


def test_a_file_without_facts_is_named_once(make, tmp_path):
    (name,) = write(tmp_path, a=b"(step\n")
    looked = make()
    first = looked.read(name)
    assert looked.read(name) is first
    assert [failure.row for failure in looked.failures] == [1]
    assert looked.body(name) == ()


def test_a_file_that_cannot_be_read(make, tmp_path):
    looked = make()
    looked.read(str(tmp_path / "gone.py"))
    (failure,) = looked.failures
    assert failure.message.startswith("cannot be read")


def test_text(make, tmp_path):
    one, two = write(tmp_path, one=b"# coding: latin-1\na = '\xe9'\r\n", two=STEP)
    looked = make({two: "a = 'ü'\n"})
    assert looked.text(one).endswith("a = 'é'\r\n")
    assert looked.text(two) == "a = 'ü'\n"
    assert looked.bytes_of(two) == "a = 'ü'\n".encode()


def test_the_overlay_is_read_in_place_of_the_file(make, tmp_path):
    (name,) = write(tmp_path, a=b"(not python\n")
    looked = make({name: "optimizer.step()\n"})
    found = looked.read(name)
    assert isinstance(found, ModuleFacts)
    assert found.calls == {"step"}
    assert looked.failures == []


# -- the cache ---------------------------------------------------------------------------------------


def test_what_is_in_the_cache_is_not_extracted_again(make, tmp_path, monkeypatch):
    (name,) = write(tmp_path, a=STEP)
    settings = {"no_cache": False, "cache_dir": tmp_path / "cache"}
    before = make(**settings)
    first = before.read(name)
    before.flush()

    def never(*_):
        raise AssertionError("extracted again")

    monkeypatch.setattr(library, "extract", never)
    again = make(**settings)
    assert again.read(name) == first


def test_functions_that_were_read_are_in_the_cache_and_are_not_parsed_again(make, tmp_path, monkeypatch):
    (name,) = write(tmp_path, a=b"def f():\n    optimizer.step()\n\n\ndef g():\n    h()\n")
    settings = {"no_cache": False, "cache_dir": tmp_path / "cache"}
    before = make(**settings)
    (f, _) = before.read(name).body
    expected = f.body
    before.flush()
    after = make(**settings)
    (f, g) = after.read(name).body
    with monkeypatch.context() as patched:
        patched.setattr(extract, "parse", None)
        assert f.body == expected
    assert g.calls == {"h"}  # nobody had asked for it
    after.flush()
    monkeypatch.setattr(extract, "parse", None)
    (f, g) = make(**settings).read(name).body
    assert (f.body, g.calls) == (expected, {"h"})


def test_equal_files_share_an_entry(make, tmp_path):
    names = write(tmp_path, a=STEP, b=STEP)
    looked = make(no_cache=False, cache_dir=tmp_path / "cache")
    assert looked.read(names[0]) == looked.read(names[1])
    looked.flush()
    assert len(list(FactsCache(tmp_path / "cache", "")._entries())) == 1


def test_failures_and_overlays_are_not_kept(make, tmp_path):
    one, two = write(tmp_path, one=b"(step\n", two=STEP)
    looked = make({two: "other.step()\n"}, no_cache=False, cache_dir=tmp_path / "cache")
    looked.read(one)
    looked.read(two)
    looked.flush()
    assert list(FactsCache(tmp_path / "cache", "")._entries()) == []


def test_without_a_cache_nothing_is_written(make, tmp_path):
    (name,) = write(tmp_path, a=STEP)
    looked = make(no_cache=True, cache_dir=tmp_path / "cache")
    looked.read(name)
    looked.flush()
    assert not (tmp_path / "cache").exists()


# -- programs ----------------------------------------------------------------------------------------

ENGINE = b"def train(optimizer):\n    optimizer.step()\n\n\ndef show():\n    pass\n"


def programs(make, folder, **files):
    """The programs of some modules, by their names: those that hold events, and who calls them."""
    names = write(folder, **files)
    looked = make()
    looked.candidates(names)
    found = looked.programs(Modules(names), names)
    stem = {name: os.path.basename(name)[:-3] for name in names}
    return [([stem[one] for one in each.files], [stem[one] for one in each.callers]) for each in found]


@pytest.mark.parametrize(
    "importing",
    [
        b"import engines\n",
        b"import torch\n",
        b"# import engine\n",
        b"engine = 3\n",
        b"",
        b"print('from engine')\n",
        b"import engine\nengine.show()\n",
        b"from engine import show\n",
    ],
)
def test_files_that_import_nothing_that_matters(make, tmp_path, importing):
    assert programs(make, tmp_path, engine=ENGINE, main=importing) == [(["engine"], [])]


@pytest.mark.parametrize(
    "importing",
    [
        b"import engine\nengine.train()\n",
        b"from engine import train\n",
        b"from engine import (\n    show,\n    train,  # both\n)\n",
        b"from engine import show, \\\n    train\n",
        b"from engine import *\ntrain()\n",
        b"from pkg.engine import train\n",
        b"from . import engine\nengine.train()\n",
        b"import os, engine as e\ne.train()\n",
        b"def f():\n    from engine import train\n",
    ],
)
def test_files_that_import_what_does(make, tmp_path, importing):
    (tmp_path / "pkg").mkdir()
    folder = tmp_path / "pkg"
    assert programs(make, folder, engine=ENGINE, main=importing) == [(["engine"], ["main"])]


def test_files_with_events_that_call_each_other_are_one_program(make, tmp_path):
    main = b"from engine import train\ntrain()\noptimizer.step()\n"
    assert programs(make, tmp_path, engine=ENGINE, main=main) == [(["engine", "main"], [])]


def test_files_with_events_that_do_not_are_two_with_the_caller_of_both(make, tmp_path):
    both = b"import engine, motor\nengine.train()\nmotor.train()\n"
    found = programs(make, tmp_path, engine=ENGINE, motor=ENGINE, both=both)
    assert found == [(["engine"], ["both"]), (["motor"], ["both"])]


def test_a_file_that_steps_alone_is_of_the_program_of_what_goes_back_beside_it(make, tmp_path):
    both = b"import engine, motor\nengine.train()\nmotor.train()\n"
    goes_back = ENGINE + b"loss.backward()\n"
    found = programs(make, tmp_path, engine=ENGINE, motor=goes_back, both=both)
    assert found == [(["engine", "motor"], ["both"])]
    found = programs(make, tmp_path, engine=goes_back, motor=goes_back, both=both)
    assert found == [(["engine"], ["both"]), (["motor"], ["both"])]


def test_who_brings_many_trainings_makes_no_program_of_them(make, tmp_path):
    names = [f"motor{number}" for number in range(9)]
    motors = dict.fromkeys(names, ENGINE + b"loss.backward()\n")
    main = "".join(f"import {name}\n{name}.train()\n" for name in ("engine", *names)).encode()
    found = programs(make, tmp_path, engine=ENGINE, main=main, **motors)
    assert found == [([name], ["main"]) for name in ("engine", *names)]


TRAINER = b"from engine import train\n\n\ndef fit(data):\n    train(data)\n\n\ndef show():\n    pass\n"


def test_callers_of_callers_are_of_the_program(make, tmp_path):
    files = {"engine": ENGINE, "trainer": TRAINER, "main": b"from trainer import fit\nfit()\n"}
    assert programs(make, tmp_path, **files) == [(["engine"], ["main", "trainer"])]
    files["main"] = b"from trainer import show\nshow()\n"
    assert programs(make, tmp_path, **files) == [(["engine"], ["trainer"])]


def test_of_many_callers_of_callers_a_few_are_enough_and_tests_come_last(make, tmp_path):
    mains = dict.fromkeys([f"test_{letter}" for letter in "abc"], b"from trainer import fit\nfit()\n")
    mains |= dict.fromkeys([f"x{number}" for number in range(3)], b"from trainer import fit\nfit()\n")
    found = programs(make, tmp_path, engine=ENGINE, trainer=TRAINER, **mains)
    assert found == [(["engine"], ["test_a", "trainer", "x0", "x1", "x2"])]


def test_callers_of_callers_with_events_keep_a_program_of_their_own(make, tmp_path):
    main = b"from trainer import fit\nfit()\noptimizer.step()\n"
    found = programs(make, tmp_path, engine=ENGINE, trainer=TRAINER, main=main)
    assert found == [(["engine"], ["main", "trainer"]), (["main"], [])]


def test_a_circle_of_callers_ends(make, tmp_path):
    trainer = TRAINER + b"from main import go\ngo()\n"
    main = b"from trainer import fit\n\n\ndef go():\n    fit()\n"
    assert programs(make, tmp_path, engine=ENGINE, trainer=trainer, main=main) == [
        (["engine"], ["main", "trainer"])
    ]


def test_what_a_package_hands_on_is_called_through_it(make, tmp_path):
    (tmp_path / "engines").mkdir()
    (package, engine) = write(tmp_path / "engines", __init__=b"from .engine import train\n", engine=ENGINE)
    (main,) = write(tmp_path, main=b"from engines import train\ntrain()\n")
    names = [package, engine, main]
    looked = make()
    looked.candidates(names)
    (found,) = looked.programs(Modules(names), names)
    assert (found.files, found.callers) == ((engine,), (main,))


def test_what_cannot_be_parsed_has_no_program(make, tmp_path):
    assert programs(make, tmp_path, engine=b"(optimizer.step\n", main=b"import engine\n") == []


def test_what_holds_no_event_after_all_has_no_program(make, tmp_path):
    assert programs(make, tmp_path, engine=b"# the optimizer.step() of a comment\n") == []


def test_a_class_made_upon_one_that_is_told_to_clip_leads_to_who_makes_it(make, tmp_path):
    mine = b"from transformers import Trainer\nclass Mine(Trainer):\n    pass\n"
    made = b"from mine import Mine\nMine(model).train()\n"
    assert programs(make, tmp_path, mine=mine, main=made) == [(["mine"], ["main"])]


# -- what is wrong in a file, and which functions mention a name -------------------------------------------

FILLER = b"def filler():\n    pass\n\n\n" * 1_000
STEPS = b"def train(optimizer, loss):\n    loss.backward()\n    optimizer.step()\n\n\n"
NAMED = b"def train(self):\n    'optimizer.step() in words'\n    loss.backward()\n\n\n"
BROKEN = b"def broken():\n    x = = 1\n"


@pytest.mark.parametrize(
    ("data", "failures", "holds"),
    [
        (FILLER + STEPS, [], True),
        (FILLER + STEPS + BROKEN, [4007], False),
        (FILLER + STEPS.replace(b"loss.b", b"loss = = b"), [4002], False),
        (FILLER + NAMED, [], False),
        (FILLER + NAMED + BROKEN, [4007], False),
        (NAMED + BROKEN, [7], False),
        (BROKEN + b"x = 1  # clipcheck: ignore\n", [2], False),
        (BROKEN, [], False),  # nobody looks into it
    ],
)
def test_of_a_file_that_may_hold_events_all_that_is_wrong_is_named(make, tmp_path, data, failures, holds):
    files, made = write(tmp_path, a=data), make()
    made.candidates(files)
    found = made.programs(Modules(files), files)
    assert [failure.row for failure in made.failures] == failures
    assert all(failure.column and failure.line for failure in made.failures)
    assert bool(found) == holds


def test_a_function_that_cannot_be_read_is_told_of_by_each_run(make, tmp_path, monkeypatch):
    (name,) = write(tmp_path, a=b"def f():\n    return x\n")
    told = []
    for _ in range(2):
        looked = make(no_cache=False, cache_dir=tmp_path / "cache")
        (function,) = looked.read(name).body
        with monkeypatch.context() as patched:
            patched.setattr(extract, "_Walk", None)
            patched.setattr(extract.Text, "_parse", lambda *_: (_ for _ in ()).throw(MemoryError))
            function.source.trees.clear()
            patched.setattr(
                extract, "_Walk", type("Walk", (), {"__init__": lambda *_, **__: None, "calls": ()})
            )
            assert function.body == ()
        looked.flush()
        told.append([failure.row for failure in looked.failures])
    assert told == [[1], [1]]


MENTIONS = """\
from library import clip_gradients as limit, clip_norm
@outside
class A:
    def one(self): return self.two(three, four=five)
    @decorated.by
    def six(self):
        @seven.eight
        def nine(): p.grad = None
        return {'ten': eleven [0] , "twelve": 13}
def fourteen(): limit(model); return step
def größe(): größe_von(x); xgröße_von(); return clip_norm # so
if x:
    def late():
        late.call \\
            ()
outside()
"""


@pytest.mark.parametrize("many", [0, 50], ids=["one by one", "in one go"])
@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("one", ["one"]),
        ("two", ["one"]),
        ("three", ["one"]),
        ("four", []),
        ("five", ["one"]),
        ("by", []),
        ("eight", ["six"]),
        ("seven", ["six"]),
        ("nine", ["six"]),
        (".grad", ["six"]),
        ("grad", []),
        ("ten", []),
        ("eleven", []),
        ("limit", ["fourteen"]),
        ("clip_gradients", ["fourteen"]),  # by its other name
        ("model", ["fourteen"]),
        ("step", []),
        ("größe_von", ["größe"]),
        ("clip_norm", ["größe"]),
        ("call", ["late"]),
        ("outside", []),
        ("=limit", []),
    ],
)
def test_which_functions_mention_a_name(name, functions, many):
    outline = outline_of(extract.extract_text(MENTIONS, "a.py"))
    others = {f"word{number}" for number in range(many)} | ({"call", "limit", "eight"} if many else set())
    if many:
        outline = outline_of(extract.extract_text(MENTIONS + f"x = '{' '.join(others)}'\n", "a.py"))
        outline.mentioning(others | {name})
    assert [outline.functions[number].label for number in outline.mentioning({name})] == functions


def test_a_helper_by_another_name_reads_like_a_clip_by_its_own():
    outline = outline_of(extract.extract_text(MENTIONS, "a.py"))
    assert outline.hinted(KNOWN, "clip-call") == {"clip_gradients", "clip_norm"}
