"""The script that fixes other people's code has to see what a fix should not have done."""

from __future__ import annotations

import json

import corpora
import keeping
import pytest

CODE = b"""\
import torch

def train(model, optimizer, clip, norm=1.0):  # a loop
    for batch in range(3):
        model(batch).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), norm)
        total = clip_grad_norm_(model.parameters(), norm)
        optimizer.step()  # one step
        print(batch)
"""
BARE = b"""\
import torch

def train(model, optimizer, clip, norm=1.0):  # a loop
    for batch in range(3):
        model(batch).backward()
        optimizer.step()  # one step
        print(batch)
"""


def test_clips_are_taken_out_and_nothing_else():
    assert keeping.stripped(CODE) == BARE
    assert keeping.stripped(BARE) == BARE


@pytest.mark.parametrize("code", [b"if x:\n    clip_grad_norm_(p)\nelse:\n    y()\n", b"clip_grad_norm_(\n"])
def test_what_would_be_left_empty_or_cannot_be_read_stays(code):
    assert keeping.stripped(code) == code


def test_a_clip_may_come_with_its_import():
    assert keeping.lost(BARE, CODE) == ""
    assert keeping.lost(BARE.replace(b"import torch\n", b""), CODE) == ""


CHANGES = {
    "another statement": (b"print(batch)", b"print(batches)"),
    "a statement that is gone": (b"        print(batch)\n", b""),
    "another depth": (b"        print(batch)", b"    print(batch)"),
    "a comment that is gone": (b"  # one step", b""),
    "a head": (b"range(3)", b"range(4)"),
    "an import that is gone": (b"import torch\n", b""),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_what_a_fix_should_not_do_is_seen(old, new):
    assert keeping.lost(BARE, CODE.replace(old, new))


def test_what_does_not_parse_is_an_error():
    with pytest.raises(SyntaxError):
        keeping.lost(BARE, CODE + b"(")


def test_of_a_notebook_only_the_sources_of_cells_may_change():
    cell = {"cell_type": "code", "source": ["optimizer.step()\n", "print(1)"], "outputs": []}
    old = json.dumps({"cells": [cell]}).encode()
    assert keeping.lost(old, old.replace(b"optimizer.step()", b"clip_grad_norm_(p)\\noptimizer.step()")) == ""
    assert keeping.lost(old, old.replace(b"print(1)", b"print(2)"))
    assert keeping.lost(old, old.replace(b'"outputs": []', b'"outputs": [1]'))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_graft_has_the_line_ends_of_its_file(end):
    data = corpora.grafted(f"x = 1{end}".encode())
    compile(data, "grafted", "exec")
    assert data.decode().replace("\r\n", "\n").replace("\r", "\n").replace("\n", end) == data.decode()


def test_what_is_named_is_counted_by_kind():
    said = (
        "pkg/a.py:12:3: cannot be parsed: `x` at 12\npkg/b.py: cannot be parsed: `y` at 7\n3 steps seen: 1\n"
    )
    assert len(set(corpora.named(said))) == 1
    assert len(list(corpora.named(said))) == 2


def test_what_clipcheck_says_it_did_not_fix_is_known_by_its_name():
    said = "error: pkg/a.py: not fixed: after fixing, CLP203 is still found, or new\nfixed 3 findings\n"
    assert corpora.refused(said) == {"pkg/a.py"}
