"""What the observer sees inside the process: training loops that clip well, and those that do not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from clipcheck.verify.observing.observer import Observer, StopRun
from clipcheck.verify.session import Process, StepRecord
from clipcheck.verify.verdicts import judge

from .watching import Memory, batches, loss_of, model, verdict, watch

utils = torch.nn.utils


def plain(
    clip: Callable[[nn.Module], object], *, size: float = 50.0, dtype: torch.dtype = torch.float32
) -> None:
    net = model(dtype=dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for batch in batches(dtype=dtype):
        optimizer.zero_grad()
        loss_of(net, batch, size).backward()
        clip(net)
        optimizer.step()


def get_total_norm_pair(net: nn.Module) -> None:
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    norm = utils.get_total_norm(gradients)
    utils.clip_grads_with_norm_(net.parameters(), 1.0, norm)


def total_norm_then_parts(net: nn.Module) -> None:
    norm = utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
    for parameter in net.parameters():
        utils.clip_grads_with_norm_(parameter, 1.0, norm)


GOOD: dict[str, Callable[[nn.Module], object]] = {
    "generator": lambda net: utils.clip_grad_norm_(net.parameters(), 1.0),
    "keyword": lambda net: utils.clip_grad_norm_(parameters=net.parameters(), max_norm=1.0),
    "list": lambda net: utils.clip_grad_norm_(list(net.parameters()), 1.0),
    "filter": lambda net: utils.clip_grad_norm_(filter(lambda p: p.requires_grad, net.parameters()), 1.0),
    "chain": lambda net: utils.clip_grad_norm_(
        itertools.chain(net[0].parameters(), net[2].parameters()), 1.0
    ),
    "early name": lambda net: clip_grad_norm_(net.parameters(), 1.0),
    "module": lambda net: utils.clip_grad.clip_grad_norm_(net.parameters(), 1.0),
    "text threshold": lambda net: utils.clip_grad_norm_(net.parameters(), "1.0"),
    "tensor threshold": lambda net: utils.clip_grad_norm_(net.parameters(), torch.tensor(1.0)),
    "infinity norm": lambda net: utils.clip_grad_norm_(net.parameters(), 1.0, norm_type=math.inf),
    "one norm": lambda net: utils.clip_grad_norm_(net.parameters(), 1.0, 1),
    "total norm pair": get_total_norm_pair,
    "one total norm, part by part": total_norm_then_parts,
    "measured first": lambda net: (
        utils.clip_grad_norm_(net.parameters(), math.inf),
        utils.clip_grad_norm_(net.parameters(), 1.0),
    ),
    "never acts": lambda net: utils.clip_grad_norm_(net.parameters(), 1e6),
    "tiny threshold": lambda net: utils.clip_grad_norm_(net.parameters(), 1e-5),
}


@pytest.mark.parametrize("clip", GOOD.values(), ids=GOOD)
def test_clipped_step_is_confirmed(clip: Callable[[nn.Module], object]) -> None:
    site = verdict(lambda: plain(clip))
    assert (site.word, site.observed) == ("confirmed", 4), site
    assert site.shown is not None
    assert site.shown.cosine == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_deprecated_function_is_one_clip() -> None:
    site = verdict(lambda: plain(lambda net: utils.clip_grad_norm(net.parameters(), 1.0)))
    assert site.word == "confirmed"
    assert site.shown is not None
    assert site.shown.clips_per_step == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_gradient_dtype_has_its_tolerance(dtype: torch.dtype) -> None:
    site = verdict(lambda: plain(GOOD["generator"], dtype=dtype))
    assert site.word == "confirmed", site
    assert site.shown is not None
    assert site.shown.dtypes == (str(dtype).removeprefix("torch."),)
    assert site.shown.used == pytest.approx(1.0, rel=1e-2)


def test_small_gradients_pass_unchanged() -> None:
    site = verdict(lambda: plain(GOOD["generator"], size=1e-3))
    assert (site.word, site.clipped, site.clipped_share) == ("confirmed", 0, 0.0)
    assert site.shown is not None
    assert site.shown.used == site.shown.raw < 1.0


def test_gradients_near_the_epsilon_of_the_formula() -> None:
    def clip(net: nn.Module) -> None:
        utils.clip_grad_norm_(net.parameters(), 1e-4)

    site = verdict(lambda: plain(clip, size=1e-4))
    assert site.word == "confirmed", site


def test_big_tensor_is_not_blamed_for_torch_s_own_rounding() -> None:
    def train() -> None:
        torch.manual_seed(0)
        weight = nn.Parameter(torch.zeros(4_000_000))
        optimizer = torch.optim.SGD([weight], lr=0.01)
        (weight * torch.randn(4_000_000)).sum().backward()
        utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()

    site = verdict(train)
    assert site.word == "confirmed", site


def test_numbers_are_those_of_the_update() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    before = [p.detach().clone() for p in net.parameters()]
    raw: list[float] = []

    def train() -> None:
        loss_of(net, next(batches())).backward()
        raw.append(
            math.sqrt(
                sum(float(p.grad.double().pow(2).sum()) for p in net.parameters() if p.grad is not None)
            )
        )
        utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()

    (record,) = watch(train)
    change = math.sqrt(
        sum(
            float((a - b.detach()).double().pow(2).sum())
            for a, b in zip(before, net.parameters(), strict=True)
        )
    )
    assert record.raw == pytest.approx(raw[0], rel=1e-6)
    assert record.used == pytest.approx(change, rel=1e-5)
    assert (record.updated, record.covered, record.uncovered) == (4, 4, 0)
    assert (record.threshold, record.kind, record.optimizer) == (0.5, "norm", "SGD")
    assert record.place.filename == __file__


def accumulate(clip: Callable[[nn.Module, int], object]) -> Callable[[], None]:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for index, batch in enumerate(batches(8)):
            loss_of(net, batch).backward()
            clip(net, index)
            if (index + 1) % 4 == 0:
                optimizer.step()
                optimizer.zero_grad()

    return train


def test_accumulation_clipped_at_its_end() -> None:
    def clip(net: nn.Module, index: int) -> None:
        if (index + 1) % 4 == 0:
            utils.clip_grad_norm_(net.parameters(), 1.0)

    site = verdict(accumulate(clip))
    assert (site.word, site.observed) == ("confirmed", 2)


def test_accumulation_clipped_every_micro_batch() -> None:
    true: list[Tensor] = []

    def clip(net: nn.Module, _index: int) -> None:
        utils.clip_grad_norm_(net.parameters(), 1.0)

    site = verdict(accumulate(clip))
    assert site.word == "refuted"
    assert "clipped 4 times per step" in site.reason
    net = model()
    for batch in batches(4):
        loss_of(net, batch).backward()
    true = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    for batch in batches(4):
        loss_of(net, batch).backward()
        utils.clip_grad_norm_(net.parameters(), 1.0)
    used = [p.grad for p in net.parameters() if p.grad is not None]
    flat_true, flat_used = (torch.cat([t.flatten() for t in ts]) for ts in (true, used))
    assert site.shown is not None
    assert site.shown.cosine == pytest.approx(
        float(torch.cosine_similarity(flat_true, flat_used, dim=0)), abs=1e-4
    )
    assert site.shown.raw == pytest.approx(float(flat_true.norm()), rel=1e-4)


def test_micro_batch_clip_that_misses_the_last_backward() -> None:
    def clip(net: nn.Module, index: int) -> None:
        if (index + 1) % 4:
            utils.clip_grad_norm_(net.parameters(), 1.0)

    site = verdict(accumulate(clip))
    assert site.word == "refuted"
    assert "before the last backward" in site.reason


def test_zero_grad_in_place_between_losses_starts_over() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for batch in batches():
            loss_of(net, batch).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.zero_grad(set_to_none=False)
            loss_of(net, batch).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

    site = verdict(train)
    assert site.word == "confirmed", site


def two_optimizers(clip: Callable[[nn.Module, nn.Module], object]) -> Callable[[], None]:
    def train() -> None:
        left, right = model(0), model(1)
        optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for net in (left, right)]
        for batch in batches():
            for optimizer in optimizers:
                optimizer.zero_grad()
            (loss_of(left, batch) + loss_of(right, batch)).backward()
            clip(left, right)
            for optimizer in optimizers:
                optimizer.step()

    return train


@pytest.mark.parametrize("joint", [True, False], ids=["jointly", "each"])
def test_two_optimizers_may_be_clipped_either_way(joint: bool) -> None:
    def clip(left: nn.Module, right: nn.Module) -> None:
        if joint:
            utils.clip_grad_norm_([*left.parameters(), *right.parameters()], 1.0)
        else:
            utils.clip_grad_norm_(left.parameters(), 1.0)
            utils.clip_grad_norm_(right.parameters(), 1.0)

    site = verdict(two_optimizers(clip))
    assert (site.word, site.observed) == ("confirmed", 8), site


def test_one_of_two_optimizers_is_not_clipped() -> None:
    site = verdict(two_optimizers(lambda left, _right: utils.clip_grad_norm_(left.parameters(), 1.0)))
    assert site.word == "refuted"
    assert "reaches none of the parameters" in site.reason


def test_two_optimizers_on_the_same_parameters() -> None:
    def train() -> None:
        net = model()
        optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for _ in range(2)]
        for batch in batches():
            net.zero_grad()
            loss_of(net, batch).backward()
            for optimizer in optimizers:
                utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()

    site = verdict(train)
    assert (site.word, site.observed) == ("confirmed", 8), site


def test_record_names_the_clip_calls_of_its_own_step() -> None:
    records = watch(lambda: plain(GOOD["generator"]))
    assert [len(record.clips) for record in records] == [1] * 4
    (call,) = records[0].clips
    assert (call.place.filename, call.given, call.with_gradient, call.reached) == (__file__, 4, 4, 4)


@pytest.mark.parametrize(("clipped", "word"), [(True, "confirmed"), (False, "refuted")])
def test_optimizer_made_before_the_observer(clipped: bool, word: str) -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def train() -> None:
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            if clipped:
                utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

    assert verdict(train).word == word


def test_clip_in_the_optimizers_own_hook() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        optimizer.register_step_pre_hook(lambda *_: (utils.clip_grad_norm_(net.parameters(), 1.0), None)[1])
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            optimizer.step()

    assert verdict(train).word == "confirmed"


def test_sparse_gradients_are_measured() -> None:
    def train() -> None:
        torch.manual_seed(0)
        table = nn.Embedding(10, 3, sparse=True)
        optimizer = torch.optim.SGD(table.parameters(), lr=0.01)
        (table(torch.tensor([1, 1, 2])).sum() * 100).backward()
        optimizer.step()

    (record,) = watch(train)
    assert record.used == pytest.approx(math.sqrt(3 * (200**2 + 100**2)))


# -- clipping that does not do what it should


def each_parameter(net: nn.Module) -> None:
    for parameter in net.parameters():
        utils.clip_grad_norm_(parameter, 1.0)


def used_up(net: nn.Module) -> None:
    parameters = filter(lambda p: p.requires_grad, net.parameters())
    list(parameters)
    utils.clip_grad_norm_(parameters, 1.0)


def total_too_big(net: nn.Module) -> None:
    norm = utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
    utils.clip_grads_with_norm_(net.parameters(), 1.0, norm * 1.03)


def scale_by_hand_afterwards(net: nn.Module) -> None:
    utils.clip_grad_norm_(net.parameters(), 1.0)
    for parameter in net.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(3.0)


BAD: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "nothing": (lambda _net: None, "nothing clipped the gradients"),
    "measured only": (lambda net: utils.clip_grad_norm_(net.parameters(), math.inf), "nothing clipped"),
    "half": (lambda net: utils.clip_grad_norm_(net[0].parameters(), 1.0), "covers 2 of 4 parameters"),
    "per parameter": (each_parameter, "in 4 parts"),
    "used up": (used_up, "was handed nothing"),
    "copies": (lambda net: utils.clip_grad_norm_(list(net.state_dict().values()), 1.0), "found no gradients"),
    "twice": (
        lambda net: (
            utils.clip_grad_norm_(net.parameters(), 2.0),
            utils.clip_grad_norm_(net.parameters(), 1.0),
        ),
        "clipped twice",
    ),
    "value": (lambda net: clip_grad_value_(net.parameters(), 0.1), "value clipping changed the direction"),
    "negative": (lambda net: utils.clip_grad_norm_(net.parameters(), -1.0), "reverses the gradient"),
    "zero": (lambda net: utils.clip_grad_norm_(net.parameters(), 0.0), "leaves nothing"),
    "listed twice": (lambda net: utils.clip_grad_norm_([*net.parameters()] * 2, 1.0), "expected"),
    "wrong total": (
        lambda net: utils.clip_grads_with_norm_(net.parameters(), 1.0, torch.tensor(1.5)),
        "expected",
    ),
    "total that is a little too big": (total_too_big, "expected"),
    "changed afterwards": (scale_by_hand_afterwards, "changed again after the clip"),
}


@pytest.mark.parametrize(("clip", "reason"), BAD.values(), ids=BAD)
def test_wrong_clipping_is_refuted(clip: Callable[[nn.Module], object], reason: str) -> None:
    site = verdict(lambda: plain(clip))
    assert site.word == "refuted", site
    assert reason in site.reason
    assert site.shown is not None
    assert site.shown.step == 1


def test_unclipped_small_gradient_is_refuted_too() -> None:
    assert verdict(lambda: plain(lambda _net: None, size=1e-3)).word == "refuted"


def test_clip_after_the_step() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            optimizer.step()
            utils.clip_grad_norm_(net.parameters(), 1.0)

    site = verdict(train)
    assert site.word == "refuted"
    assert "after the step it should guard" in site.reason
    assert site.shown is not None
    assert site.shown.used == site.shown.raw > 1.0


@pytest.mark.parametrize("to_none", [True, False], ids=["none", "zero"])
def test_clip_before_backward(to_none: bool) -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for batch in batches():
            optimizer.zero_grad(set_to_none=to_none)
            utils.clip_grad_norm_(net.parameters(), 1.0)
            loss_of(net, batch).backward()
            optimizer.step()

    site = verdict(train)
    assert site.word == "refuted"
    assert site.shown is not None
    assert (site.shown.covered, site.shown.used) == (0, site.shown.raw)


def test_optimizer_that_steps_inside_backward() -> None:
    def train() -> None:
        net = model()
        for parameter in net.parameters():
            optimizer = torch.optim.SGD([parameter], lr=0.01)

            def step(p: Tensor, optimizer: torch.optim.Optimizer = optimizer) -> None:
                optimizer.step()
                p.grad = None

            parameter.register_post_accumulate_grad_hook(step)
        for batch in batches():
            loss_of(net, batch).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)

    site = verdict(train)
    assert site.word == "not measurable"
    assert "hooks" in site.reason


# -- clipping that can't be measured


def hand_written_data(net: nn.Module) -> None:
    for parameter in net.parameters():
        if parameter.grad is not None:
            parameter.grad.data.clamp_(-0.1, 0.1)


def hand_written_norm(net: nn.Module) -> None:
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    for gradient in gradients:
        gradient.mul_(min(1.0, float(1.0 / norm)))


@pytest.mark.parametrize("clip", [hand_written_data, hand_written_norm])
def test_hand_written_clip_is_not_measurable(clip: Callable[[nn.Module], object]) -> None:
    site = verdict(lambda: plain(clip))
    assert site.word == "not measurable", site
    assert site.shown is not None
    assert site.shown.raw > site.shown.used


def test_hand_written_clip_that_acts_now_and_then() -> None:
    calls = itertools.count()

    def clip(net: nn.Module) -> None:
        if next(calls) % 2:
            hand_written_data(net)

    assert verdict(lambda: plain(clip)).word == "not measurable"


def test_gradients_assigned_by_hand() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for batch in batches():
            gradients = torch.autograd.grad(loss_of(net, batch), list(net.parameters()))
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()

    assert verdict(train).word == "not measurable"


def test_value_clip_that_never_acts_is_not_confirmed() -> None:
    assert (
        verdict(lambda: plain(lambda net: clip_grad_value_(net.parameters(), 1e6))).word == "not measurable"
    )


def test_infinite_gradients_are_counted_and_not_judged() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for index, batch in enumerate(batches()):
            optimizer.zero_grad()
            loss_of(net, batch, math.inf if index == 3 else 50.0).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

    site = verdict(train)
    assert (site.word, site.not_finite) == ("confirmed", 1), site


# -- semantics that must not change


def test_everything_is_put_back() -> None:
    optimizer_type, scaler = torch.optim.Optimizer, torch.amp.GradScaler
    owners = (utils, utils.clip_grad, torch.autograd, optimizer_type, scaler)
    before = [dict(vars(owner)) for owner in owners]
    name_before = clip_grad_norm_
    with Observer(Memory()):
        assert utils.clip_grad_norm_ is not before[0]["clip_grad_norm_"]
        assert globals()["clip_grad_norm_"] is utils.clip_grad_norm_
    assert [dict(vars(owner)) for owner in owners] == before
    assert clip_grad_norm_ is name_before


def test_uninstalled_after_an_error() -> None:
    original = utils.clip_grad_norm_
    with pytest.raises(ZeroDivisionError), Observer(Memory()):
        raise ZeroDivisionError
    assert utils.clip_grad_norm_ is original


def test_empty_generator_still_warns() -> None:
    net = model()
    parameters = net.parameters()
    list(parameters)
    with Observer(Memory()), pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_(parameters, 1.0)


def test_iterators_are_used_up_and_results_are_those_of_torch() -> None:
    nets = [model(), model()]
    for net in nets:
        loss_of(net, next(batches())).backward()
    parameters = nets[0].parameters()
    with Observer(Memory()):
        watched = utils.clip_grad_norm_(parameters, 1.0)
    assert list(parameters) == []
    assert torch.equal(watched, utils.clip_grad_norm_(nets[1].parameters(), 1.0))
    for left, right in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert left.grad is not None
        assert right.grad is not None
        assert torch.equal(left.grad, right.grad)


WRONG: dict[str, Callable[[], tuple[object, ...]]] = {
    "model": lambda: (nn.Linear(1, 1), 1.0),
    "iterable model": lambda: (model(), 1.0),
    "named": lambda: (model().named_parameters(), 1.0),
    "none": lambda: (None, 1.0),
    "no threshold": lambda: (model().parameters(), None),
    "missing": lambda: (),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_errors_are_torchs_own(arguments: Callable[[], tuple[object, ...]]) -> None:
    memory = Memory()
    clip: Callable[..., object] = utils.clip_grad_norm_
    with pytest.raises((TypeError, AttributeError)) as alone:
        clip(*arguments())
    with Observer(memory), pytest.raises(alone.type) as watched:
        utils.clip_grad_norm_(*arguments())
    assert str(watched.value) == str(alone.value)
    assert not memory.failures


def test_training_is_bitwise_the_same() -> None:
    def train() -> list[Tensor]:
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        return [p.detach() for p in net.parameters()]

    alone = train()
    with Observer(Memory()):
        watched = train()
    assert all(torch.equal(a, b) for a, b in zip(alone, watched, strict=True))


def test_failure_of_the_observer_does_not_reach_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("inside")

    monkeypatch.setattr("clipcheck.verify.observing.steps.measure", broken)
    memory = Memory()
    with Observer(memory):
        plain(GOOD["generator"])
    assert len(memory.failures) == 1
    assert "LookupError: inside" in memory.failures[0]


def test_step_that_raised_does_not_hold_up_the_others() -> None:
    class Failing(torch.optim.SGD):  # type: ignore[misc]  # untyped, in the mypy configuration
        def step(self, closure: object = None) -> None:
            raise MemoryError

    def train() -> None:
        left, right = model(0), model(1)
        failing, working = Failing(left.parameters(), lr=0.01), torch.optim.SGD(right.parameters(), lr=0.01)
        loss_of(left, next(batches())).backward()
        with pytest.raises(MemoryError):
            failing.step()
        for batch in batches():
            working.zero_grad()
            loss_of(right, batch).backward()
            utils.clip_grad_norm_(right.parameters(), 1.0)
            working.step()

    memory = Memory()
    with pytest.raises(StopRun), Observer(memory, max_steps=3):
        train()
    assert [record.clips_per_step for record in memory.records] == [0, 1, 1]


def test_compiled_clip_and_step_are_not_disturbed() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    @torch.compile(backend="eager", fullgraph=True)  # type: ignore[untyped-decorator]  # as above
    def clip() -> None:
        utils.clip_grad_norm_(net.parameters(), 1.0)

    def train() -> None:
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            clip()
            optimizer.step()

    site = verdict(train)
    assert site.word == "not measurable", site


class Around(torch.optim.Optimizer):  # type: ignore[misc]  # untyped, in the mypy configuration
    """An optimizer around another one, as lookahead and its like are."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner
        super().__init__(inner.param_groups, {})

    def step(self, closure: object = None) -> None:
        self.inner.step()


def test_optimizer_around_another_is_clipped_for_both() -> None:
    def train() -> None:
        net = model()
        optimizer = Around(torch.optim.SGD(net.parameters(), lr=0.01))
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

    sites = judge([Process(1, records=tuple(watch(train)))])
    assert [(site.word, site.optimizers) for site in sites] == [
        ("confirmed", ("SGD",)),
        ("confirmed", ("Around",)),
    ]


class Careful(torch.optim.SGD):
    """Clips by itself before it updates, as some projects' optimizers do."""

    def step(self, closure: object = None) -> None:
        utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 1.0)
        super().step(closure)


class CarefulAlone(torch.optim.Optimizer):  # type: ignore[misc]  # as above
    """The same, with an update of its own."""

    def __init__(self, params: object) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        params = [p for group in self.param_groups for p in group["params"]]
        utils.clip_grad_norm_(params, 1.0)
        for param in params:
            param.sub_(param.grad, alpha=0.01)


def steps_of(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], *, clipped: bool = False
) -> list[StepRecord]:
    def train() -> None:
        net = model()
        torch.optim.SGD(
            net.parameters(), lr=0.01
        )  # from now on torch calls hooks in `super().step()` as well
        optimizer = make(list(net.parameters()))
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            if clipped:
                utils.clip_grad_norm_(net.parameters(), 1.0)
            try:
                optimizer.step()
            except ArithmeticError:
                continue

    return watch(train)


def test_optimizer_that_clips_before_the_step_it_extends_is_judged_there() -> None:
    records = steps_of(lambda params: Careful(params, lr=0.01))
    assert [record.step for record in records] == list(range(1, len(records) + 1))
    (site,) = judge([Process(1, records=tuple(records))])
    assert (site.word, site.threshold) == ("confirmed", 1.0)
    assert site.shown is not None
    assert site.shown.raw > 1.0
    assert site.shown.used == pytest.approx(1.0, rel=1e-6)
    assert all(len(record.clips) == 1 and not record.clips[0].late for record in records)
    assert all(record.seconds is not None for record in records[1:])


def test_optimizer_that_clips_inside_its_own_update_is_not_accused() -> None:
    records = steps_of(CarefulAlone)
    (site,) = judge([Process(1, records=tuple(records))])
    assert site.word == "not measurable"
    assert "inside its own step" in site.reason
    assert not any(call.late for record in records for call in record.clips)


def test_closure_that_is_handed_on_is_watched_once() -> None:
    class Handing(torch.optim.LBFGS):
        def step(self, closure: Callable[[], Tensor]) -> Tensor:
            return super().step(closure)

    def train() -> None:
        net = model()
        torch.optim.LBFGS(net.parameters())
        optimizer = Handing(net.parameters(), lr=0.1, max_iter=3)
        for batch in batches():

            def closure(batch: Tensor = batch) -> Tensor:
                optimizer.zero_grad()
                loss = loss_of(net, batch)
                loss.backward()
                utils.clip_grad_norm_(net.parameters(), 1.0)
                return loss

            optimizer.step(closure)

    records = watch(train)
    steps = [(record.step, record.evaluation) for record in records]
    assert {step for step, _ in steps} == set(range(1, len(list(batches())) + 1))
    assert [evaluation for step, evaluation in steps if step == 1] == [1, 2, 3]
    (site,) = judge([Process(1, records=tuple(records))])
    assert site.word == "confirmed"


def test_step_after_one_that_failed_is_another_step() -> None:
    class Failing(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            if not self.state:
                self.state["failed"] = True
                raise ArithmeticError
            super().step(closure)

    records = steps_of(lambda params: Failing(params, lr=0.01), clipped=True)
    assert [record.step for record in records] == list(range(1, len(records) + 1))
    assert len(records) > 2
    # the clip after the failure is no clip of the step that failed
    assert [len(record.clips) for record in records] == [1] * len(records)


# -- stopping


def test_run_stops_after_the_last_step_to_be_observed() -> None:
    memory = Memory()
    with pytest.raises(StopRun) as stop, Observer(memory, max_steps=3):
        plain(GOOD["generator"])
    assert stop.value.code == 0
    assert not isinstance(stop.value, Exception)
    assert (len(memory.records), memory.stops) == (3, 1)


def test_stop_that_is_swallowed_comes_again_and_then_insists() -> None:
    memory = Memory()
    insisted: list[None] = []
    net = model()
    with Observer(memory, max_steps=1, give_up=lambda: insisted.append(None)):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(5):
            loss_of(net, next(batches())).backward()
            with pytest.raises(StopRun):
                optimizer.step()
    assert len(insisted) == 2
    assert len(memory.records) == 1
