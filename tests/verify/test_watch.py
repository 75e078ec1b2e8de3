"""The library: `with clipcheck.watch() as run`, in this process."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

import clipcheck
from clipcheck.verify.showing.page import to_html
from clipcheck.verify.watch import Watch

from .watching import batches, loss_of, model

optimizers = importlib.import_module("torch.optim.optimizer")  # torch.optim deletes the name


def trainer(*, clip: bool = True, max_norm: float = 1.0, count: int = 3) -> Callable[[], None]:
    """Give a function that trains; its optimizer is there already."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def train() -> None:
        for batch in batches(count):
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            if clip:
                clip_grad_norm_(net.parameters(), max_norm)
            optimizer.step()

    return train


def what_is_patched() -> list[object]:
    return [
        torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_, clip_grad_norm_, torch.autograd.backward,
        torch.optim.Optimizer.__init__, torch.amp.GradScaler.step, torch.amp.GradScaler.scale,
        len(optimizers._global_optimizer_pre_hooks),
        len(optimizers._global_optimizer_post_hooks),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    before = what_is_patched()
    yield
    assert what_is_patched() == before


def test_clipped_steps_are_confirmed() -> None:
    train = trainer()
    with clipcheck.watch() as run:
        train()
    assert run.verdict == "confirmed", run
    assert [record.step for record in run.steps] == [1, 2, 3]
    assert all(record.used == pytest.approx(1.0, rel=1e-5) for record in run.steps)
    (site,) = run.sites
    assert (site.place.filename, site.observed, site.threshold) == (__file__, 3, 1.0)
    assert run.failures == ()


def test_an_optimizer_from_before_is_known_at_its_first_backward() -> None:
    train = trainer(count=1)
    with clipcheck.watch() as run:
        train()
    (record,) = run.steps
    assert record.loss is not None
    assert math.isfinite(record.loss)


def test_unclipped_steps_are_refuted() -> None:
    train = trainer(clip=False)
    with clipcheck.watch() as run:
        train()
    assert run.verdict == "refuted"
    assert "nothing clipped the gradients" in str(run)


def test_max_norm_stands_in_for_the_threshold() -> None:
    train = trainer(max_norm=1e9)
    with clipcheck.watch(max_norm=1.0) as run:
        train()
    assert run.verdict == "refuted", run


def test_nothing_stepped() -> None:
    with clipcheck.watch() as run:
        pass
    assert (run.verdict, run.steps, run.sites) == ("not reached", (), ())


def test_verdict_inside_and_before() -> None:
    run = clipcheck.watch()
    assert run.verdict == "not reached"
    train = trainer()
    with run:
        train()
        assert run.verdict == "confirmed"
    train()
    assert len(run.steps) == 3, "it records after its end"


def test_nested_watches_see_what_was_in_them() -> None:
    good, bad = trainer(), trainer(clip=False)
    with clipcheck.watch() as outer:
        bad()
        with clipcheck.watch() as inner:
            good()
        assert "clipcheck" in torch.nn.utils.clip_grad_norm_.__code__.co_filename
    assert (inner.verdict, [record.step for record in inner.steps]) == ("confirmed", [1, 2, 3])
    assert (outer.verdict, [record.step for record in outer.steps]) == ("refuted", [1, 2, 3, 4, 5, 6])


def test_watches_may_overlap() -> None:
    train = trainer()
    first, second = clipcheck.watch(), clipcheck.watch()
    first.__enter__()
    second.__enter__()
    first.__exit__()
    train()
    second.__exit__()
    assert (first.verdict, second.verdict) == ("not reached", "confirmed")


def test_clips_before_an_optimizer_was_made_are_none_of_its() -> None:
    with clipcheck.watch():
        trainer()()
        bad = trainer(clip=False)
        with clipcheck.watch() as run:
            bad()
    (site,) = run.sites
    assert site.reason == "nothing clipped the gradients"
    assert run.steps[0].clips == ()


def test_threads_open_and_close_at_once() -> None:
    ready, failures = threading.Barrier(4), []

    def many() -> None:
        ready.wait(timeout=60)
        try:
            for _ in range(20):
                with clipcheck.watch():
                    pass
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_exception_passes_and_all_is_put_back() -> None:
    train = trainer()
    with pytest.raises(ZeroDivisionError), clipcheck.watch() as run:
        train()
        raise ZeroDivisionError
    assert run.verdict == "confirmed"


def test_opened_once() -> None:
    with clipcheck.watch() as run:
        pass
    with pytest.raises(RuntimeError, match="opened once"):
        run.__enter__()


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_a_threshold_is_above_zero(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm is a norm above 0"):
        clipcheck.watch(max_norm=max_norm)


def test_a_failure_of_the_observer_confirms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train = trainer()
    with clipcheck.watch() as run:
        train()
        monkeypatch.setattr("clipcheck.verify.observing.steps.measure", lambda _: 1 / 0)
        train()
    assert run.verdict == "not measurable"
    assert "ZeroDivisionError" in run.failures[0]


def test_it_advises_a_threshold() -> None:
    train = trainer(count=10)
    with clipcheck.watch() as run:
        train()
    ((place, advice),) = run.advice.items()
    assert place == run.sites[0].place
    assert (advice.current, advice.clipped_share) == (1.0, 1.0)
    assert advice.largest == max(record.raw for record in run.steps)


def test_its_verification_has_a_page() -> None:
    train = trainer()
    with clipcheck.watch() as run:
        train()
    assert "confirmed" in to_html(run.verification)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clipcheck.verify.observing.observer", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "clipcheck.verify.observing.observer")
    with pytest.raises(ImportError, match=r"torch is not installed: pip install 'clipcheck\[verify\]'"):
        Watch().__enter__()


def test_importing_clipcheck_imports_little() -> None:
    code = (
        "import sys, clipcheck; clipcheck.watch; clipcheck.watch();"
        "print([m for m in ('torch', 'numpy', 'libcst', 'rich', 'matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
