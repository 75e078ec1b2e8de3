"""Calls: functions, closures, methods and classes of the project, and code that is not known."""

from __future__ import annotations

import pytest
from flowing import SETUP, sightings, trained

from clipcheck.protocol import Phase

BACK = "model(x)[0].sum().backward()"
CLIP = "clip_grad_norm_(model.parameters(), 1.0)"
BASE = """
class Trainer:
    def __init__(self):
        self.model = nn.LSTM(4, 8)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def fit(self, data):
        for x in data:
            self.optimizer.zero_grad()
            self.model(x)[0].sum().backward()
            self.before_step()
            self.optimizer.step()

    def before_step(self):
        pass
"""
CLIPPING = """
    def before_step(self):
        clip_grad_norm_(self.model.parameters(), 1.0)
"""

SILENT = {
    "a helper that clips": f"""
        def clip(net):
            clip_grad_norm_(net.parameters(), 1.0)
        {BACK}
        clip(model)
        optimizer.step()
        """,
    "a helper that clips and steps": f"""
        def update(net, opt):
            clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            opt.zero_grad()
        for x in data:
            {BACK}
            update(model, optimizer)
        """,
    "a helper that does the backward": f"""
        def back(loss):
            optimizer.zero_grad()
            loss.backward()
        back(model(x)[0].sum())
        {CLIP}
        optimizer.step()
        """,
    "a helper in a helper": f"""
        def inner():
            {CLIP}
        def outer():
            inner()
        {BACK}
        outer()
        optimizer.step()
        """,
    "a nested function": f"""
        def train():
            def finish():
                {CLIP}
                optimizer.step()
            optimizer.zero_grad()
            {BACK}
            finish()
        train()
        """,
    "a helper given by keyword": f"""
        def update(*, opt, net, norm=1.0):
            clip_grad_norm_(net.parameters(), norm)
            opt.step()
        {BACK}
        update(opt=optimizer, net=model)
        """,
    "a helper with *args and **kwargs": f"""
        def update(net, opt, norm):
            clip_grad_norm_(net.parameters(), norm)
            opt.step()
        def through(*args, **kwargs):
            update(*args, **kwargs)
        {BACK}
        through(model, optimizer, norm=1.0)
        """,
    "functools.partial": f"""
        from functools import partial
        def clip(net, norm):
            clip_grad_norm_(net.parameters(), norm)
        clip_model = partial(clip, model)
        {BACK}
        clip_model(1.0)
        optimizer.step()
        """,
    "a lambda that clips": f"""
        clip = lambda: {CLIP}
        {BACK}
        clip()
        optimizer.step()
        """,
    "a helper with a default": f"""
        def update(norm=1.0, net=model, opt=optimizer):
            clip_grad_norm_(net.parameters(), norm)
            opt.step()
        {BACK}
        update()
        """,
    "SGD with a closure": """
        def closure():
            optimizer.zero_grad()
            loss = model(x)[0].sum()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            return loss
        optimizer.step(closure)
        """,
    "closure by keyword": """
        def closure():
            model(x)[0].sum().backward()
            clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(closure=closure)
        """,
    "a lambda closure": """
        def compute(x):
            optimizer.zero_grad()
            loss = model(x)[0].sum()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            return loss
        for x in data:
            optimizer.step(lambda: compute(x))
        """,
    "recursion": f"""
        def descend(depth):
            if depth == 0:
                {CLIP}
                optimizer.step()
                return
            descend(depth - 1)
        {BACK}
        descend(3)
        """,
    "mutual recursion": f"""
        def even(n):
            return odd(n - 1)
        def odd(n):
            if n:
                even(n - 1)
            {CLIP}
            optimizer.step()
        {BACK}
        even(8)
        """,
    "a subclass that clips": BASE + "class Mine(Trainer):" + CLIPPING + "Mine().fit(data)\n",
    "clipping in a class between": BASE
    + "class Base2(Trainer):"
    + CLIPPING
    + "class Mine(Base2):\n    pass\nMine().fit(data)\n",
    "super": """
        class Base:
            def finish(self):
                clip_grad_norm_(self.model.parameters(), 1.0)
        class Mine(Base):
            def __init__(self):
                super().__init__()
                self.model = nn.LSTM(2, 2)
                self.optimizer = torch.optim.Adam(self.model.parameters())
            def finish(self):
                super().finish()
                self.optimizer.step()
            def fit(self, x):
                self.optimizer.zero_grad()
                self.model(x)[0].sum().backward()
                self.finish()
        Mine().fit(x)
        """,
    "a property": """
        class Trainer:
            def __init__(self):
                self._model = nn.LSTM(2, 2)
                self.optimizer = torch.optim.Adam(self.model.parameters())
            @property
            def model(self):
                return self._model
            def fit(self, x):
                self.model(x)[0].sum().backward()
                clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
        Trainer().fit(x)
        """,
    "a static method and a class method": """
        class Tools:
            @staticmethod
            def clip(net):
                clip_grad_norm_(net.parameters(), 1.0)
            @classmethod
            def update(cls, net, opt):
                cls.clip(net)
                opt.step()
        model(x)[0].sum().backward()
        Tools.update(model, optimizer)
        """,
    "an instance that is called": """
        class Update:
            def __call__(self):
                clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
        update = Update()
        model(x)[0].sum().backward()
        update()
        """,
    "a method bound to a name": """
        class Tools:
            def clip(self):
                clip_grad_norm_(model.parameters(), 1.0)
        clip = Tools().clip
        model(x)[0].sum().backward()
        clip()
        optimizer.step()
        """,
    "a global set in a function": f"""
        opt = None
        def setup():
            global opt
            opt = torch.optim.Adam(model.parameters())
        setup()
        {BACK}
        {CLIP}
        opt.step()
        """,
    "a nonlocal set in a function": f"""
        def main():
            opt = None
            def setup():
                nonlocal opt
                opt = torch.optim.Adam(model.parameters())
            setup()
            {BACK}
            {CLIP}
            opt.step()
        main()
        """,
    "a factory": """
        def make():
            net = nn.LSTM(2, 2)
            return net, torch.optim.Adam(net.parameters())
        net, opt = make()
        net(x)[0].sum().backward()
        clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        """,
    "a generator": f"""
        def batches():
            for x in data:
                yield x
        for x in batches():
            optimizer.zero_grad()
            {BACK}
            {CLIP}
            optimizer.step()
        """,
}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_silent(program):
    seen = trained(program)
    assert len(seen.steps()) == 1
    assert seen.codes() == set()
    assert Phase.CLIPPED in seen.phases()


# -- guilty ------------------------------------------------------------------------------------------

GUILTY = {
    "a helper that only steps": f"""
        def update(opt):
            opt.step()
        {BACK}
        update(optimizer)
        """,
    "a helper that clips after the step": f"""
        def finish():
            {CLIP}
        {BACK}
        optimizer.step()
        finish()
        """,
    "a helper that returns before it clips": f"""
        def clip():
            if not enabled:
                return
            {CLIP}
        {BACK}
        clip()
        optimizer.step()
        """,
    "a bare closure": """
        def closure():
            optimizer.zero_grad()
            loss = model(x)[0].sum()
            loss.backward()
            return loss
        optimizer.step(closure)
        """,
    "the base class does not clip": BASE + "Trainer().fit(data)\n",
    "a helper nobody calls": """
        def train():
            for x in data:
                optimizer.zero_grad()
                model(x)[0].sum().backward()
                optimizer.step()
        """,
    "a helper that only steps, and that nobody calls": "def update(opt):\n    opt.step()\n",
}


@pytest.mark.parametrize("program", GUILTY.values(), ids=GUILTY)
def test_guilty(program):
    assert "CLP101" in trained(program).codes()


LBFGS = """
lbfgs = torch.optim.LBFGS(model.parameters())
def closure():
    lbfgs.zero_grad()
    loss = model(x)[0].sum()
    loss.backward()
    clip_grad_norm_(model.parameters(), 1.0)
    return loss
for _ in range(10):
    lbfgs.step(closure)
"""


def test_lbfgs_with_a_closure_that_clips():
    seen = trained(LBFGS, setup="model = nn.LSTM(4, 8)\n")
    assert (seen.codes(), seen.phases()) == (set(), {Phase.CLIPPED})
    assert seen.steps()[0].contexts[0].has_closure


def test_zero_grad_empties_the_gradients_of_another_optimizer_over_the_same_model():
    assert trained(LBFGS).codes() == set()


def test_closures():
    bare = trained(GUILTY["a bare closure"]).steps()[0].contexts[0]
    assert bare.has_closure
    assert bare.closure is not None
    assert bare.closure.row == 4 + 2 + 1 + 5  # its return: imports, set-up, the empty line, the fifth row


PLACES = {
    "for": "for _ in batches:\n    {}\n    {}",
    "while": "while more():\n    {}\n    {}",
    "else of a loop": "for _ in batches:\n    pass\nelse:\n    {}\n    {}",
    "else": "if quick():\n    pass\nelse:\n    {}\n    {}",
    "handler": "try:\n    fast()\nexcept ImportError:\n    {}\n    {}",
    "finally": "try:\n    fast()\nfinally:\n    {}\n    {}",
    "case": "match kind():\n    case 1:\n        {}\n        {}",
}


@pytest.mark.parametrize("called", ["optimizer.step(work)", "work()\noptimizer.step()"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_functions_are_found_wherever_they_are_defined(place, called):
    indent = " " * (8 if "case" in place else 4)
    work = f"def work():\n{indent}    loss_of(model(x)).backward()"
    seen = trained(place.format(work, called.replace("\n", "\n" + indent)))
    assert seen.codes() == {"CLP101"}


def test_where_a_lambda_closure_would_be_clipped_is_not_said():
    context = trained(SILENT["a lambda closure"]).steps()[0].contexts[0]
    assert (context.has_closure, context.closure) == (True, None)


def test_a_closure_that_is_not_known_puts_the_step_in_doubt():
    seen = trained("optimizer.step(somewhere.closure)")
    assert all(path.gradients.unsure for path in seen.paths())
    assert seen.steps()[0].contexts[0].has_closure


def test_no_closure():
    context = trained(f"{BACK}\noptimizer.step(None)").steps()[0].contexts[0]
    assert (context.has_closure, context.closure) == (False, None)


# -- classes -----------------------------------------------------------------------------------------


def test_a_step_in_a_base_class_is_judged_for_each_subclass():
    seen = sightings(
        train=BASE + "class One(Trainer):" + CLIPPING + "class Two(Trainer):\n    name = 'two'\n"
    )
    assert len(seen.steps()) == 1
    assert {Phase.FRESH, Phase.CLIPPED} <= seen.phases()


def test_only_the_subclass_that_clips_is_there():
    seen = sightings(train=BASE + "class One(Trainer):" + CLIPPING)
    assert seen.phases() == {Phase.CLIPPED}


def test_a_class_that_inherits_from_itself():
    seen = trained(f"class Net(Net):\n    pass\nnet = Net()\nnet.fit()\n{BACK}\noptimizer.step()\n")
    assert seen.codes() == {"CLP101"}


def test_classes_that_inherit_from_each_other():
    seen = trained(f"class A(B):\n    pass\nclass B(A):\n    pass\nB().x\n{BACK}\noptimizer.step()\n")
    assert seen.codes() == {"CLP101"}


def test_a_method_without_callers_starts_with_gradients_that_nothing_is_known_of():
    seen = sightings(
        train="""
        class Agent:
            def __init__(self):
                self.net = nn.LSTM(2, 2)
                self.optimizer = torch.optim.Adam(self.net.parameters())

            def learn(self):
                self.optimizer.step()
        """
    )
    assert seen.phases() == {Phase.ENTRY}
    assert seen.models() == {"LSTM"}
    assert seen.names() == {"self.net.parameters()"}


def test_an_optimizer_class_of_the_project_steps():
    seen = trained(
        f"""
        class Mine(torch.optim.Optimizer):
            def step(self, closure=None):
                for group in self.param_groups:
                    pass
        mine = Mine(model.parameters())
        {BACK}
        mine.step()
        """
    )
    assert "CLP101" in seen.codes()


def test_an_optimizer_class_that_clips_inside_is_no_bare_step():
    seen = trained(
        f"""
        class Mine(torch.optim.Adam):
            def step(self, closure=None):
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                super().step(closure)
        mine = Mine(model.parameters())
        {BACK}
        mine.step()
        """
    )
    assert seen.codes() == set()


TWICE = """
{head}
    {first}
{other}
    {first}
"""
FUNCTION = "def train(optimizer):\n        optimizer.step()"
METHOD = "class Agent:\n        def train(self):\n            self.optimizer.step()"


@pytest.mark.xfail(
    strict=True, reason="interpreter.py _functions yields plain functions and classes of a module, no Several"
)
@pytest.mark.parametrize("first", [FUNCTION, METHOD], ids=["function", "class"])
@pytest.mark.parametrize(
    ("head", "other"), [("if fast:", "else:"), ("try:", "except ImportError:")], ids=["if", "try"]
)
def test_a_step_defined_on_two_paths_and_called_by_nobody_is_seen(head, other, first):
    assert sightings(train=TWICE.format(head=head, other=other, first=first)).steps()


@pytest.mark.xfail(
    strict=True, reason="interpreter.py _functions does not look into classes in classes or functions"
)
@pytest.mark.parametrize("outer", ["class Outer:", "def make():"])
def test_a_step_in_an_inner_class_that_nobody_makes_is_seen(outer):
    assert sightings(train=f"{outer}\n    {METHOD}\n").steps()


# -- contexts ----------------------------------------------------------------------------------------


def test_each_caller_is_a_context_of_its_own():
    seen = trained(
        f"""
        def update(opt):
            opt.step()
        other = nn.GRU(2, 2)
        second = torch.optim.SGD(other.parameters(), 1.0)
        {BACK}
        {CLIP}
        update(optimizer)
        other(x)[0].sum().backward()
        update(second)
        """
    )
    (step,) = seen.steps()
    assert len(step.contexts) == 2
    assert seen.models() == {"LSTM", "GRU"}
    codes = {
        next(iter(one.models)).name: {path.code for path in one.paths}  # type: ignore[attr-defined]
        for one in step.contexts
    }
    assert codes == {"LSTM": {""}, "GRU": {"CLP101"}}


def test_a_step_in_a_helper_is_met_through_its_callers():
    seen = sightings(
        train=SETUP
        + f"""
def update(opt):
    opt.step()

def train():
    {BACK}
    {CLIP}
    update(optimizer)
"""
    )
    assert seen.phases() == {Phase.CLIPPED}


# -- code that is not known --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "mystery.improve(model)",
        "mystery.improve(optimizer)",
        "mystery.improve(model.parameters())",
        "mystery.improve(nets=[model])",
        "mystery.improve({'net': model})",
        "clipper(model)",
    ],
)
def test_code_that_was_handed_the_model_puts_its_step_in_doubt(call):
    seen = trained(f"import mystery\n{BACK}\n{call}\noptimizer.step()\n")
    assert seen.codes() == set()
    assert seen.unsure()


@pytest.mark.parametrize("ready", [True, False])
def test_an_optimizer_that_a_base_out_of_sight_keeps_is_unscaled(ready):
    unscale = "self.scaler.unscale_(self.optimizer)"
    seen = sightings(
        train=f"""
        from mystery import Brain

        class Own(Brain):
            def fit_batch(self, batch):
                self.scaler.scale(self.net(batch).sum()).backward()
                {unscale if ready else f"if self.ready: {unscale}"}
                self.scaler.step(self.optimizer)
        """
    )
    assert seen.phases() == ({Phase.FRESH} if ready else {Phase.FRESH, Phase.SCALED})


@pytest.mark.parametrize(
    "call",
    [
        "mystery.log(3)",
        "mystery.log(x.shape)",
        "print(model)",
        "torch.save(model.state_dict(), 'model.pt')",
        "tqdm.write(str(model))",
        "mystery.log(other)",
    ],
)
def test_other_calls_do_not(call):
    seen = trained(
        f"import mystery\nfrom tqdm import tqdm\nother = nn.GRU(2, 2)\n{BACK}\n{call}\noptimizer.step()\n"
    )
    assert seen.codes() == {"CLP101"}


def test_doubt_ends_with_the_next_accumulation():
    seen = trained(f"import mystery\nmystery.setup(model)\noptimizer.zero_grad()\n{BACK}\noptimizer.step()\n")
    assert seen.codes() == {"CLP101"}


def test_what_says_that_it_clips_does():
    seen = trained(f"import mystery\n{BACK}\nmystery.clip_gradients(model)\noptimizer.step()\n")
    assert Phase.CLIPPED in seen.phases()
    assert [clip.kind for clip in seen.clips()] == ["library"]


def test_a_function_handed_to_code_that_is_not_known_is_run():
    seen = trained(
        f"import mystery\ndef train_one(x):\n    optimizer.zero_grad()\n    {BACK}\n    optimizer.step()\n"
        "mystery.launch(train_one, 3)\n"
    )
    assert seen.codes() == {"CLP101"}


def test_functions_in_a_list_handed_to_code_that_is_not_known_are_run():
    seen = trained(
        f"import mystery\ndef train_one(x):\n    optimizer.zero_grad()\n    {BACK}\n    {CLIP}\n"
        "    optimizer.step()\nmystery.launch([train_one])\n"
    )
    assert seen.phases() == {Phase.CLIPPED}


def test_a_nested_function_that_nobody_calls_is_run():
    seen = trained(
        f"def main():\n    @app.command\n    def train(x):\n        {BACK}\n        optimizer.step()\nmain()\n"
    )
    assert "CLP101" in seen.codes()


def test_modules_that_list_each_other_have_an_end():
    seen = trained(
        """
        class Node(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = nn.GRU(4, 8)
                self.others = []

        first, second = Node(), Node()
        first.others = [[second]]
        second.others = [[first]]
        optimizer = torch.optim.Adam(first.parameters())
        first.rnn(torch.randn(2, 4))[0].sum().backward()
        clip_grad_norm_(second.parameters(), 1.0)
        optimizer.step()
        """,
        "",
    )
    assert len(seen.steps()) == 1
    assert seen.sightings.exhausted == []


def test_what_a_way_too_long_did_not_get_to_is_met_by_itself():
    turns = "".join(f"    if x.flag_{n}:\n        work_{n}(model)\n" for n in range(3))
    helpers = "".join(
        f"def work_{n}(model):\n" + "    x = 1\n" * 4500 + "    step_of(model)\n" for n in range(3)
    )
    seen = trained(
        helpers
        + "def step_of(model):\n    optimizer = torch.optim.SGD(model.parameters(), lr=1)\n    optimizer.step()\n"
        + f"def main(model, x):\n{turns}    train(model)\n"
        + "def train(model):\n    optimizer = torch.optim.Adam(model.parameters())\n"
        + "    model(torch.randn(2, 4)).sum().backward()\n    optimizer.step()\nmain(nn.LSTM(4, 8), mystery())\n",
        "",
    )
    assert seen.sightings.exhausted
    assert len(seen.steps()) == 2


def test_what_may_be_none_steps_where_it_is_none_of_that():
    seen = trained(
        "import mystery\nchosen = optimizer if mystery.flag() else None\nchosen.zero_grad()\n"
        f"{BACK}\nchosen.step()\n{CLIP}\n"
    )
    assert "CLP201" in seen.codes()


def test_a_step_of_one_of_two_optimizers_leaves_neither_waiting():
    seen = trained(
        "import mystery\nother = torch.optim.SGD(model.parameters(), lr=1)\n"
        "chosen = optimizer if mystery.flag() else other\nchosen.zero_grad()\n"
        f"{BACK}\nchosen.step()\n{CLIP}\n"
    )
    assert "CLP201" in seen.codes()
