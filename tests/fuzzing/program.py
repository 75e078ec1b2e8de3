"""Made training programs: what happens in them, and the text that they are written as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["zero", "backward", "unscale", "clip", "step", "update"]


@dataclass(eq=False)
class Act:
    """One event, at one row. `over` are models for a backward and a clip, and one optimizer for the rest."""

    kind: Kind
    over: tuple[int, ...]
    how: str = ""  # see `_written`
    scaled: bool = False  # of a backward: the loss is multiplied by the scaler
    row: int = 0


@dataclass(eq=False)
class Condition:
    """A condition that nobody knows: fixed for the whole run, or drawn anew in every turn of a loop."""

    text: str
    fixed: bool
    negated: bool = False
    accumulates: bool = False  # whether it reads like a test for the last micro-batch


@dataclass(eq=False)
class If:
    test: Condition
    body: list[Node]
    orelse: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Loop:
    """A loop: over data that may be empty, over `range(4)`, or `while`; `micro` names micro-batches in its head."""

    form: Literal["data", "range", "while", "micro"]
    number: int
    body: list[Node]
    row: int = 0


@dataclass(eq=False)
class Each:
    """A loop over all pairs of a model and its optimizer, written out: the events are of one pair (number 0)."""

    body: list[Act]


@dataclass(eq=False)
class With:
    body: list[Node]


@dataclass(eq=False)
class Call:
    """A call of a helper function with one pair of model and optimizer."""

    helper: int
    pair: int
    row: int = 0


@dataclass(eq=False)
class Jump:
    how: Literal["continue", "break", "return", "pass"]


Node = Act | If | Loop | Each | With | Call | Jump


@dataclass(eq=False)
class Program:
    """A program: `models` models, each with an optimizer, or one optimizer for all of them (`joint`)."""

    models: int
    joint: bool
    layout: Literal["module", "function", "called"]
    body: list[Node]
    helpers: list[list[Act]] = field(
        default_factory=list
    )  # in each, the pair that is handed over is number 0
    flags: tuple[str, ...] = ()

    @property
    def optimizers(self) -> list[tuple[int, ...]]:
        """The models that each optimizer updates."""
        every = range(self.models)
        return [tuple(every)] if self.joint else [(model,) for model in every]


MODELS = ("reader", "writer")
OPTIMIZERS = ("opt_reader", "opt_writer")
HEAD = """\
import itertools

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
"""


def written(program: Program) -> str:
    """The text of a program; every node gets its row."""
    lines = HEAD.splitlines()
    called = {node.helper for node in nodes(program.body) if isinstance(node, Call)}
    for number, helper in enumerate(program.helpers):
        if number not in called:  # it would be judged for itself
            continue
        lines += ["", "", f"def helper_{number}(net, optim, batch):"]
        names = _Names(("net",), ("optim",), "batch")
        _block(helper, names, 1, lines)
    lines += ["", ""]
    names = _Names(MODELS[: program.models], OPTIMIZERS[: len(program.optimizers)], "data")
    setup = [*(f"{name} = nn.LSTM(4, 8)" for name in names.models)]
    for name, models in zip(names.optimizers, program.optimizers, strict=True):
        held = _parameters([names.models[one] for one in models])
        setup.append(f"{name} = torch.optim.Adam({held}, lr=0.001)")
    setup.append('scaler = torch.amp.GradScaler("cpu")')
    if program.layout == "module":
        if program.flags:
            lines += [f"from elsewhere import {', '.join(program.flags)}"]
        lines += ["from elsewhere import data, batches, limit", "", *setup]
        _block(program.body, names, 0, lines)
    else:
        given = ", ".join(("data", "batches", "limit", *program.flags))
        if program.layout == "called":
            lines += [*setup, "", ""]
            setup = []
        lines += [f"def train({given}):", *(f"    {line}" for line in setup)]
        _block(program.body, names, 1, lines)
        if program.layout == "called":
            lines += ["", "", f"from elsewhere import {given}", f"train({given})"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Names:
    models: tuple[str, ...]
    optimizers: tuple[str, ...]
    batch: str  # what a model reads


def _block(body: list[Node] | list[Act], names: _Names, depth: int, lines: list[str]) -> None:
    indent = "    " * depth
    if not body:
        lines.append(f"{indent}pass")
    for node in body:
        if isinstance(node, Act):
            *before, last = _written(node, names)
            lines += [indent + line for line in before]
            lines.append(indent + last)
            node.row = len(lines)
        elif isinstance(node, If):
            lines.append(f"{indent}if {'not ' if node.test.negated else ''}{node.test.text}:")
            _block(node.body, names, depth + 1, lines)
            if node.orelse:
                lines.append(f"{indent}else:")
                _block(node.orelse, names, depth + 1, lines)
        elif isinstance(node, Loop):
            _loop(node, names, depth, lines)
        elif isinstance(node, Each):
            pairs = ", ".join(f"({m}, {o})" for m, o in zip(names.models, names.optimizers, strict=False))
            lines.append(f"{indent}for net, optim in [{pairs}]:")
            _block(node.body, _Names(("net",), ("optim",), names.batch), depth + 1, lines)
        elif isinstance(node, With):
            lines.append(f'{indent}with torch.autocast("cpu"):')
            _block(node.body, names, depth + 1, lines)
        elif isinstance(node, Call):
            model, optimizer = names.models[node.pair], names.optimizers[node.pair]
            lines.append(f"{indent}helper_{node.helper}({model}, {optimizer}, {names.batch})")
            node.row = len(lines)
        else:
            lines.append(indent + node.how)


def _loop(node: Loop, names: _Names, depth: int, lines: list[str]) -> None:
    indent, n = "    " * depth, node.number
    heads = {
        "data": f"for i{n}, x{n} in enumerate(batches):",
        "range": f"for i{n} in range(4):",
        "while": f"while i{n} < limit:",
        "micro": f"for micro_batch_{n} in batches:",
    }
    if node.form == "while":
        lines.append(f"{indent}i{n} = 0")
    lines.append(indent + heads[node.form])
    node.row = len(lines)
    batch = {"data": f"x{n}", "micro": f"micro_batch_{n}"}.get(node.form, names.batch)
    if node.form == "while":
        lines.append(f"{indent}    i{n} += 1")
    _block(node.body, _Names(names.models, names.optimizers, batch), depth + 1, lines)


def _parameters(models: list[str]) -> str:
    if len(models) == 1:
        return f"{models[0]}.parameters()"
    return f"itertools.chain({', '.join(f'{one}.parameters()' for one in models)})"


def _written(act: Act, names: _Names) -> list[str]:
    """The lines of an event; the last one is where it stands."""
    if act.kind == "backward":
        sum_ = " + ".join(f"{names.models[one]}({names.batch})[0].pow(2).mean()" for one in act.over)
        scaled = "scaler.scale(loss)" if act.scaled else "loss"
        if act.how == "one-line" and len(act.over) == 1:
            return [f"scaler.scale({sum_}).backward()" if act.scaled else f"{sum_}.backward()"]
        return [f"loss = {sum_}", f"{scaled}.backward()"]
    if act.kind == "clip":
        held = _parameters([names.models[one] for one in act.over])
        if act.how == "groups":
            held = f'[p for group in {names.optimizers[act.over[0]]}.param_groups for p in group["params"]]'
        if act.how == "value":
            return [f"clip_grad_value_({held}, 1.0)"]
        return [f"clip_grad_norm_({held}, 1.0)"]
    if act.kind == "zero" and act.how == "model":
        return [f"{names.models[act.over[0]]}.zero_grad()"]
    if act.kind == "update":
        return ["scaler.update()"]
    name = names.optimizers[act.over[0]]
    if act.kind == "unscale":
        return [f"scaler.unscale_({name})"]
    if act.kind == "step":
        return [f"scaler.step({name})" if act.how == "scaler" else f"{name}.step()"]
    return [f"{name}.zero_grad()"]


def nodes(body: list[Node] | list[Act]) -> Iterator[Node]:
    """All nodes of a block and of the blocks in it."""
    for node in body:
        yield node
        if isinstance(node, (If, Loop, Each, With)):
            yield from nodes(node.body)
        if isinstance(node, If):
            yield from nodes(node.orelse)
