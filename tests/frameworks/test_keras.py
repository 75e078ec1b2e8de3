"""What a fix writes for Keras is run: the variables move by the norm that the fix says."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

HEAD = """\
import keras
import numpy as np
{more}
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(8), keras.layers.Dense(1)])
"""
# With a learning rate of 1.0, SGD moves the variables by the gradient that it used.
MEASURED = """\
before = [np.array(variable) for variable in model.trainable_variables]
model.fit(np.ones((2, 5, 4)), np.full((2, 1), 1000.0), verbose=0)
after = [np.array(variable) for variable in model.trainable_variables]
print(sum(((new - old) ** 2).sum() for new, old in zip(after, before)) ** 0.5)
"""
JAX = """\
optimizer = keras.optimizers.SGD(1.0)
optimizer.build(model.trainable_variables)


def compute(trainable, others, x, y):
    predicted, others = model.stateless_call(trainable, others, x)
    return ((predicted - y) ** 2).mean(), others


@jax.jit
def train_step(trainable, others, slots, x, y):
    (loss, others), grads = jax.value_and_grad(compute, has_aux=True)(trainable, others, x, y)
    trainable, slots = optimizer.stateless_apply(slots, grads, trainable)
    return trainable, others, slots


state = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables, optimizer.variables))
before, others, slots = state
after, others, slots = train_step(before, others, slots, np.ones((2, 5, 4)), np.full((2, 1), 1000.0))
print(sum(float(((new - old) ** 2).sum()) for new, old in zip(after, before)) ** 0.5)
"""
COMPILED = {
    "by an argument": ("keras.optimizers.SGD(1.0)", "SGD(1.0, global_clipnorm=1.0)"),
    "by the optimizer inside a loss scale": (
        "keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=1.0)",
        "keras.optimizers.SGD(1.0, global_clipnorm=1.0), initial_scale=1.0)",
    ),
    "by the norm of all": ("keras.optimizers.SGD(1.0, clipnorm=1.0)", "SGD(1.0, global_clipnorm=1.0)"),
    "by the norm in place of the values": (
        "keras.optimizers.SGD(1.0, clipvalue=0.5)",
        "SGD(1.0, global_clipnorm=1.0)",
    ),
}


def compiled(optimizer: str) -> str:
    return HEAD.format(more="") + f'model.compile(optimizer={optimizer}, loss="mse")\n' + MEASURED


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "written"), COMPILED.values(), ids=COMPILED.keys())
def test_the_fixed_program_moves_by_a_norm_of_one(optimizer: str, written: str, tmp_path: Path) -> None:
    running.needs("keras", "torch")
    (tmp_path / "train.py").write_text(compiled(optimizer), encoding="utf-8")
    backend = {"KERAS_BACKEND": "torch"}
    assert running.norm(tmp_path, backend) > 1.5
    assert written in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path, backend) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("written", ['"sgd"', None])
def test_an_optimizer_by_name_or_by_default_becomes_one_that_clips(
    written: str | None, tmp_path: Path
) -> None:
    """Its learning rate is the default one: SGD moves by 0.01 times the norm, RMSprop by its own measure."""
    running.needs("keras", "torch")
    given = f"optimizer={written}, " if written else ""
    program = HEAD.format(more="") + f'model.compile({given}loss="mse")\n' + MEASURED
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    backend = {"KERAS_BACKEND": "torch"}
    before = running.norm(tmp_path, backend)
    text = running.fixed(tmp_path)
    after = running.norm(tmp_path, backend)
    if written:
        assert "optimizer=keras.optimizers.SGD(global_clipnorm=1.0)" in text
        assert before > 1
        assert after == pytest.approx(0.01, rel=1e-3)
    else:
        assert "optimizer=keras.optimizers.RMSprop(global_clipnorm=1.0)" in text
        assert after == pytest.approx(before, rel=0.1)  # it divides by the size of the gradient


@pytest.mark.slow
def test_a_step_without_state_clips_as_its_optimizer_is_told(tmp_path: Path) -> None:
    running.needs("keras", "jax")
    (tmp_path / "train.py").write_text(HEAD.format(more="import jax\n") + JAX, encoding="utf-8")
    backend = {"KERAS_BACKEND": "jax"}
    assert running.norm(tmp_path, backend) > 100
    assert "SGD(1.0, global_clipnorm=1.0)" in running.fixed(tmp_path)
    assert running.norm(tmp_path, backend) == pytest.approx(1.0, rel=1e-4)
