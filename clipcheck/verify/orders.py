"""What the runner asks of the processes that it watches, handed over in a file of the recording's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

NAME = "orders.json"


@dataclass(frozen=True, slots=True)
class Orders:
    """How to run: every process that the command starts reads the same."""

    max_steps: int | None = None  # None: to the end
    seed: int | None = None  # for random, numpy and torch, before the command's own code
    stress: float | None = None  # factor, over 1, by which each step's gradients are larger than the last's
    unclipped: bool = False  # clip functions measure and change nothing
    overlay: Mapping[str, bytes] = field(default_factory=dict)  # real path -> content to run in place of it
    lines: bool = False  # note which lines of the files in the overlay ran


def write(orders: Orders, directory: str) -> None:
    """Put the orders into a recording's folder, before the command starts."""
    values = asdict(replace(orders, overlay={}))
    # JSON has no bytes; each byte is one of the first 256 characters.
    values["overlay"] = {name: data.decode("latin-1") for name, data in orders.overlay.items()}
    with open(os.path.join(directory, NAME), "w", encoding="utf-8") as stream:
        json.dump(values, stream)


def read(directory: str) -> Orders:
    """Read them back; a folder without orders asks for nothing special."""
    try:
        with open(os.path.join(directory, NAME), encoding="utf-8") as stream:
            values = json.load(stream)
    except FileNotFoundError:
        return Orders()
    values["overlay"] = {name: text.encode("latin-1") for name, text in values["overlay"].items()}
    return Orders(**values)
