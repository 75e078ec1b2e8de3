"""How a clip is called in a file: which threshold it can say there, by which names, and in which framework's words."""

from __future__ import annotations

import ast

import pytest
from judging import BACKWARD, FILE, KNOWLEDGE, ON, Scene, gradients

from clipcheck import argument, attach, blocks, chained, clipcall, defaults, engines, imports, moves
from clipcheck.docket import Docket
from clipcheck.findings import MoveFirst, Site
from clipcheck.flow.records import Names, Told
from clipcheck.flow.values import Literal, Option, Written
from clipcheck.flow.worlds import Guard
from clipcheck.knowledge import Clipping
from clipcheck.record import replace
from clipcheck.statements import PlacementError

FRESH = gradients(*BACKWARD)


def docket(scene: Scene) -> Docket:
    return Docket.of(scene.sightings, scene.context())


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("add_argument('--max-norm')", "max_norm"),
        ("add_argument('-m', '--max-norm', '--norm')", "max_norm"),
        ("add_argument('-m')", "m"),
        ("add_argument('max_norm')", "max_norm"),
        ("add_argument('--max-norm', dest='norm')", "norm"),
        ("add_argument(name)", ""),
    ],
)
def test_an_option_is_read_by_its_first_long_name(declared, expected):
    assert clipcall._destination(Scene(declared).call("add_argument")) == expected


@pytest.mark.parametrize(
    ("threshold", "function", "expected"),
    [
        ("0.5", "def train(model):", "0.5"),
        ("LIMIT", "def train(model):", "LIMIT"),
        ("args.clip", "def train(model):", "args.clip"),
        ("args.clip", "def train(model, args):", "1.0"),  # another one of the same name
        ("unbound.clip", "def train(model):", "1.0"),
        ("min(LIMIT, 1)", "def train(model):", "1.0"),
    ],
)
def test_the_threshold_of_another_clip_is_said_where_it_means_the_same(threshold, function, expected):
    scene = Scene(
        f"LIMIT = 0.7\nargs = parse()\nclip_grad_norm_(net, {threshold})\n{function}\n    optimizer.step()\n"
    )
    scene.clip(FRESH, threshold=0.7)
    assert clipcall.threshold_for(scene.site(".step("), docket(scene)) == expected


@pytest.mark.parametrize("imported", ["import torch", "import torch.nn as nn", "import numpy", ""])
def test_a_file_without_a_framework_clips_in_the_usual_words(imported):
    bindings = blocks.imports(Scene(f"{imported}\nx()").body)
    assert clipcall.fixes(bindings, KNOWLEDGE) == KNOWLEDGE.fixes


@pytest.mark.parametrize("package", sorted(KNOWLEDGE.dialects))
def test_a_framework_s_own_words_give_way_to_the_usual_ones(package):
    alone = blocks.imports(Scene(f"import {package}.nn\nx()").body)
    assert clipcall.fixes(alone, KNOWLEDGE) == {**KNOWLEDGE.fixes, **KNOWLEDGE.dialects[package]}
    both = blocks.imports(Scene(f"import {package}\nimport torch.nn\nx()").body)
    assert clipcall.fixes(both, KNOWLEDGE) == KNOWLEDGE.fixes


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pkg.b.utils\nfrom pkg import b", "pkg.b.utils.clip"),
        ("from pkg.b import utils as u\nfrom pkg import b", "u.clip"),
        ("import pkg\nfrom pkg.b import utils as u", "pkg.b.utils.clip"),
        ("import pkg\nfrom pkg.b.utils import clip as c", "c"),
        ("import pkg\nfrom pkg.a import clip", "clip"),
        ("from pkg import b\nfrom pkg.b.utils import other", "b.utils.clip"),
    ],
)
def test_a_function_is_named_by_what_lies_nearest(source, expected):
    spelled = clipcall.spelling("pkg.b.utils.clip", blocks.imports(Scene(f"{source}\nx()").body))
    assert (spelled.text, spelled.imports) == (expected, ())


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("def train():", "args.max_grad_norm"),
        ("def train(args):", "1.0"),
        ("def train():\n    args = other()", "1.0"),
    ],
)
def test_an_option_that_nobody_reads_is_the_threshold_where_its_namespace_is_in_reach(function, expected):
    scene = Scene(
        "import argparse\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--max-grad-norm', type=float, default=0.5)\n"
        "args = parser.parse_args()\n"
        f"{function}\n    optimizer.step()\n"
    )
    assert clipcall.threshold_for(scene.site(".step("), docket(scene)) == expected


# -- the framework's own object ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "framework", sorted(name for name, one in KNOWLEDGE.engines.items() if "clip" in one)
)
def test_an_engine_s_clip_needs_the_names_that_it_says(framework):
    template = KNOWLEDGE.engines[framework]["clip"]
    scene = Scene("optimizer.step()")
    step = scene.step(FRESH)
    for parameters, optimizer in (("net.parameters()", "opt"), ("ps", "opt"), ("net.parameters()", None)):
        lacking = ("{model}" in template and parameters == "ps") or (
            "{optimizer}" in template and not optimizer
        )
        names = Names(optimizer, parameters, engine="engine", framework=framework)
        call = template.format(
            engine="engine", parameters=parameters, model="net", optimizer=optimizer, threshold="0.5"
        )
        assert engines.clip(names, step, parameters, "0.5", docket(scene)) == (None if lacking else call)
    assert engines.clip(Names("opt", "ps", framework=framework), step, "ps", "0.5", docket(scene)) is None


@pytest.mark.parametrize("unit", ["\t", "  ", "    "])
def test_where_an_engine_accumulates_its_clip_is_guarded_in_the_style_of_the_file(unit):
    guarded = [name for name, one in KNOWLEDGE.engines.items() if "guard" in one and "clip" in one]
    assert guarded
    scene = Scene(f"with engine.accumulate(net):\n{unit}optimizer.step()\n")
    step = scene.step(FRESH)
    for framework in guarded:
        names = Names("opt", "net.parameters()", engine="engine", framework=framework)
        first, second = engines.clip(names, step, "net.parameters()", "0.5", docket(scene)).split("\n")
        assert first.startswith("if engine.")
        assert second.startswith(f"{unit}engine.")


# -- moves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("clip_grad_norm_(net, 1)\noptimizer.step()", 1),
        ("clip_grad_norm_(net, 1)\nif ready:\n    optimizer.step()", 1),
        ("if ready:\n    clip_grad_norm_(net, 1)\noptimizer.step()", 1),
        ("if ready:\n    clip_grad_norm_(net, 1)\n    log()\noptimizer.step()", None),
        ("if a:\n    clip_grad_norm_(net, 1)\nelse:\n    optimizer.step()", None),
        ("use(clip_grad_norm_(net, 1))\noptimizer.step()", None),
    ],
)
def test_what_moves_is_the_clip_or_the_condition_that_holds_nothing_else(source, expected):
    scene = Scene(source)
    clip, site = scene.clip(FRESH), scene.site(".step(")
    if "use(" in source:
        (clip.call,) = clip.call.arguments
    here, there = (blocks.locate(scene.body, one.span) for one in (clip.site, site))
    found = moves._movable(here, there, clip)
    assert (found and found.row) == expected


@pytest.mark.parametrize(
    ("before", "behind", "expected"),
    [
        ("", "", ("scaler.unscale_(optimizer)",)),
        ("scaler.unscale_(optimizer)\n", "", ()),
        ("", "\nscaler.unscale_(optimizer)", None),
    ],
)
def test_a_clip_that_moves_is_unscaled_once(before, behind, expected):
    scene = Scene(f"clip_grad_norm_(net, 1)\n{before}optimizer.step(){behind}")
    clip = scene.clip(gradients("zero_grad", "scaled_backward"), scaler="scaler", optimizer="optimizer")
    there = blocks.locate(scene.body, scene.site(".step(").span)
    assert moves._unscaled_before(clip, there, docket(scene)) == expected
    clip.contexts[0].paths[:] = scene.clip(FRESH).contexts[-1].paths
    assert moves._unscaled_before(clip, there, docket(scene)) == ()


# -- places ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a", {("a", "a")}),
        ("import a.b.c", {("a", "a"), ("a.b", "a.b"), ("a.b.c", "a.b.c")}),
        ("import a.b as c", {("c", "a.b")}),
        ("from a.b import c", {("c", "a.b:c")}),
        ("from a import b as c, d", {("c", "a:b"), ("d", "a:d")}),
        ("from . import a", {("a", ".:a")}),
        ("from ..a import b", {("b", "..a:b")}),
    ],
)
def test_what_an_import_makes_usable(text, expected):
    (node,) = ast.parse(text).body
    assert imports._bindings(node) == expected


def test_a_place_that_is_not_there_is_an_error_that_says_so():
    with pytest.raises(PlacementError, match=r"^no such argument there$"):
        argument.moved_changes("f(a, b)", 0, 7, 2)
    with pytest.raises(PlacementError, match=r"^no such argument there$"):
        argument.moved_changes("f(a, b)", 0, 7, 0)
    for text in ("(1)", "{1]", "", "[1}"):
        with pytest.raises((PlacementError, SyntaxError)):
            argument.entry_changes(text, 0, len(text), "key", "1")
    moved = argument.moved_changes("f(a, b, c)", 0, 10, 2)
    assert [one.content for one in moved] == ["c", "a", "b"]


# -- chains, settings and members --------------------------------------------------------------------


@pytest.mark.parametrize("written", ["min(a, b)", "2 * a", "a[0]"])
def test_a_threshold_that_is_computed_is_not_copied(written):
    scene = Scene(f"clip_grad_norm_(net, {written})")
    assert clipcall.threshold_text(scene.clip(FRESH, threshold=0.5), docket(scene)) == ""


LINKS = sorted(
    name
    for name, one in KNOWLEDGE.classes.items()
    if one.transforms is not None and one.transforms.does == "clip"
)


@pytest.mark.parametrize("name", LINKS)
def test_a_link_of_a_chain_is_known_by_its_last_name(name):
    scene = Scene(f"chain({name}(0.5), adam())")
    clip = scene.clip(FRESH, text="chain")
    chain = clip.call
    clip.call = chain.arguments[0]
    clip.told = Told(clip.site, chain, Clipping(()))
    assert clipcall.clip_rule(clip, KNOWLEDGE) is not None


@pytest.mark.parametrize(
    ("filename", "first", "moves_it"),
    [(FILE, False, True), ("/project/other.py", False, False), (FILE, True, False)],
)
def test_a_clip_moves_to_the_front_of_the_chain_that_stands_in_its_file(filename, first, moves_it):
    scene = Scene("chain(adam(), clip(0.5))\nchain(adam(), sgd())")
    clip = scene.clip(FRESH, text="clip(")
    chain = scene.call("chain", 1 if first else 0)
    clip.call = scene.call("chain").arguments[1]
    clip.told = Told(Site(filename, clip.site.span), chain, Clipping(()))
    found = chained.to_the_front(clip, docket(scene))
    assert (found is not None) is moves_it
    if found is not None:
        assert found.actions == (MoveFirst(chain.span, 1),)


def test_the_names_around_a_call_are_those_of_its_module_and_of_its_function():
    scene = Scene("a = 1\ndef f(b):\n    c = 2\n    fit()\ndef g():\n    d = 3\n")
    names = attach._names(scene.body, scene.site("fit()"))
    assert {"a", "f", "g", "c"} <= names
    assert "d" not in names


@pytest.mark.parametrize(
    ("key", "value", "taken", "expected"),
    [
        ("main:args.clip == 'norm'", "none", True, '"norm"'),
        ("main:args.clip == 'none'", "none", False, None),
        ("main:args.clip", False, True, "True"),
        ("main:args.clip", True, False, "False"),
        ("main:args.clip > 0", 0.0, True, "1.0"),
        ("main:args.clip > 0", "0", True, '"1.0"'),
        ("main:args.clip", "off", True, None),
    ],
)
def test_the_default_that_turns_a_guard_round(key, value, taken, expected):
    setting = Written("clip", value, ("o.py", 1))
    guard = Guard(key, frozenset({"args"}), taken, usual=not taken, settings=(setting,))
    found = defaults._of_guard(guard, docket(Scene("x()")))
    assert (found and found.text) == expected
    assert defaults._of_guard(replace(guard, settings=()), docket(Scene("x()"))) is None


@pytest.mark.parametrize(
    ("row", "nearest"),
    [
        (1, (1, 0)),
        (4, (2, 0)),
        (6, (3, 1)),
        (10, (1, 1)),
        (14, (5, 1)),
        (16, (4, 2)),
        (20, (0, 2)),
        (30, (10, 2)),
    ],
)
def test_the_nearest_clip_may_stand_above_or_below(row, nearest):
    some = [clipcall._Sibling(at, number, None) for number, at in enumerate((2, 9, 20))]
    assert clipcall._nearest(some, row, None, together=False) == nearest
    assert clipcall._nearest(some, row, None, together=True) is None


HELD = """
class Own:
    clip = None
    def __init__(self, other, clip=None):
        self.clip = None
        {first}
    def later(self, clip):
        {again}
    @staticmethod
    def apart():
        x = 1
"""


@pytest.mark.parametrize(
    ("first", "again", "state"),
    [
        ("pass", "pass", False),
        ("pass", "self.clip = clip", False),
        ("pass", "self.clip = other", True),
        ("pass", "self.clip = clip()", True),
        ("pass", "self.clip = self.other = 1.0", True),
        ("pass", "self.clip *= 2", True),
        ("pass", "if clip:\n            self.clip = 1.0", True),
        ("pass", "clip.clip = 1.0", False),
        ("pass", "self.other = clip()", False),
        ("pass", "clip = self.other()", False),
        ("self.clip = clip", "pass", True),
        ("other.clip = 1.0", "pass", False),
    ],
)
def test_an_attribute_that_its_class_computes_again_is_no_option(first, again, state):
    case = docket(Scene(HELD.format(first=first, again=again)))
    assert defaults._is_state(Written("clip", None, (FILE, 4)), case) is state
    assert not defaults._is_state(Written("clip", None, (FILE, 2)), case)  # a field, not what a method sets
    guard = replace(ON, settings=(Written("clip", None, (FILE, 4)),))
    assert (defaults._of_guard(guard, case) is None) is state


def test_an_attribute_over_several_rows_and_one_outside_of_classes():
    source = "class Own:\n    def __init__(self):\n        self.clip = (\n            None\n        )\n    def f(self):\n        self.clip = g()\n"
    case = docket(Scene(f"{source}clip = None\nclip = g()\n"))
    assert [defaults._is_state(Written("clip", None, (FILE, row)), case) for row in (3, 4, 5, 8, 99)] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("f(getattr(args, 'clip'))", {"args", "clip", "f", "getattr"}),
        ("f(args.get('clip', 'other', 'third'))", {"args", "clip", "f", "get", "other"}),
        ("f(args.pop('clip'))", {"args", "clip", "f", "pop"}),
        ("f(args['clip'])", {"args", "clip", "f"}),
        ("f(args.set('clip'))", {"args", "f", "set"}),
    ],
)
def test_what_a_file_reads_by_name_or_key(source, names):
    assert defaults._read_in([FILE], docket(Scene(source))) == names


@pytest.mark.parametrize(
    ("default", "text"), [(None, "1.0"), (0, "1.0"), (1e9, "1.0"), (0.5, None), (True, None), ("x", None)]
)
def test_a_threshold_that_is_none_by_default_gets_a_number(default, text):
    scene = Scene("clip_grad_norm_(net, args.clip)\noptimizer.step()")
    clip = scene.clip(FRESH, threshold=Option("clip", Literal(default, ("o.py", 1)), ("o.py", 1)))
    found = list(defaults._thresholds({clip.site}, docket(scene)))
    assert [one.text for one in found] == ([] if text is None else [text])
    assert [one.written.name for one in found] == ["clip"] * len(found)


@pytest.mark.parametrize("outer", ["", "an obstacle"])
@pytest.mark.parametrize("inner", ["", "an obstacle"])
@pytest.mark.parametrize("filename", [FILE, "/project/other.py"])
def test_a_link_is_put_where_nothing_stands_against_it(outer, inner, filename):
    scene = Scene("fit(chain(adam()))")
    step = scene.step(FRESH, text="fit")
    link = Clipping((), first=LINKS[0])
    within = Told(Site(filename, step.site.span), step.call.arguments[0], link, obstacle=inner)
    step.told = Told(step.site, step.call, link, obstacle=outer, inner=within)
    found = chained.to_clip(step, docket(scene))
    assert (found is not None) is (not outer and not inner and filename == FILE)
