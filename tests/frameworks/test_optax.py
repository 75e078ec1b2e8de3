"""What a fix writes for optax is run: with a learning rate of 1.0, the parameters move by the gradient that is used."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

PLAIN = """\
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

model = nn.Sequential([nn.RNN(nn.GRUCell(8)), nn.Dense(1)])
x = jnp.ones((4, 6, 3))
params = model.init(jax.random.key(0), x)
tx = optax.sgd(1.0)
opt_state = tx.init(params)


def loss_fn(params, x):
    return jnp.mean((model.apply(params, x) - 1000.0) ** 2)


@jax.jit
def step(params, opt_state, x):
    grads = jax.grad(loss_fn)(params, x)
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


after, opt_state = step(params, opt_state, x)
print(optax.global_norm(jax.tree.map(jnp.subtract, after, params)))
"""

LINEN = """\
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state


class Tagger(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.RNN(nn.OptimizedLSTMCell(8))(x))


x = jnp.ones((4, 6, 3))
model = Tagger()
params = model.init(jax.random.key(0), x)["params"]
state = train_state.TrainState.create(apply_fn=model.apply, params=params, tx=optax.sgd(1.0))


@jax.jit
def train_step(state, x):
    def loss_fn(params):
        return jnp.mean((state.apply_fn({"params": params}, x) - 1000.0) ** 2)

    grads = jax.grad(loss_fn)(state.params)
    return state.apply_gradients(grads=grads)


after = train_step(state, x)
print(optax.global_norm(jax.tree.map(jnp.subtract, after.params, state.params)))
"""

NNX = """\
import jax
import jax.numpy as jnp
import optax
from flax import nnx


class Tagger(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.LSTMCell(3, 8, rngs=rngs))
        self.head = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.head(self.rnn(x))


def loss_fn(model, x):
    return jnp.mean((model(x) - 1000.0) ** 2)


@nnx.jit
def train_step(model, optimizer, x):
    loss, grads = nnx.value_and_grad(loss_fn)(model, x)
    optimizer.update(model, grads)


model = Tagger(nnx.Rngs(0))
optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
before = jax.tree.map(jnp.array, nnx.state(model, nnx.Param))
train_step(model, optimizer, jnp.ones((4, 6, 3)))
print(optax.global_norm(jax.tree.map(jnp.subtract, nnx.state(model, nnx.Param), before)))
"""

ACCUMULATING = PLAIN.replace("tx = optax.sgd(1.0)", "tx = optax.MultiSteps(optax.sgd(1.0), 3)").replace(
    "after, opt_state = step(params, opt_state, x)",
    "after = params\nfor number in range(3):\n    after, opt_state = step(after, opt_state, x * (number + 1))",
)

CASES = {
    "plain": (PLAIN, "optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))"),
    "linen": (LINEN, "tx=optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))"),
    "nnx": (NNX, "model, optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)), wrt=nnx.Param"),
    "accumulating": (
        ACCUMULATING,
        "optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)), 3)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_fixed_program_moves_by_a_norm_of_one(case: str, tmp_path: Path) -> None:
    running.needs("jax", "optax", "flax")
    program, written = CASES[case]
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    assert running.norm(tmp_path) > 100
    assert written in running.fixed(tmp_path)
    assert running.norm(tmp_path) == pytest.approx(1.0, rel=1e-3)


MISPLACED = {
    # Behind the optimizer, the clip bounds the update: a learning rate of 0.01 makes it 0.01 in front.
    "behind": ("optax.chain(optax.sgd(0.01), optax.clip_by_global_norm(1.0))", 1.0, 0.01),
    "value": ("optax.chain(optax.clip(0.5), optax.sgd(1.0))", None, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MISPLACED)
def test_a_clip_in_the_wrong_place_or_of_the_wrong_kind(case: str, tmp_path: Path) -> None:
    """The unsafe fixes: a clip moved to the front of its chain, and one of values made one of the norm."""
    running.needs("jax", "optax", "flax")
    chain, before, after = MISPLACED[case]
    (tmp_path / "train.py").write_text(PLAIN.replace("optax.sgd(1.0)", chain), encoding="utf-8")
    used = running.norm(tmp_path)
    assert used == pytest.approx(before, rel=1e-3) if before is not None else used > 2.0
    running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path) == pytest.approx(after, rel=1e-3)
