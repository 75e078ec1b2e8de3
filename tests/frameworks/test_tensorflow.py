"""What a fix writes for TensorFlow is run: the variables move by the norm that the fix says."""

from __future__ import annotations

from pathlib import Path

import pytest
import running

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
HEAD = """\
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
model = tf.keras.Sequential([tf.keras.Input((5, 4)), tf.keras.layers.LSTM(8), tf.keras.layers.Dense(1)])
"""
STEP = """\

def train_step(x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    gradients = tape.gradient(loss, model.trainable_variables)
    {clip}
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))


train_step(tf.ones((2, 5, 4)), tf.fill((2, 1), 1000.0))
"""
SUBCLASS = """\
import tensorflow as tf


class Forecaster(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.rnn = tf.keras.layers.LSTM(8)
        self.head = tf.keras.layers.Dense(1)

    def call(self, x):
        return self.head(self.rnn(x))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}


tf.keras.utils.set_random_seed(0)
model = Forecaster()
model(tf.ones((2, 5, 4)))
model.compile(optimizer=tf.keras.optimizers.SGD(1.0), loss="mse")
"""
FIT = "model.fit(tf.ones((2, 5, 4)), tf.fill((2, 1), 1000.0), verbose=0)\n"
# SGD with a learning rate of 1.0 moves the variables by the gradient that it used.
MEASURED = """\
before = [variable.numpy() for variable in model.trainable_variables]
{train}
after = [variable.numpy() for variable in model.trainable_variables]
print(sum(((new - old) ** 2).sum() for new, old in zip(after, before)) ** 0.5)
"""


def measured(program: str) -> str:
    """A program whose last line trains, between two looks at the variables."""
    head, _, last = program.rstrip("\n").rpartition("\n")
    return head + "\n" + MEASURED.format(train=last)


def tape(clip: str, optimizer: str = "optimizer = tf.keras.optimizers.SGD(1.0)") -> str:
    return measured(HEAD + optimizer + "\n\n" + STEP.format(clip=clip))


PROGRAMS = {
    "where the optimizer is made": (tape("pass"), "SGD(1.0, global_clipnorm=1.0)"),
    "before a step of an optimizer that is not seen": (
        tape(
            "pass",
            'optimizer = tf.keras.optimizers.get({"class_name": "SGD", "config": {"learning_rate": 1.0}})',
        ),
        "gradients, _ = tf.clip_by_global_norm(gradients, 1.0)\n    optimizer.apply_gradients",
    ),
    "by taking what the clip gives back": (
        tape("tf.clip_by_global_norm(gradients, 1.0)"),
        "gradients, _ = tf.clip_by_global_norm(gradients, 1.0)",
    ),
    "by the norm of all": (
        tape("gradients = [tf.clip_by_norm(g, 1.0) for g in gradients]"),
        "gradients, _ = tf.clip_by_global_norm(gradients, 1.0)",
    ),
    "by the norm in place of the values": (
        tape("gradients = [tf.clip_by_value(g, -1.0, 1.0) for g in gradients]"),
        "gradients, _ = tf.clip_by_global_norm(gradients, 1.0)",
    ),
    "in a training step of its own": (measured(SUBCLASS + FIT), "SGD(1.0, global_clipnorm=1.0)"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("program", "written"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_the_fixed_program_moves_by_a_norm_of_one(program: str, written: str, tmp_path: Path) -> None:
    running.needs("tensorflow")
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    assert running.norm(tmp_path, QUIET) > 1.5
    assert written in running.fixed(tmp_path, unsafe=True)
    assert running.norm(tmp_path, QUIET) == pytest.approx(1.0, rel=1e-4)
