"""Names across files: the same model, helper or optimizer, however a script comes by it."""

from __future__ import annotations

import pytest
from flowing import SETUP, sightings

from clipcheck.protocol import Phase

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8)
    def forward(self, x):
        return self.rnn(x)[0]
"""
TRAIN = """
model = {called}()
optimizer = torch.optim.Adam(model.parameters())
for x in data:
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()
"""
BACK = "model(x)[0].sum().backward()\n"
CLIP = "def clip(net):\n    clip_grad_norm_(net.parameters(), 1.0)\n"

# How the model is imported, the files beside the script, and what the script calls it.
MODELS = {
    "from import": ("from models import Net", {"models.py": NET}, "Net"),
    "import": ("import models", {"models.py": NET}, "models.Net"),
    "import as": ("import models as m", {"models.py": NET}, "m.Net"),
    "from import as": ("from models import Net as N", {"models.py": NET}, "N"),
    "import a.b": ("import zoo.rnn", {"zoo/__init__.py": "", "zoo/rnn.py": NET}, "zoo.rnn.Net"),
    "import a.b as c": ("import zoo.rnn as r", {"zoo/__init__.py": "", "zoo/rnn.py": NET}, "r.Net"),
    "no __init__": ("import zoo.rnn", {"zoo/rnn.py": NET}, "zoo.rnn.Net"),
    "from package import module": ("from zoo import rnn", {"zoo/rnn.py": NET}, "rnn.Net"),
    "from a.b import": ("from zoo.rnn import Net", {"zoo/rnn.py": NET}, "Net"),
    "re-export": (
        "from zoo import Net",
        {"zoo/__init__.py": "from .rnn import Net\n", "zoo/rnn.py": NET},
        "Net",
    ),
    "re-export under another name": (
        "from zoo import Best",
        {"zoo/__init__.py": "from zoo.rnn import Net as Best\n", "zoo/rnn.py": NET},
        "Best",
    ),
    "re-export of a re-export": (
        "from zoo import Net",
        {
            "zoo/__init__.py": "from .nets import Net\n",
            "zoo/nets/__init__.py": "from .rnn import *\n",
            "zoo/nets/rnn.py": NET,
        },
        "Net",
    ),
    "star": ("from models import *", {"models.py": NET}, "Net"),
    "star through a package": (
        "from zoo import *",
        {"zoo/__init__.py": "from .rnn import *\n", "zoo/rnn.py": NET},
        "Net",
    ),
    "src layout": ("from zoo.rnn import Net", {"src/zoo/__init__.py": "", "src/zoo/rnn.py": NET}, "Net"),
    "bare name in src": ("from models import Net", {"src/models.py": NET}, "Net"),
    "package under src": (
        "import zoo",
        {"src/zoo/__init__.py": "from .rnn import Net\n", "src/zoo/rnn.py": NET},
        "zoo.Net",
    ),
    "a factory": (
        "from models import make",
        {"models.py": NET + "def make():\n    return Net()\n"},
        "make",
    ),
    "a registry": (
        "from models import NETS",
        {"models.py": NET + "NETS = {'net': Net}\n"},
        "NETS['net']",
    ),
    "a subclass elsewhere": (
        "from models import Big",
        {"base.py": NET, "models.py": "from base import Net\nclass Big(Net):\n    pass\n"},
        "Big",
    ),
    "in a try": (
        "try:\n    from models import Net\nexcept ImportError:\n    raise",
        {"models.py": NET},
        "Net",
    ),
}


@pytest.mark.parametrize(("statement", "files", "called"), MODELS.values(), ids=MODELS)
def test_a_model(statement, files, called):
    seen = sightings(files, train=statement + TRAIN.format(called=called))
    assert len(seen.steps()) == 1
    assert seen.models() == {"Big" if called == "Big" else "Net"}
    assert seen.names() == {"model.parameters()"}
    assert seen.codes() == {"CLP101"}


@pytest.mark.parametrize(
    ("statement", "files", "called"),
    [
        pytest.param("from tools import clip", {"tools.py": CLIP}, "clip", id="sibling"),
        pytest.param("import tools", {"tools.py": CLIP}, "tools.clip", id="module"),
        pytest.param("from .tools import clip", {"tools.py": CLIP}, "clip", id="relative"),
        pytest.param("from . import tools", {"tools.py": CLIP}, "tools.clip", id="relative module"),
        pytest.param("from tools import *", {"tools.py": CLIP}, "clip", id="star"),
        pytest.param("from utils.tools import clip", {"utils/tools.py": CLIP}, "clip", id="package"),
        pytest.param("import utils.tools", {"utils/tools.py": CLIP}, "utils.tools.clip", id="dotted"),
        pytest.param(
            "from utils import clip",
            {"utils/__init__.py": "from .tools import clip", "utils/tools.py": CLIP},
            "clip",
            id="re-export",
        ),
    ],
)
def test_a_helper_that_clips(statement, files, called):
    seen = sightings(files, train=f"{statement}\n{SETUP}{BACK}{called}(model)\noptimizer.step()\n")
    assert seen.codes() == set()
    assert seen.phases() == {Phase.CLIPPED}


@pytest.mark.parametrize(
    "statement",
    [
        "try:\n    from models import Net\nexcept ImportError:\n    Net = None",
        "Net = None\nif large:\n    from models import Net",
    ],
)
def test_an_import_on_one_of_two_paths(statement):
    assert sightings({"models.py": NET}, train=statement + TRAIN.format(called="Net")).models() == {"Net"}


def test_a_late_import_inside_a_function():
    seen = sightings(
        {"tools.py": CLIP},
        train=f"{SETUP}def main():\n    from tools import clip\n    {BACK}    clip(model)\n    optimizer.step()\nmain()\n",
    )
    assert seen.phases() == {Phase.CLIPPED}


def test_two_dots():
    seen = sightings(
        {
            "pkg/tools.py": CLIP,
            "pkg/run/train.py": f"from ..tools import clip\n{SETUP}{BACK}clip(model)\noptimizer.step()\n",
        }
    )
    assert seen.phases() == {Phase.CLIPPED}


def test_a_script_beside_its_helpers_and_a_namesake_elsewhere():
    bare = "def clip(net):\n    pass\n"
    files = {
        f"{name}/train.py": f"from tools import clip\n{SETUP}{BACK}clip(model)\noptimizer.step()\n"
        for name in "ab"
    }
    seen = sightings({**files, "a/tools.py": CLIP, "b/tools.py": bare})
    assert [seen.phases(number) for number in (0, 1)] == [{Phase.CLIPPED}, {Phase.FRESH}]


def test_an_optimizer_made_in_another_file():
    seen = sightings(
        {"setup.py": SETUP}, train=f"from setup import model, optimizer\n{BACK}optimizer.step()\n"
    )
    assert seen.models() == {"LSTM"}
    assert seen.codes() == {"CLP101"}


def test_options_parsed_in_another_file():
    options = (
        "import argparse\ndef get_args():\n    p = argparse.ArgumentParser()\n"
        "    p.add_argument('--clip', type=float, default=0.0)\n    return p.parse_args()\n"
    )
    seen = sightings(
        {"options.py": options},
        train=f"from options import get_args\nargs = get_args()\n{SETUP}{BACK}"
        "if args.clip > 0:\n    clip_grad_norm_(model.parameters(), args.clip)\noptimizer.step()\n",
    )
    assert {path.code: path.unusual for path in seen.paths()} == {"CLP101": False, "": True}


def test_circular_imports():
    seen = sightings(
        one="import two\nfrom two import helper\ndef clip(net):\n    clip_grad_norm_(net.parameters(), 1.0)\n",
        two=f"import one\nfrom one import clip\n{SETUP}def helper():\n    {BACK}    clip(model)\n    optimizer.step()\nhelper()\n",
    )
    assert seen.phases() == {Phase.CLIPPED}


def test_a_module_that_imports_itself():
    seen = sightings(train=f"import train\nfrom train import optimizer\n{SETUP}{BACK}optimizer.step()\n")
    assert seen.codes() == {"CLP101"}


def test_a_name_imported_in_a_circle():
    seen = sightings(
        one="from two import thing\n",
        two="from one import thing\n",
        train=f"from one import thing\n{SETUP}{BACK}thing()\noptimizer.step()\n",
    )
    assert len(seen.steps()) == 1


def test_a_library_of_the_same_name_as_a_file_is_the_library():
    seen = sightings({"torch/optim.py": "Adam = None\n"}, train=f"{SETUP}{BACK}optimizer.step()\n")
    assert seen.models() == {"LSTM"}


def test_a_module_that_is_not_there_is_unknown():
    seen = sightings(train=f"from absent import clip\n{SETUP}{BACK}clip(model)\noptimizer.step()\n")
    assert seen.codes() == set()


def test_importing_a_module_runs_its_events_for_nobody_else():
    seen = sightings(
        {"other.py": f"{SETUP}{BACK}clip_grad_norm_(model.parameters(), 1.0)\n"},
        train=f"from other import model, optimizer\n{BACK}optimizer.step()\n",
    )
    assert seen.phases() == {Phase.FRESH}


def test_what_stands_under_the_script_guard_is_not_run_by_an_import():
    seen = sightings(
        tools="def go(opt):\n    opt.step()\nif __name__ == '__main__':\n    stop()\n",
        train=f"from tools import go\n{SETUP}{BACK}clip_grad_norm_(model.parameters(), 1.0)\ngo(optimizer)\n",
    )
    assert seen.phases() == {Phase.CLIPPED}
