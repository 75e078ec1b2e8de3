"""What a fix writes for MLX is run: the parameters move by the norm that the fix says."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

# SGD with a learning rate of 1.0 moves the parameters by the gradient that it used.
PROGRAM = """\
import mlx.core as mx
import mlx.nn as nn
{imported}
from mlx.utils import tree_flatten, tree_map


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 8)
        self.head = nn.Linear(8, 1)

    def __call__(self, x):
        hidden, _ = self.lstm(x)
        return self.head(hidden)


def loss_fn(model, x, y):
    return mx.mean(mx.square(model(x) - y))


mx.random.seed(0)
model = Reader()
optimizer = {optimizer}
loss_and_grad = nn.value_and_grad(model, loss_fn)
before = tree_map(mx.array, model.parameters())
loss, grads = loss_and_grad(model, mx.ones((2, 5, 4)), mx.full((2, 5, 1), 1000.0))
{clip}
optimizer.update(model, grads)
mx.eval(model.parameters(), optimizer.state)
moved = tree_flatten(tree_map(lambda old, new: mx.square(old - new).sum().item(), before, model.parameters()))
print(sum(square for _, square in moved) ** 0.5)
"""
OPTIM = ("import mlx.optimizers as optim", "optim.SGD(learning_rate=1.0)")
PROGRAMS = {
    "before the update": (
        *OPTIM,
        "pass",
        "grads, _ = optim.clip_grad_norm(grads, max_norm=1.0)\noptimizer.update",
    ),
    "with an import of its own": (
        "from mlx.optimizers import SGD",
        "SGD(learning_rate=1.0)",
        "pass",
        "grads, _ = mlx.optimizers.clip_grad_norm(grads, max_norm=1.0)\noptimizer.update",
    ),
    "by taking what the clip gives back": (
        *OPTIM,
        "optim.clip_grad_norm(grads, max_norm=1.0)",
        "grads, _ = optim.clip_grad_norm(grads, max_norm=1.0)\noptimizer.update",
    ),
    "where a name was given to it": (
        *OPTIM,
        "clipped, norm = optim.clip_grad_norm(grads, max_norm=1.0)",
        "grads, norm = optim.clip_grad_norm(grads, max_norm=1.0)\noptimizer.update",
    ),
}


@pytest.mark.parametrize(("imported", "optimizer", "clip", "written"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_fixed_program_moves_by_a_norm_of_one(
    imported: str, optimizer: str, clip: str, written: str, tmp_path: Path
) -> None:
    running.needs("mlx")
    program = PROGRAM.format(imported=imported, optimizer=optimizer, clip=clip)
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert written in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-4)
