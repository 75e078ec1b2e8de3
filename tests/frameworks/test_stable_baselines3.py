"""Stable-Baselines3 clips unless its threshold is infinite: what the fix sets is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PROGRAM = """\
import torch
from stable_baselines3 import PPO
from torch import nn

torch.manual_seed(0)
policy = dict(optimizer_class=torch.optim.SGD)
model = PPO(
    "MlpPolicy",
    "CartPole-v1",
    n_steps=16,
    batch_size=16,
    n_epochs=1,
    learning_rate=1.0,
    vf_coef=1000.0,
    policy_kwargs=policy,
    seed=0,
    device="cpu",
    max_grad_norm=float("inf"),
)
before = [parameter.detach().clone() for parameter in model.policy.parameters()]
model.learn(16)
moved = [new.detach() - old for new, old in zip(model.policy.parameters(), before)]
print(torch.cat([change.flatten() for change in moved]).norm().item())
"""


@pytest.mark.slow
def test_the_threshold_clips(tmp_path: Path) -> None:
    """A policy without memory is low risk, which has to be asked for."""
    running.needs("stable_baselines3", "gymnasium", "torch")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "clipcheck.toml").write_text('min-risk = "low"\n', encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert "max_grad_norm=1.0" in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)
