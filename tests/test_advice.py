"""The advice on clipping is said in the README and on the pages that people read when they choose a threshold: plainly, and once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ADVICE = {
    "norm clipping keeps the direction": r"norm .{0,40}keeps (its|the) direction|shortens the gradient and keeps its direction",
    "value clipping is crude": r"crude",
    "start at 1.0": r"start at 1\.0",
    "down if it still explodes": r"0\.1 to 0\.5",
    "up if it stalls": r"stalls",
    "5.0 is for those who have measured": r"5\.0 and above is for those who have measured",
    "recurrent networks need it": r"recurrent networks and transformers on long sequences",
    "NaN calls for it": r"a (nan loss|loss that has turned nan) calls for it",
    "CNNs can do without": r"ordinary (convolutional networks|cnns) and networks (with|full of) normalisation (can )?do without",
    "Transformers carry it as insurance": r"1\.0 (as|is) (an )?insurance",
    "a seat belt": r"a seat belt, (and )?not a cure",
    "too low slows": r"too low a threshold slows (the )?learning and hides the (good )?large steps",
}  # fmt: skip


@pytest.mark.parametrize("page", ["README.md", "rules/CLP101.md", "rules/CLP104.md", "rules/CLP302.md"])
@pytest.mark.parametrize("advice", ADVICE)
def test_it_is_said(page, advice):
    text = re.sub(r"[*`\s]+", " ", (ROOT / page).read_text("utf-8")).lower()
    assert re.search(ADVICE[advice], text), f"{page} does not say: {advice}"


@pytest.mark.parametrize("page", ["README.md", "rules/CLP101.md", "rules/CLP104.md", "rules/CLP302.md"])
@pytest.mark.parametrize("advice", ["a seat belt", "down if it still explodes"])
def test_it_is_said_once(page, advice):
    text = re.sub(r"[*`\s]+", " ", (ROOT / page).read_text("utf-8")).lower()
    assert len(re.findall(ADVICE[advice], text)) == 1
