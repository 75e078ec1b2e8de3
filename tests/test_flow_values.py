"""What names are worth: which models an optimizer updates, what a clip covers, and how the code calls them."""

from __future__ import annotations

from textwrap import dedent

import pytest
from flowing import HEAD, ROOT, SETUP, project, sightings, trained

from clipcheck.facts import Function, is_read
from clipcheck.flow.interpreter import Interpreter
from clipcheck.flow.values import Literal, Option
from clipcheck.protocol import Phase

TWO = "a, b = nn.LSTM(2, 2), nn.GRU(2, 2)\n"
BOTH = "(a(x)[0].mean() + b(x)[0].mean()).backward()"
BACK = "model(x)[0].sum().backward()"

# One optimizer over `model`, clipped through other words for the same parameters.
SAME = {
    "a list of them": "clip_grad_norm_(list(model.parameters()), 1.0)",
    "named parameters": "clip_grad_norm_([p for _, p in model.named_parameters()], 1.0)",
    "filter requires_grad": "clip_grad_norm_(filter(lambda p: p.requires_grad, model.parameters()), 1.0)",
    "comprehension with requires_grad": "clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)",
    "comprehension with grad": "clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0)",
    "a generator": "clip_grad_norm_((p for p in model.parameters()), 1.0)",
    "the optimizer's groups": (
        'clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)'
    ),
    "the first group": 'clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)',
    "another name": "net = model\nclip_grad_norm_(net.parameters(), 1.0)",
    "a variable": "params = list(model.parameters())\nclip_grad_norm_(params, 1.0)",
    "by keyword": "clip_grad_norm_(parameters=model.parameters(), max_norm=1.0)",
    "qualified": "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
    "another import": "from torch.nn import utils\nutils.clip_grad_norm_(model.parameters(), 1.0)",
    "an alias": "import torch.nn.utils as tu\ntu.clip_grad_norm_(model.parameters(), 1.0)",
    "getattr": 'clip_grad_norm_(getattr(model, "parameters")(), 1.0)',
    "tuple": "clip_grad_norm_(tuple(model.parameters()), 1.0)",
    "module of a wrapper": "clip_grad_norm_(model.module.parameters(), 1.0)",
    "a dict of parameters": (
        "named = {n: p for n, p in model.named_parameters()}\nclip_grad_norm_(named.values(), 1.0)"
    ),
    "a wrapper made afterwards": (
        "wrapped = torch.nn.DataParallel(model)\nclip_grad_norm_(wrapped.parameters(), 1.0)"
    ),
}


@pytest.mark.parametrize("clip", SAME.values(), ids=SAME)
def test_the_same_parameters_in_other_words(clip):
    seen = trained(f"optimizer.zero_grad()\n{BACK}\n{clip}\noptimizer.step()\n")
    assert seen.codes() == set()
    assert seen.phases() == {Phase.CLIPPED}


def test_a_clip_for_each_group():
    seen = trained(
        f"{BACK}\nfor group in optimizer.param_groups:\n    clip_grad_norm_(group['params'], 1.0)\noptimizer.step()\n"
    )
    assert seen.codes() == set()


# -- two models --------------------------------------------------------------------------------------

JOINT = {
    "a sum of lists": "list(a.parameters()) + list(b.parameters())",
    "itertools.chain": "itertools.chain(a.parameters(), b.parameters())",
    "chain.from_iterable": "itertools.chain.from_iterable([a.parameters(), b.parameters()])",
    "a list display": "[*a.parameters(), *b.parameters()]",
    "a comprehension over both": "[p for m in (a, b) for p in m.parameters()]",
    "the groups": "[p for g in opt.param_groups for p in g['params']]",
}


@pytest.mark.parametrize("made", [*list(JOINT.values())[:4]], ids=list(JOINT)[:4])
@pytest.mark.parametrize("clipped", JOINT.values(), ids=JOINT)
def test_one_clip_over_both_models_of_one_optimizer(made, clipped):
    seen = trained(
        f"import itertools\nopt = torch.optim.Adam({made})\n{BOTH}\nclip_grad_norm_({clipped}, 1.0)\nopt.step()\n",
        setup=TWO,
    )
    assert seen.models() == {"LSTM", "GRU"}
    assert seen.phases() == {Phase.CLIPPED}


def test_groups_of_one_optimizer():
    seen = trained(
        f"""
        opt = torch.optim.Adam([{{"params": a.parameters()}}, {{"params": b.parameters(), "lr": 0.1}}])
        {BOTH}
        clip_grad_norm_(a.parameters(), 1.0)
        clip_grad_norm_(b.parameters(), 1.0)
        opt.step()
        """,
        setup=TWO,
    )
    assert seen.models() == {"LSTM", "GRU"}
    assert seen.phases() == {Phase.CLIPPED}


def test_a_clip_of_one_of_two_models_is_no_clip_of_both():
    seen = trained(
        f"opt = torch.optim.Adam([*a.parameters(), *b.parameters()])\n{BOTH}\n"
        "clip_grad_norm_(a.parameters(), 1.0)\nopt.step()\n",
        setup=TWO,
    )
    assert seen.phases() == {Phase.FRESH}
    assert seen.codes() == {"CLP103"}
    assert {path.gradients.covered is None for path in seen.paths()} == {False}


PAIR = TWO + "opt_a = torch.optim.Adam(a.parameters())\nopt_b = torch.optim.Adam(b.parameters())\n"


@pytest.mark.parametrize(
    ("clip", "clipped"),
    [
        ("a.parameters()", (True, False)),
        ("b.parameters()", (False, True)),
        ("[*a.parameters(), *b.parameters()]", (True, True)),
    ],
)
def test_two_models_with_two_optimizers_do_not_mix(clip, clipped):
    seen = trained(
        f"opt_a.zero_grad()\nopt_b.zero_grad()\n{BOTH}\nclip_grad_norm_({clip}, 1.0)\nopt_a.step()\nopt_b.step()\n",
        setup=PAIR,
    )
    assert tuple(seen.phases(n) == {Phase.CLIPPED} for n in (0, 1)) == clipped


def test_zero_grad_of_one_does_not_empty_the_other():
    seen = trained(f"{BOTH}\nopt_a.zero_grad()\nopt_a.step()\nopt_b.step()\n", setup=PAIR)
    assert seen.phases(0) == {Phase.EMPTY}
    assert seen.phases(1) == {Phase.FRESH}


GAN = """
g, d = nn.Linear(2, 2), nn.Linear(2, 1)
opt_g = torch.optim.Adam(g.parameters())
opt_d = torch.optim.Adam(d.parameters())
for x in data:
    opt_d.zero_grad()
    d({fake}).mean().backward()
    {clip_d}
    opt_d.step()
    opt_g.zero_grad()
    d(g(x)).mean().backward()
    clip_grad_norm_(g.parameters(), 1.0)
    opt_g.step()
"""
CLIP_D = "clip_grad_norm_(d.parameters(), 1.0)"


@pytest.mark.parametrize("fake", ["g(x).detach()", "x", "g(x)"])
def test_a_gan_that_clips_both(fake):
    seen = sightings(train=GAN.format(fake=fake, clip_d=CLIP_D))
    assert seen.codes() & {"CLP101", "CLP201", "CLP202", "CLP203"} == set()


def test_a_gan_that_clips_one():
    seen = sightings(train=GAN.format(fake="g(x).detach()", clip_d="pass"))
    assert [seen.phases(number) for number in (0, 1)] == [{Phase.FRESH}, {Phase.CLIPPED}]


def test_detach_keeps_the_backward_from_the_generator():
    program = "d(g(x).detach()).mean().backward()\nopt_g.step()\nopt_d.step()\n"
    seen = sightings(train=GAN.partition("for x")[0] + program)
    assert [seen.phases(number) for number in (0, 1)] == [{Phase.EMPTY}, {Phase.FRESH}]


# -- collections -------------------------------------------------------------------------------------

COLLECTIONS = {
    "a list of optimizers": """
        for opt in [opt_a, opt_b]:
            opt.step()
        """,
    "a list by index": """
        opts = [opt_a, opt_b]
        opts[0].step()
        opts[1].step()
        """,
    "a dict of optimizers": """
        opts = {"a": opt_a, "b": opt_b}
        opts["a"].step()
        opts["b"].step()
        """,
    "values of a dict": """
        opts = {"a": opt_a, "b": opt_b}
        for opt in opts.values():
            opt.step()
        """,
    "items of a dict": """
        opts = dict(a=opt_a, b=opt_b)
        for name, opt in opts.items():
            opt.step()
        """,
    "zip": """
        for net, opt in zip([a, b], [opt_a, opt_b]):
            opt.step()
        """,
    "enumerate": """
        for number, opt in enumerate([opt_a, opt_b]):
            opt.step()
        """,
    "append": """
        opts = []
        opts.append(opt_a)
        opts.append(opt_b)
        for opt in opts:
            opt.step()
        """,
    "extend": """
        opts = []
        opts.extend([opt_a, opt_b])
        for opt in opts:
            opt.step()
        """,
    "plus equals": """
        opts = [opt_a]
        opts += [opt_b]
        for opt in opts:
            opt.step()
        """,
    "an entry set": """
        opts = {}
        opts["a"] = opt_a
        opts["b"] = opt_b
        for opt in opts.values():
            opt.step()
        """,
    "unpacking": """
        one, two = opt_a, opt_b
        one.step()
        two.step()
        """,
    "a tuple returned": """
        def make():
            return opt_a, opt_b
        one, two = make()
        one.step()
        two.step()
        """,
    "reversed": """
        for opt in reversed([opt_a, opt_b]):
            opt.step()
        """,
}


@pytest.mark.parametrize("program", COLLECTIONS.values(), ids=COLLECTIONS)
@pytest.mark.parametrize("clip", [True, False], ids=["clipped", "bare"])
def test_a_collection_of_optimizers(program, clip):
    clips = "clip_grad_norm_(a.parameters(), 1.0)\nclip_grad_norm_(b.parameters(), 1.0)\n" if clip else ""
    seen = trained(f"opt_a.zero_grad()\nopt_b.zero_grad()\n{BOTH}\n{clips}{dedent(program)}", setup=PAIR)
    phases = set().union(*(seen.phases(number) for number in range(len(seen.steps()))))
    models = set().union(*(seen.models(number) for number in range(len(seen.steps()))))
    assert phases == {Phase.CLIPPED if clip else Phase.FRESH}
    assert models == {"LSTM", "GRU"}


def test_zip_keeps_each_model_with_its_optimizer():
    seen = trained(
        f"""
        {BOTH}
        for net, opt in zip([a, b], [opt_a, opt_b]):
            clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
        """,
        setup=PAIR,
    )
    assert seen.phases() == {Phase.CLIPPED}


# -- wrappers ----------------------------------------------------------------------------------------

WRAPPED = {
    "DDP": "model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[0])",
    "DataParallel": "model = nn.DataParallel(model)",
    "compile": "model = torch.compile(model)",
    "to": "model = model.to('cuda').train()",
    "if": "if many:\n    model = nn.DataParallel(model)",
    "DDP by keyword": "model = torch.nn.parallel.DistributedDataParallel(module=model)",
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("through", ["model", "model.module"])
def test_a_wrapped_model_is_the_model(wrap, through):
    seen = trained(
        f"""
optimizer.zero_grad()
{BACK}
clip_grad_norm_({through}.parameters(), 1.0)
optimizer.step()
""",
        setup=f"model = nn.LSTM(4, 8)\n{wrap}\noptimizer = torch.optim.Adam(model.parameters())\n",
    )
    assert seen.models() == {"LSTM"}
    assert seen.phases() == {Phase.CLIPPED}


# -- configurations ----------------------------------------------------------------------------------


def threshold(seen):
    return seen.clips()[0].contexts[0].threshold


@pytest.mark.parametrize(
    "made",
    [
        pytest.param("LIMIT = 0.5\nlimit = LIMIT", id="constant"),
        pytest.param("config = {'clip': 0.5}\nlimit = config['clip']", id="dict"),
        pytest.param("config = dict(clip=0.5)\nlimit = config.get('clip', 1.0)", id="dict get"),
        pytest.param("limit = 1.0 / 2", id="arithmetic"),
        pytest.param("class Config:\n    clip = 0.5\nlimit = Config.clip", id="class attribute"),
        pytest.param("class Config:\n    clip = 0.5\nlimit = Config().clip", id="instance"),
        pytest.param(
            "from dataclasses import dataclass\n@dataclass\nclass Config:\n    lr: float = 1e-3\n"
            "    clip: float = 0.5\nconfig = Config()\nlimit = config.clip",
            id="dataclass default",
        ),
        pytest.param(
            "from dataclasses import dataclass\n@dataclass\nclass Config:\n    lr: float\n"
            "    clip: float = 1.0\nconfig = Config(1e-3, 0.5)\nlimit = config.clip",
            id="dataclass by position",
        ),
        pytest.param(
            "from dataclasses import dataclass\n@dataclass\nclass Config:\n    clip: float = 1.0\n"
            "config = Config(clip=0.5)\nlimit = config.clip",
            id="dataclass by keyword",
        ),
        pytest.param(
            "class Config:\n    def __init__(self, clip=0.5):\n        self.clip = clip\nlimit = Config().clip",
            id="constructor default",
        ),
        pytest.param("limit = float('0.5')", id="text"),
        pytest.param("limit = 0.5 if True else 1.0", id="conditional"),
    ],
)
def test_a_threshold_is_found(made):
    seen = trained(f"{made}\n{BACK}\nclip_grad_norm_(model.parameters(), limit)\noptimizer.step()\n")
    found = threshold(seen)
    assert isinstance(found, Literal)
    assert found.value == 0.5


@pytest.mark.parametrize("name", ["args.grad_clip", "vars_['grad_clip']"])
def test_a_threshold_from_an_option(name):
    made = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--grad-clip', default=0.5)\n"
    made += "args = p.parse_args()\nvars_ = vars(args)\n"
    seen = trained(f"{made}{BACK}\nclip_grad_norm_(model.parameters(), {name})\noptimizer.step()\n")
    found = threshold(seen)
    if name.startswith("vars_"):  # not followed: unknown, never a guess
        assert not isinstance(found, Literal)
    else:
        assert isinstance(found, Option)
        assert found.default == Literal(0.5)


# -- clips and their kinds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "kind"),
    [
        ("clip_grad_norm_(model.parameters(), 1.0)", "norm"),
        ("torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)", "value"),
        ("for p in model.parameters():\n    p.grad.data.clamp_(-1, 1)", "hand-written"),
        ("for p in model.parameters():\n    p.grad = p.grad * 0.1", "hand-written"),
        ("for p in model.parameters():\n    p.grad.mul_(coefficient)", "hand-written"),
        ("my_clip_grads(model)", "library"),
    ],
)
def test_kinds(clip, kind):
    seen = trained(f"{BACK}\n{clip}\noptimizer.step()\n")
    assert [one.kind for one in seen.clips()] == [kind]
    assert Phase.CLIPPED in seen.phases()


@pytest.mark.parametrize(
    "change",
    [
        "p.grad.div_(loss_scale)",
        "p.grad.data.mul_(1.0 / scaler.get_scale())",
        "p.grad *= inv_scale",
        "p.grad /= self.loss_scale",
        "p.grad = p.grad / loss_scale",
        "p.grad = p.grad.float().div(loss_scale)",
        "p.grad = p.grad.coalesce()",
        "whole = p.grad.data.coalesce()\n    p.grad = whole.to_dense()",
        "scale = 1 / loss_scale\n    p.grad.mul_(scale)",
    ],
)
def test_a_loss_scale_taken_off_and_another_form_are_no_clips(change):
    seen = trained(f"{BACK}\nfor p in model.parameters():\n    {change}\noptimizer.step()\n")
    assert seen.clips() == []
    assert seen.phases() == {Phase.FRESH}


@pytest.mark.parametrize(
    "change",
    [
        "scale = loss_scale * max(1, total / limit)\n    p.grad.div_(scale)",
        "inv_scale = limit / total_norm\n    p.grad *= inv_scale",
        "inv_scale = loss_scale\n    inv_scale *= coef\n    p.grad.mul_(inv_scale)",
        "p.grad.mul_(scale)",
        "p.grad = p.grad.float() * scale",
        "p.grad = p.grad.sign()",
        "p.grad = p.grad.mul(other=coef)",
        "p.grad = inv_scale * torch.sign(p.grad)",
        "p.grad = other.grad.float()",
        "p.grad = p.grad.clamp(-1, 1) / loss_scale",
        "p.grad.clamp_(-loss_scale, loss_scale)",
        "p.grad = p.grad.float()\n    p.grad = p.grad.float().mul(coef)",
        "whole = p.grad\n    whole = whole.clamp(-1, 1)\n    p.grad = whole",
    ],
)
def test_what_may_come_from_a_norm_is_a_clip(change):
    seen = trained(f"{BACK}\nfor p in model.parameters():\n    {change}\noptimizer.step()\n")
    assert {one.kind for one in seen.clips()} == {"hand-written"}


def test_what_an_optimizer_unscales_in_its_step_is_not_clipped_before_it():
    seen = trained(
        "class Own(torch.optim.SGD):\n"
        "    def step(self):\n"
        "        for p in self.param_groups[0]['params']:\n"
        "            p.grad.div_(self.loss_scale)\n"
        "        super().step()\n"
        f"optimizer = Own(model.parameters(), 0.1)\n{BACK}\noptimizer.step()\n"
    )
    assert any(path.gradients.unsure for path in seen.paths())


@pytest.mark.parametrize(
    ("clip", "alone"),
    [
        ("for p in model.parameters():\n    clip_grad_norm_(p, 1.0)", True),
        ("for p in model.parameters():\n    clip_grad_norm_([p], 1.0)", True),
        ("for name, p in model.named_parameters():\n    clip_grad_norm_(p, 1.0)", True),
        ("clip_grad_norm_(model.parameters(), 1.0)", False),
        ("for group in optimizer.param_groups:\n    clip_grad_norm_(group['params'], 1.0)", False),
    ],
)
def test_a_clip_of_one_parameter_at_a_time(clip, alone):
    seen = trained(f"{BACK}\n{clip}\noptimizer.step()\n")
    assert seen.clips()[0].contexts[0].per_parameter is alone


def test_the_old_name_of_the_function():
    seen = trained(f"{BACK}\ntorch.nn.utils.clip_grad_norm(model.parameters(), 1.0)\noptimizer.step()\n")
    assert seen.clips()[0].replaced_by == "clip_grad_norm_"


@pytest.mark.parametrize(
    ("limit", "scaled"),
    [("1.0 * scaler.get_scale()", True), ("max_norm=scaler.get_scale()", True), ("1.0", False)],
)
def test_a_threshold_times_the_scale(limit, scaled):
    seen = trained(
        f"""
        scaler = torch.amp.GradScaler("cuda")
        scaler.scale(model(x)[0].sum()).backward()
        clip_grad_norm_(model.parameters(), {limit})
        scaler.step(optimizer)
        """
    )
    context = seen.clips()[0].contexts[0]
    assert context.scaled_threshold is scaled
    assert (context.scaler, context.optimizer) == ("scaler", "optimizer")


# -- names for the fix -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "names"),
    [
        pytest.param(SETUP + "optimizer.step()", {"model.parameters()"}, id="a model"),
        pytest.param(
            TWO + "params = [*a.parameters(), *b.parameters()]\nopt = torch.optim.Adam(params)\nopt.step()",
            {"params"},
            id="a list",
        ),
        pytest.param("optimizer.step()", {None}, id="not known"),
        pytest.param(
            "opt = torch.optim.Adam(nn.LSTM(2, 2).parameters())\nopt.step()", {None}, id="without a name"
        ),
        pytest.param(
            SETUP.replace("model.parameters()", "list(model.parameters())[:3]") + "optimizer.step()",
            {None},
            id="a part",
        ),
    ],
)
def test_names(program, names):
    assert sightings(train=program).names() == names


def test_the_step_knows_its_optimizer_and_scaler():
    seen = trained("scaler = torch.amp.GradScaler('cuda')\nscaler.step(optimizer)\n")
    (context,) = seen.steps()[0].contexts
    assert (context.names.optimizer, context.names.scaler) == ("optimizer", "scaler")
    assert context.certain


@pytest.mark.parametrize(
    "name", ["scheduler", "lr_scheduler", "env", "optim_scheduler", "warmup_optimizer", "profiler"]
)
def test_other_things_step_too(name):
    seen = sightings(train=f"def train({name}, loss):\n    loss.backward()\n    {name}.step()\n")
    assert seen.steps() == []


@pytest.mark.parametrize("name", ["optimizer", "opt", "optim", "optimizer_G", "g_optimizer", "solver"])
def test_an_optimizer_by_its_name(name):
    seen = sightings(train=f"def train({name}, loss):\n    loss.backward()\n    {name}.step()\n")
    assert seen.codes() == {"CLP101"}


# -- Python's own functions on the way ---------------------------------------------------------------


@pytest.mark.parametrize(
    "clipped",
    [
        "iter(model.parameters())",
        "sorted(model.parameters(), key=str)",
        "set(model.parameters())",
        "list(map(lambda p: p, model.parameters()))",
        "[p for n, p in dict(model.named_parameters()).items()]",
        "model.to(device=3).parameters()",
        "(model if True else None).parameters()",
        "[model.parameters()][0]",
        "{'all': model.parameters()}['all']",
        "dict(all=model.parameters()).get('all')",
        "next(iter([model])).parameters()",
        "[m for m in [model]][0].parameters()",
        "(lambda net: net.parameters())(model)",
    ],
)
def test_python_itself_loses_no_parameters(clipped):
    seen = trained(f"optimizer.zero_grad()\n{BACK}\nclip_grad_norm_({clipped}, 1.0)\noptimizer.step()\n")
    assert seen.codes() == set()
    assert Phase.CLIPPED in seen.phases()


@pytest.mark.parametrize("part", ["list(model.parameters())[0]", "[p for p in model.parameters() if p.dim() > 1]",
                                  "filter(lambda p: p.dim() > 1, model.parameters())"])  # fmt: skip
def test_a_part_of_the_parameters_accuses_nobody(part):
    """What part it is cannot be told, so neither the clip nor the step is accused."""
    seen = trained(f"optimizer.zero_grad()\n{BACK}\nclip_grad_norm_({part}, 1.0)\noptimizer.step()\n")
    assert seen.codes() == set()


@pytest.mark.parametrize(
    "statement",
    [
        "list()", "list({'a': 1})", "iter()", "filter(None)", "map(f)", "enumerate()", "range()", "range('a')",
        "range(1, 2, 0)", "len()", "getattr(x)", "getattr(x, name)", "super()", "dict({'a': 1}, b=2)", "next()",
        "int()", "float('nope')", "int(3)", "sum()", "itertools.chain.from_iterable()", "functools.partial()",
        "zip()", "x[1:2]", "{}[0]", "[][3]", "(1).real", "1 / 0", "1 % 0", "'a' < 1", "f'{x}'", "await_ or None",
        "not x", "{**x}", "[*x]", "(yield_)", "lambda: 0", "x if y else z", "3 if 0 else 4",
    ],
)  # fmt: skip
def test_odd_expressions_give_no_crash(statement):
    seen = trained(f"import functools, itertools\nvalue = {statement}\n{BACK}\noptimizer.step()\n")
    assert seen.codes() == {"CLP101"}


KINDS = """
class Settings(dict): pass
class Large(Settings): pass
given = {given}
if isinstance(given, {asked}):
    clip_grad_norm_(model.parameters(), 1.0)
"""


@pytest.mark.parametrize(
    ("given", "asked", "phases"),
    [
        # certain: one way only
        ('{"a": 1}', "dict", {Phase.CLIPPED}),
        ('{"a": 1}', "(dict, Settings)", {Phase.CLIPPED}),
        ("[model]", "(list, tuple)", {Phase.CLIPPED}),
        ("Large()", "Settings", {Phase.CLIPPED}),
        ("Large()", "dict", {Phase.CLIPPED}),
        ("model", "nn.LSTM", {Phase.CLIPPED}),
        ("model", "(list, tuple)", {Phase.FRESH}),
        # open: both
        ("[model]", "list", {Phase.CLIPPED, Phase.FRESH}),
        ('{"a": 1}', "Settings", {Phase.CLIPPED, Phase.FRESH}),
        ("Settings()", "Large", {Phase.CLIPPED, Phase.FRESH}),
        ("model", "nn.GRU", {Phase.CLIPPED, Phase.FRESH}),
        ("'adam'", "str", {Phase.CLIPPED, Phase.FRESH}),
        ("x", "dict", {Phase.CLIPPED, Phase.FRESH}),
    ],
)
def test_what_a_value_is_an_instance_of(given, asked, phases):
    seen = trained(f"{BACK}\n{KINDS.format(given=given, asked=asked)}optimizer.step()\n")
    assert seen.phases() == phases


def test_a_function_of_the_program_that_is_called_isinstance():
    own = "def isinstance():\n    return True\n"
    seen = trained(
        f"{own}{BACK}\nif isinstance():\n    clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()\n"
    )
    assert seen.phases() == {Phase.CLIPPED, Phase.FRESH}


def test_a_test_outside_of_functions_reads_none_of_them():
    text = f"""{SETUP}
def other():
    return 1

{BACK}
if args.limit is not None:
    clip_grad_norm_(model.parameters(), args.limit)
optimizer.step()
"""
    script = project({"train.py": HEAD + dedent(text)})
    Interpreter(script).run([f"{ROOT}train.py"])
    (function,) = (one for one in script.facts(f"{ROOT}train.py").body if isinstance(one, Function))
    assert not is_read(function)
