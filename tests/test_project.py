"""Which file a module name means, and which functions may bring in an event."""

from __future__ import annotations

import pytest
from flowing import KNOWLEDGE, ROOT, project

from clipcheck import facts
from clipcheck.extract import extract_text
from clipcheck.findings import Failure
from clipcheck.modules import segments
from clipcheck.project import Project


def module(files: list[str], importer: str, name: str, level: int = 0) -> str | None:
    found = project(dict.fromkeys(files, "")).module(ROOT + importer, name, level)
    return found.removeprefix(ROOT) if found is not None else None


def functions(text: str, **others: str) -> tuple[Project, dict[str, facts.Function]]:
    """A project, read in full, and the functions and methods of its first file by name."""
    made = project({"train.py": text, **{f"{name}.py": other for name, other in others.items()}})
    body = made.facts(ROOT + "train.py")
    assert body is not None
    for name in others:
        made.facts(f"{ROOT}{name}.py")
    found: dict[str, facts.Function] = {}
    for statement in body.body:
        inside = statement.body if isinstance(statement, facts.Class) else (statement,)
        found |= {one.name: one for one in inside if isinstance(one, facts.Function)}
    return made, found


# -- nothing is meant --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "importer", "name", "level"),
    [
        pytest.param(["train.py"], "train.py", "torch", 0, id="not of the project"),
        pytest.param(["train.py"], "train.py", "train", 0, id="itself"),
        pytest.param(["a/models.py"], "b/train.py", "models", 0, id="a namesake off the path"),
        pytest.param(["zoo/rnn.py"], "train.py", "rnn", 0, id="inside a package"),
        pytest.param(["a/rnn.py"], "train.py", "zoo.rnn", 0, id="another package"),
        pytest.param(["models.py"], "pkg/train.py", "models", 1, id="relative, but above"),
        pytest.param(["pkg/sub/models.py"], "pkg/train.py", "models", 1, id="relative, but below"),
        pytest.param(["models.py"], "train.py", "models", 9, id="above the root"),
        pytest.param(["models.py"], "train.py", "", 0, id="no name"),
        pytest.param(["my_models.py"], "train.py", "models", 0, id="the end of a name"),
    ],
)
def test_no_file(files, importer, name, level):
    assert module(files, importer, name, level) is None


# -- one is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "importer", "name", "level", "expected"),
    [
        pytest.param(["models.py"], "train.py", "models", 0, "models.py", id="beside"),
        pytest.param(["models.py"], "scripts/run/train.py", "models", 0, "models.py", id="above"),
        pytest.param(["src/models.py"], "train.py", "models", 0, "src/models.py", id="src"),
        pytest.param(["lib/models.py"], "train.py", "models", 0, "lib/models.py", id="lib"),
        pytest.param(["zoo/__init__.py"], "train.py", "zoo", 0, "zoo/__init__.py", id="package"),
        pytest.param(["src/zoo/__init__.py"], "t/train.py", "zoo", 0, "src/zoo/__init__.py", id="package in src"),
        pytest.param(["zoo/rnn.py"], "train.py", "zoo.rnn", 0, "zoo/rnn.py", id="dotted"),
        pytest.param(["a/b/zoo/rnn.py"], "train.py", "zoo.rnn", 0, "a/b/zoo/rnn.py", id="dotted, anywhere"),
        pytest.param(["zoo/rnn/__init__.py"], "train.py", "zoo.rnn", 0, "zoo/rnn/__init__.py", id="dotted package"),
        pytest.param(["pkg/models.py"], "pkg/train.py", "models", 1, "pkg/models.py", id="one dot"),
        pytest.param(["models.py"], "pkg/train.py", "models", 2, "models.py", id="two dots"),
        pytest.param(["pkg/__init__.py"], "pkg/train.py", "", 1, "pkg/__init__.py", id="the package itself"),
        pytest.param(["pkg/a/b.py"], "pkg/train.py", "a.b", 1, "pkg/a/b.py", id="relative and dotted"),
        pytest.param(["pkg/x.py"], "pkg/__init__.py", "x", 1, "pkg/x.py", id="from __init__"),
        pytest.param(["gui.pyw"], "train.py", "gui", 0, "gui.pyw", id="pyw"),
        pytest.param(
            ["a/models.py", "b/models.py"], "b/train.py", "models", 0, "b/models.py", id="the one beside"
        ),
        pytest.param(
            ["models.py", "b/models.py"], "b/train.py", "models", 0, "b/models.py", id="the nearest on the way up"
        ),
        pytest.param(
            ["a/zoo/rnn.py", "b/zoo/rnn.py"], "b/c/train.py", "zoo.rnn", 0, "b/zoo/rnn.py", id="the nearest package"
        ),
        pytest.param(
            ["zoo/rnn.py", "old/copy/zoo/rnn.py"], "train.py", "zoo.rnn", 0, "zoo/rnn.py", id="the shorter path"
        ),
        pytest.param(
            ["a/models.py", "b/models.py"], "a/x.py", "models", 1, "a/models.py", id="a relative one is exact"
        ),
    ],
)  # fmt: skip
def test_a_file(files, importer, name, level, expected):
    assert module(files, importer, name, level) == expected
    assert module(files[::-1], importer, name, level) == expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [("/a/b.py", ["", "a", "b"]), ("/a/__init__.py", ["", "a"]), ("/a/b.c.py", ["", "a", "b.c"])],
)
def test_segments(filename, expected):
    assert segments(filename) == expected


# -- facts -------------------------------------------------------------------------------------------


def test_facts_are_read_when_asked_for_and_once():
    asked: list[str] = []

    def read(filename: str) -> facts.ModuleFacts | Failure:
        asked.append(filename)
        return extract_text("(" if "bad" in filename else "a = 1\n", filename)

    made = Project(["/p/a.py", "/p/bad.py", "/p/c.py"], read, KNOWLEDGE)
    assert asked == []
    assert made.facts("/p/c.py") == made.facts("/p/c.py")
    assert made.facts("/p/bad.py") is None
    assert made.facts("/p/a.py") is not None
    assert asked == ["/p/c.py", "/p/bad.py", "/p/a.py"]
    assert [name for name, _ in made.loaded()] == ["/p/a.py", "/p/c.py"]
    assert [failure.filename for failure in made.failures()] == ["/p/bad.py"]


# -- what matters ------------------------------------------------------------------------------------

MATTERING = """
def harmless():
    print(1)
def clips():
    clip_gradients(model)
def by_hand():
    p.grad = p.grad * 2
def steps():
    optimizer.step()
def leads():
    steps()
def leads_further():
    leads()
class Trainer:
    def __init__(self):
        optimizer.zero_grad()
    def method(self):
        leads()
def makes():
    Trainer()
class Net:
    def forward(self, x):
        loss.backward()
def computes():
    net.forward(x)
"""


@pytest.mark.parametrize(
    ("name", "matters", "decides"),
    [
        ("harmless", False, False),
        ("computes", False, False),  # a forward that does a backward is not followed through every model
        ("forward", True, False),
        ("by_hand", True, False),
        ("clips", True, True),
        ("steps", True, True),
        ("leads", True, False),
        ("leads_further", True, False),
        ("makes", True, False),
        ("method", True, False),
    ],
)
def test_functions_that_matter(name, matters, decides):
    made, found = functions(MATTERING)
    assert made.matters(found[name]) is matters
    assert made.decides(found[name]) is decides


def test_what_matters_grows_with_the_files_read():
    made = project({"train.py": "def go():\n    update()\n", "tools.py": "def update():\n    opt.step()\n"})
    body = made.facts(ROOT + "train.py")
    assert body is not None
    go = body.body[0]
    assert isinstance(go, facts.Function)
    assert not made.matters(go)
    made.facts(ROOT + "tools.py")
    assert made.matters(go)


def test_a_name_that_seldom_leads_to_an_event_does_not_matter():
    common = {f"m{number}": "def run():\n    print()\n" for number in range(9)}
    made, found = functions("def go():\n    run()\n", tools="def run():\n    opt.step()\n", **common)
    assert not made.matters(found["go"])


def test_functions_inside_blocks_count():
    made, found = functions(
        "def go():\n    update()\n",
        tools="try:\n    if fast:\n        with x:\n            def update():\n                opt.step()\nexcept E:\n    pass\n",
    )
    assert made.matters(found["go"])
