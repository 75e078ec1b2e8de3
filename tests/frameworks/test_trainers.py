"""What a fix writes for a framework is run: the norm that the optimizer uses is what the fix says."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

KERAS = """\
import keras
import numpy as np

keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(8), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
before = [np.array(variable) for variable in model.trainable_variables]
model.train_on_batch(np.ones((2, 5, 4)), np.full((2, 1), 1000.0))
after = [np.array(variable) for variable in model.trainable_variables]
print(sum(((new - old) ** 2).sum() for new, old in zip(after, before)) ** 0.5)
"""


@pytest.mark.slow
def test_the_fixed_keras_program_moves_by_a_norm_of_one(tmp_path: Path) -> None:
    """SGD with a learning rate of 1.0 moves the variables by the gradient that it used."""
    running.needs("keras", "torch")
    (tmp_path / "train.py").write_text(KERAS, encoding="utf-8")
    backend = {"KERAS_BACKEND": "torch"}
    assert running.norm(tmp_path, backend) > 100
    assert "SGD(1.0, global_clipnorm=1.0)" in running.fixed(tmp_path)
    assert running.norm(tmp_path, backend) == pytest.approx(1.0, rel=1e-5)
