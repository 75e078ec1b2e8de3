"""A training program, and what happens to such a file over time without touching its steps."""

from __future__ import annotations

import re

PROGRAM = """\
import torch
from torch import nn

model = nn.LSTM(8, 16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def loss_of(batch):
    return model(batch)[0].mean()


def train(batches):
    for batch in batches:
        loss_of(batch).backward()
        optimizer.step()
    for batch in batches:
        loss_of(batch).backward()
        optimizer.step()


class Trainer:
    def fit(self, batches):
        for batch in batches:
            loss_of(batch).backward()
            optimizer.step(None)

    def tune(self, batches):
        for batch in batches:
            loss_of(batch).backward()
            optimizer.step()


for epoch in range(3):
    loss_of(torch.randn(3, 2, 8)).backward()
    optimizer.step()
"""
STEPS = 5
ANOTHER = """

def more(batches):
    for batch in batches:
        loss_of(batch).backward()
        optimizer.step()
"""


def blank_lines(text: str) -> str:
    return text.replace("\n", "\n\n")


def comments(text: str) -> str:
    return re.sub(r"(?m)^( *)(\S.*)$", r"\1# about \2\n\1\2  # 'as \"ever", text)


def tabs(text: str) -> str:
    return text.replace("    ", "\t")


def deeper(text: str) -> str:
    """What stands in functions is indented once more, under a condition."""
    return re.sub(r"(?m)^( +)for (.*):\n((?:\1 +.*\n)+)", _nested, text)


def _nested(loop: re.Match[str]) -> str:
    indented = re.sub(r"(?m)^", "    ", loop[0].rstrip("\n"))
    return f"{loop[1]}if batches:\n{indented}\n"


def wrapped(text: str) -> str:
    """As a formatter with short rows writes it."""
    text = text.replace("optimizer.step()", "optimizer.step(\n)")
    return text.replace("optimizer.step(None)", "optimizer.step(\n# why\nNone,\n)")


def carriage_returns(text: str) -> str:
    return text.replace("\n", "\r\n")


def below_others(text: str) -> str:
    """Unrelated statements and functions come before."""
    return text.replace("\n\ndef train", "\n\ndef helper(x):\n    return x + 1\n\n\ndef train", 1)


AGES = (
    blank_lines,
    deeper,
    wrapped,
    comments,
    tabs,
    carriage_returns,
    below_others,
)  # each may follow the ones before
