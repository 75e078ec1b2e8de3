"""Steps with a closure: every evaluation is an update of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from .watching import batches, loss_of, model, verdict, watch

utils = torch.nn.utils
Make = Callable[[nn.Module], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda net: torch.optim.SGD(net.parameters(), lr=0.01),
    "LBFGS": lambda net: torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=4),
    "LBFGS with line search": lambda net: torch.optim.LBFGS(
        net.parameters(), lr=1.0, max_iter=3, line_search_fn="strong_wolfe"
    ),
}
optimizers = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def closures(make: Make, *, inside: bool = False, outside: bool = False, keyword: bool = False) -> None:
    net = model()
    optimizer: Any = make(net)
    for batch in batches(3):

        def closure(batch: Tensor = batch) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(net, batch)
            loss.backward()
            if inside:
                utils.clip_grad_norm_(net.parameters(), 1.0)
            return loss

        if outside:
            utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step(closure=closure) if keyword else optimizer.step(closure)


@optimizers
def test_clip_inside_the_closure_is_confirmed(make: Make) -> None:
    site = verdict(lambda: closures(make, inside=True))
    assert site.word == "confirmed", site


@pytest.mark.parametrize("keyword", [False, True], ids=["positional", "keyword"])
def test_every_evaluation_is_recorded(keyword: bool) -> None:
    records = watch(lambda: closures(OPTIMIZERS["LBFGS"], inside=True, keyword=keyword))
    assert [record.evaluation for record in records if record.step == 1] == [1, 2, 3, 4]
    assert all(record.used == pytest.approx(1.0, rel=1e-5) for record in records if record.raw > 1.0)


def test_gradients_made_before_a_closure_that_only_measures() -> None:
    def train() -> None:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for batch in batches():
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step(lambda batch=batch: loss_of(net, batch).item())

    assert verdict(train).word == "confirmed"


@optimizers
def test_unclipped_closure_is_refuted(make: Make) -> None:
    site = verdict(lambda: closures(make))
    assert (site.word, site.reason) == ("refuted", "nothing clipped the gradients")
    assert site.shown is not None
    assert site.shown.evaluation == 1


@optimizers
def test_clip_outside_the_closure_is_refuted(make: Make) -> None:
    assert verdict(lambda: closures(make, outside=True)).word == "refuted"
