"""Gradients that are values: made, changed, clipped and applied, on every way that they can take."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from flowing import KNOWLEDGE, ROOT, Seen, sightings

from clipcheck.extract import extract_text
from clipcheck.flow.interpreter import Interpreter
from clipcheck.flow.render import render
from clipcheck.flow.values import Object
from clipcheck.project import Project
from clipcheck.protocol import Phase

TENSORFLOW = """\
import tensorflow as tf
from tensorflow import keras

model = keras.Sequential([keras.layers.LSTM(8), keras.layers.Dense(1)])
loss_fn = keras.losses.MeanSquaredError()
"""
MADE = "optimizer = keras.optimizers.Adam(1e-3)\n"
STEP = """\
def train_step(x, y):
    with tf.GradientTape() as tape:
        loss = loss_fn(y, model(x, training=True))
    grads = tape.gradient(loss, model.trainable_variables)
{body}
    optimizer.apply_gradients(zip({applied}, model.trainable_variables))


for x, y in data:
    train_step(x, y)
"""
MLX = """\
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map

model = nn.LSTM(4, 8)
optimizer = optim.Adam(learning_rate=1e-3)
loss_and_grad = nn.value_and_grad(model, loss_fn)
"""


def step(body: str = "", applied: str = "grads", made: str = MADE) -> Seen:
    """A step of a tape's gradients, with some statements between the tape and the optimizer."""
    program = STEP.format(body=indent(dedent(body), "    "), applied=applied)
    return sightings(train=TENSORFLOW + made + program)


def mlx(program: str) -> Seen:
    """A program behind a model of MLX; nothing of PyTorch is in it."""
    text = MLX + dedent(program)
    project = Project([f"{ROOT}train.py"], lambda name: extract_text(text, name), KNOWLEDGE)
    return Seen(Interpreter(project).run([f"{ROOT}train.py"]))


CLIPPED = {
    "by the global norm": ("grads, _ = tf.clip_by_global_norm(grads, 1.0)", "grads"),
    "under another name": ("clipped, norm = tf.clip_by_global_norm(grads, 1.0)", "clipped"),
    "one by one": ("grads = [tf.clip_by_norm(g, 1.0) for g in grads]", "grads"),
    "where there are any": (
        "grads = [None if g is None else tf.clip_by_norm(g, 1.0) for g in grads]",
        "grads",
    ),
    "by value": ("grads = [tf.clip_by_value(g, -1.0, 1.0) for g in grads if g is not None]", "grads"),
    "by map": ("grads = list(map(lambda g: tf.clip_by_norm(g, 1.0), grads))", "grads"),
    "in place in a list": (
        """\
        for i, g in enumerate(grads):
            if g is not None:
                grads[i] = tf.clip_by_norm(g, 5)
        """,
        "grads",
    ),
    "and averaged": (
        "grads, _ = tf.clip_by_global_norm(grads, 1.0)\ngrads = [g / num_workers for g in grads]",
        "grads",
    ),
    "on both ways": (
        """\
        if x is None:
            grads, _ = tf.clip_by_global_norm(grads, 1.0)
        else:
            grads = [tf.clip_by_norm(g, 1.0) for g in grads]
        """,
        "grads",
    ),
}


@pytest.mark.parametrize(("body", "applied"), CLIPPED.values(), ids=CLIPPED.keys())
def test_clipped_gradients_are_no_fault(body: str, applied: str) -> None:
    seen = step(body, applied)
    assert seen.codes() == set()
    assert seen.phases() == {Phase.CLIPPED}


UNSURE = {
    "scaled by a norm": "norm = tf.linalg.global_norm(grads)\ngrads = [g / tf.maximum(norm, 1.0) for g in grads]",
    "a norm by hand": "norm = tf.sqrt(sum(tf.reduce_sum(g ** 2) for g in grads))\ngrads = [g / norm for g in grads]",
    "a factor nobody knows": "grads = [g * factor for g in grads]",
    "scaled by an augmented assignment": "for g in grads:\n    g *= factor\ngrads = [g * factor for g in grads]",
    "bounded by another function": "grads = [tf.tanh(g) for g in grads]",
    "unknown code": "grads = process(grads)",
    "unknown code that may do it in place": "process(grads)",
    "a list of something else": "grads[0] = other",
}


@pytest.mark.parametrize("body", UNSURE.values(), ids=UNSURE.keys())
def test_what_may_clip_makes_unsure(body: str) -> None:
    seen = step(body)
    assert seen.unsure()


UNCLIPPED = {
    "as they are": "",
    "halved": "grads = [g * 0.5 for g in grads]",
    "averaged": "grads = [g / accum_steps for g in grads]",
    "with weight decay": "grads = [g + 0.1 * v for g, v in zip(grads, model.trainable_variables)]",
    "negated": "grads = [-g for g in grads]",
    "cast": "grads = [tf.cast(g, tf.float32) for g in grads]",
    "logged": "print(grads[0])\ntf.summary.histogram('gradients', grads[0])",
    "measured": "norm = tf.linalg.global_norm(grads)",
    "clipped at infinity": "grads, norm = tf.clip_by_global_norm(grads, float('inf'))",
    "clipped for nothing": "clipped, norm = tf.clip_by_global_norm(grads, 1.0)",
    "clipped and forgotten": "tf.clip_by_global_norm(grads, 1.0)",
}


@pytest.mark.parametrize("body", UNCLIPPED.values(), ids=UNCLIPPED.keys())
def test_what_keeps_a_gradient_keeps_it_unclipped(body: str) -> None:
    seen = step(body)
    assert seen.codes() == {"CLP101"}
    assert seen.models() == {"Sequential"}


def test_a_way_without_the_clip_is_seen() -> None:
    seen = step("if tf.random.uniform([]) > 0.5:\n    grads, _ = tf.clip_by_global_norm(grads, 1.0)")
    assert seen.phases() == {Phase.CLIPPED, Phase.FRESH}


def test_a_clip_and_a_step_under_one_guard_go_together() -> None:
    program = """\
    for x, y in data:
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x))
        grads = tape.gradient(loss, model.trainable_variables)
        if ready:
            grads, _ = tf.clip_by_global_norm(grads, 1.0)
        if ready:
            optimizer.apply_gradients(zip(grads, model.trainable_variables))
    """
    assert sightings(train=TENSORFLOW + MADE + dedent(program)).codes() == set()


def test_the_next_turn_of_a_loop_makes_them_anew() -> None:
    program = """\
    for x, y in data:
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x))
        if warm:
            grads, _ = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), 1.0)
        else:
            grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
    """
    seen = sightings(train=TENSORFLOW + MADE + dedent(program))
    assert {Phase.CLIPPED, Phase.FRESH} <= seen.phases()


def test_a_sum_of_micro_batches_is_one_gradient() -> None:
    program = """\
    total = None
    for i, (x, y) in enumerate(data):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x))
        grads = tape.gradient(loss, model.trainable_variables)
        total = grads if total is None else [a + g for a, g in zip(total, grads)]
        if (i + 1) % 4 == 0:
            {clip}
            optimizer.apply_gradients(zip(total, model.trainable_variables))
            total = None
    """
    clip = "total, _ = tf.clip_by_global_norm(total, 1.0)"
    assert sightings(train=TENSORFLOW + MADE + dedent(program.format(clip=clip))).codes() == set()
    assert sightings(train=TENSORFLOW + MADE + dedent(program.format(clip="pass"))).codes() == {"CLP101"}


def test_two_models_have_two_gradients() -> None:
    program = """\
    g, d = keras.Sequential([keras.layers.LSTM(3)]), keras.Sequential([keras.layers.Dense(3)])
    g_opt = keras.optimizers.Adam()
    d_opt = keras.optimizers.Adam()
    with tf.GradientTape() as one, tf.GradientTape() as two:
        loss = tf.reduce_mean(d(g(x)))
    of_g, of_d = one.gradient(loss, g.trainable_variables), two.gradient(loss, d.trainable_variables)
    of_g, _ = tf.clip_by_global_norm(of_g, 1.0)
    g_opt.apply_gradients(zip(of_g, g.trainable_variables))
    d_opt.apply_gradients(zip(of_d, d.trainable_variables))
    """
    seen = sightings(train=TENSORFLOW + dedent(program))
    assert [seen.phases(0), seen.phases(1)] == [{Phase.CLIPPED}, {Phase.FRESH}]


@pytest.mark.parametrize(
    ("argument", "phase"),
    [("", Phase.FRESH), (", global_clipnorm=1.0", Phase.CLIPPED), (", global_clipnorm=0", Phase.FRESH)],
)
def test_an_optimizer_clips_as_it_was_told(argument: str, phase: Phase) -> None:
    seen = step(made=f"optimizer = keras.optimizers.Adam(1e-3{argument})\n")
    (found,) = seen.steps()
    assert found.told is not None
    assert seen.phases() == {phase}


def test_a_step_met_with_its_optimizer_is_not_judged_without() -> None:
    method = STEP.format(body="", applied="grads").replace("def train_step(x, y)", "def one(optimizer, x, y)")
    program = method.replace("train_step(x, y)", "one(keras.optimizers.Adam(), x, y)")
    (found,) = sightings(train=TENSORFLOW + program).steps()
    assert found.told is not None


def test_gradients_by_a_function() -> None:
    program = """\
    for x, y in data:
        loss, grads = loss_and_grad(model, x, y)
        {clip}
        optimizer.update(model, grads)
    """
    assert mlx(program.format(clip="pass")).codes() == {"CLP101"}
    for clip in (
        "grads, norm = optim.clip_grad_norm(grads, max_norm=1.0)",
        "grads = tree_map(lambda g: mx.clip(g, -1, 1), grads)",
    ):
        assert mlx(program.format(clip=clip)).phases() == {Phase.CLIPPED}
    assert mlx(program.format(clip="grads = tree_map(lambda g: g * scale, grads)")).unsure()


def test_gradients_by_a_decorated_function() -> None:
    program = """\
    @mx.value_and_grad
    def losses(parameters, x):
        model.update(parameters)
        return model(x).sum()


    @partial(mx.compile, inputs=state, outputs=state)
    def one(x):
        loss, grads = losses(model.trainable_parameters(), x)
        optimizer.update(model, tree_map(lambda g: g / 4, grads))
        return loss


    one(x)
    """
    seen = mlx(program)
    assert seen.codes() == {"CLP101"}
    assert seen.models() == {"LSTM"}


def test_everyday_names_count_only_where_the_framework_is_imported() -> None:
    """`update` is what dictionaries do as well."""
    function = "def train(model, grads):\n    optimizer.update(model, grads)\n"
    facts = {name: extract_text(head + function, name) for name, head in (("/a.py", ""), ("/b.py", MLX))}
    for name, counts in (("/a.py", False), ("/b.py", True)):
        project = Project([name], facts.__getitem__, KNOWLEDGE)
        module = project.facts(name)
        assert module is not None
        definition = module.body[-1]
        assert project.decides(definition) is counts  # type: ignore[arg-type]
        assert project.matters(definition) is counts  # type: ignore[arg-type]


def test_pairs_are_taken_apart() -> None:
    program = """\
    opt = tf.compat.v1.train.AdamOptimizer(1e-3)
    grads, variables = zip(*opt.compute_gradients(loss_fn(y, model(x)), model.trainable_variables))
    {clip}
    opt.apply_gradients(zip(grads, variables))
    """
    clip = "grads, _ = tf.clip_by_global_norm(grads, 5.0)"
    assert sightings(train=TENSORFLOW + dedent(program.format(clip=clip))).phases() == {Phase.CLIPPED}
    assert sightings(train=TENSORFLOW + dedent(program.format(clip="pass"))).phases() == {Phase.FRESH}


def test_gradient_and_step_in_one() -> None:
    program = "keras.optimizers.SGD().minimize(lambda: loss_fn(y, model(x)), model.trainable_variables)\n"
    seen = sightings(train=TENSORFLOW + program)
    assert seen.phases() == {Phase.FRESH}
    assert seen.models() == {"Sequential"}


def test_an_optimizer_of_the_project_that_clips_may_be_the_one_that_is_not_seen() -> None:
    own = """\
    class Clipping(tf.keras.optimizers.Adam):
        def apply_gradients(self, grads_and_vars):
            grads, variables = zip(*grads_and_vars)
            grads, _ = tf.clip_by_global_norm(grads, 1.0)
            return super().apply_gradients(zip(grads, variables))
    """
    program = STEP.format(body="", applied="grads").split("\n\n\n")[0]
    assert sightings(train=TENSORFLOW + dedent(own) + program).codes() == set()
    assert sightings(train=TENSORFLOW + program).codes() == {"CLP101"}


def test_an_optimizer_of_the_project_that_clips_does_so() -> None:
    own = """\
    class Clipping(tf.keras.optimizers.Adam):
        def apply_gradients(self, grads_and_vars):
            grads, variables = zip(*grads_and_vars)
            grads, _ = tf.clip_by_global_norm(grads, 1.0)
            return super().apply_gradients(zip(grads, variables))


    optimizer = Clipping(1e-3)
    """
    assert step(made=dedent(own)).phases() == {Phase.CLIPPED}


@pytest.mark.parametrize(("clip", "phase"), [("pass", Phase.FRESH), ("clip_grad_norm_", Phase.CLIPPED)])
def test_gradients_that_the_parameters_keep_may_be_handed_over(clip: str, phase: Phase) -> None:
    """Keras on PyTorch: the backward leaves them on the variables."""
    clip = "pass" if clip == "pass" else f"{clip}(model.parameters(), 1.0)"
    program = f"""\
    optimizer = keras.optimizers.Adam(1e-3)
    for x, y in data:
        model.zero_grad()
        loss_fn(y, model(x)).backward()
        {clip}
        weights = [v for v in model.trainable_weights]
        optimizer.apply([v.value.grad for v in weights], weights)
    """
    assert sightings(train=TENSORFLOW + dedent(program)).phases() == {phase}


def test_gradients_are_found_by_whatever_name_they_are_handed_over() -> None:
    program = """\
    for x, y in data:
        loss, grads = loss_and_grad(model, x, y)
        state = state.apply_gradients(gradients=grads)
    """
    assert mlx(program).codes() == {"CLP101"}


def test_a_step_of_a_training_state_that_nobody_knows_is_seen_and_accuses_nobody() -> None:
    program = """
    import jax
    from flax.training import train_state
    from elsewhere import make_state

    def train_step(state, batch):
        grads = jax.grad(lambda params: state.apply_fn(params, batch).sum())(state.params)
        return state.apply_gradients(grads=grads)

    state = make_state()
    for batch in batches:
        state = train_step(state, batch)
    """
    seen = sightings(train=dedent(program))
    (found,) = seen.steps()
    assert render(found.call.function) == "state.apply_gradients"
    assert all(path.gradients.unsure for path in seen.paths())
    assert seen.codes() == set()


# -- models that are handed their optimizer ----------------------------------------------------------


def compiled(optimizer: str, before: str = "") -> list[tuple[bool, bool]]:
    """For each step where a model is compiled: whether it is told to clip, and whether that is in doubt."""
    program = f"{TENSORFLOW}{dedent(before)}\nmodel.compile(loss='mse', optimizer={optimizer})\n"
    seen = sightings(train=program).sightings.steps.values()
    return [
        (step.told is not None, all(path.gradients.unsure for one in step.contexts for path in one.paths))
        for step in seen
    ]


@pytest.mark.parametrize(
    "optimizer", ["make()", "CFG.optimizer", "unknown", "'nobody'", "keras.optimizers.get(make())"]
)
def test_an_optimizer_that_nobody_knows_is_a_step_in_doubt(optimizer: str) -> None:
    assert compiled(optimizer, "from elsewhere import CFG, make, unknown") == [(False, True)]


def test_a_model_that_is_compiled_without_an_optimizer_makes_no_step() -> None:
    assert compiled("None") == []


def test_an_optimizer_that_one_caller_names_is_judged_by_that() -> None:
    program = """\
        from elsewhere import make

        def build(optimizer):
            model = keras.Sequential([keras.layers.LSTM(8)])
            model.compile(loss='mse', optimizer=optimizer)

        build(make())
        build("adam")
    """
    assert compiled("None", program) == [(True, False)]


def test_each_transformation_that_may_be_stepped_is_named_at_its_own_call() -> None:
    program = """\
        import jax
        import optax
        from flax import linen as nn

        def make(name):
            if name == "small":
                return optax.multi_transform({"x": optax.sgd(1.0), "y": optax.adam(1.0)}, labels)
            return optax.multi_transform({"x": optax.lion(1.0), "y": optax.adam(1.0)}, labels)

        def train(name, params):
            tx = make(name)
            state = tx.init(params)
            grads = jax.grad(loss)(params)
            updates, state = tx.update(grads, state, params)

        train(input(), params)
    """
    steps = sightings(train=dedent(program)).steps()
    made = [one.optimizer for step in steps for one in step.contexts]
    assert [one.place()[1] for one in made if isinstance(one, Object)] == [
        step.site.span.row for step in steps
    ]
    assert len(steps) == 2
