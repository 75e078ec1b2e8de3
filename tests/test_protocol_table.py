"""The protocol in the code is the table of the design, cell by cell."""

from __future__ import annotations

import pytest

from clipcheck.findings import Site, Span
from clipcheck.protocol import TABLE, Event, Gradients, Phase

# The design's table, as it stands there. "step" as fresh means: accused, then spent.
DESIGN = """
| state   | backward        | unscale | clip            | step          | zero_grad |
| entry   | fresh or scaled | fresh   | clipped, silent | CLP101, spent | empty     |
| empty   | fresh or scaled | silent  | CLP202          | silent        | empty     |
| fresh   | fresh           | silent  | clipped         | CLP101, spent | empty     |
| scaled  | scaled          | fresh   | CLP203          | CLP101, spent | empty     |
| clipped | fresh           | silent  | clipped         | spent         | empty     |
| spent   | fresh           | silent  | CLP201          | silent        | empty     |
"""
SITE = Site("train.py", Span(1, 0, 1, 4))
OTHER = Site("train.py", Span(2, 0, 2, 4))
COLUMNS = {
    "backward": Event.BACKWARD,
    "unscale": Event.UNSCALE,
    "clip": Event.CLIP,
    "step": Event.STEP,
    "zero_grad": Event.ZERO_GRAD,
}


def cells() -> list[tuple[Phase, Event, str]]:
    head, *rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in DESIGN.split("\n") if row]
    return [
        (Phase(state), COLUMNS[column], cell)
        for state, *row in rows
        for column, cell in zip(head[1:], row, strict=True)
    ]


@pytest.mark.parametrize(
    ("phase", "event", "cell"), cells(), ids=lambda value: getattr(value, "name", "").lower() or value
)
def test_cell(phase: Phase, event: Event, cell: str) -> None:
    after, code = TABLE[phase, event]
    words = [word.strip() for word in cell.split(",")]
    accused = [word for word in words if word.startswith("CLP")]
    assert code == (accused[0] if accused else "")
    states = [word for word in words if word in {one.value for one in Phase}]
    if states:
        assert after is Phase(states[0])
    elif cell == "fresh or scaled":
        assert after is Phase.FRESH
        assert TABLE[phase, Event.SCALED_BACKWARD] == (Phase.SCALED, "")
    elif cell == "silent":
        assert after is phase
    else:  # an accused clip: in vain it changes nothing; on scaled gradients it has acted all the same
        assert after is (Phase.CLIPPED if code == "CLP203" else phase)


def test_every_state_and_event_has_a_cell() -> None:
    assert set(TABLE) == {(phase, event) for phase in Phase for event in Event}


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
def test_a_scaled_backward_leaves_scaled_gradients(phase: Phase) -> None:
    assert TABLE[phase, Event.SCALED_BACKWARD] == (Phase.SCALED, "")


# -- what goes beyond the table ------------------------------------------------------------------------


def test_one_clip_a_step_is_not_early() -> None:
    gradients = Gradients(Phase.CLIPPED, clips=frozenset({SITE}))
    stepped, _ = gradients.after(Event.STEP, OTHER)
    refreshed, _ = stepped.after(Event.BACKWARD, OTHER)
    assert refreshed.after(Event.CLIP, SITE)[1] == ""


def test_clipping_twice_in_a_row_is_silent() -> None:
    assert Gradients(Phase.CLIPPED, clips=frozenset({SITE})).after(Event.CLIP, OTHER)[1] == ""


def test_clipped_early_is_kept_until_the_next_clip() -> None:
    clipped = Gradients(Phase.CLIPPED, clips=frozenset({SITE}))
    accumulated, code = clipped.after(Event.BACKWARD, OTHER)
    assert (accumulated.phase, accumulated.early, code) == (Phase.FRESH, True, "")
    again, code = accumulated.after(Event.CLIP, SITE)
    assert (again.phase, code) == (Phase.CLIPPED, "CLP204")


def test_zero_grad_forgets_an_early_clip() -> None:
    early = Gradients(Phase.FRESH, early=True)
    emptied, _ = early.after(Event.ZERO_GRAD, OTHER)
    refreshed, _ = emptied.after(Event.BACKWARD, OTHER)
    assert refreshed.after(Event.CLIP, SITE)[1] == ""


@pytest.mark.parametrize("phase", [Phase.EMPTY, Phase.SPENT])
def test_a_clip_in_vain_is_remembered(phase: Phase) -> None:
    after, code = Gradients(phase).after(Event.CLIP, SITE)
    assert code in {"CLP201", "CLP202"}
    assert after.phase is phase
    assert after.vain == {SITE}


@pytest.mark.parametrize("phase", [Phase.EMPTY, Phase.SPENT])
def test_what_a_backward_may_have_reached_never_accuses(phase: Phase) -> None:
    assert Gradients(phase, maybe=True).after(Event.CLIP, SITE)[1] == ""
    assert Gradients(phase, unsure="helper()").after(Event.CLIP, SITE)[1] == ""


@pytest.mark.parametrize(
    ("phase", "kept"),
    [
        (Phase.ENTRY, False),
        (Phase.EMPTY, False),
        (Phase.SPENT, False),
        (Phase.FRESH, True),
        (Phase.SCALED, True),
        (Phase.CLIPPED, True),
    ],
    ids=lambda value: getattr(value, "value", value),
)
def test_doubt_outlives_a_backward_only_while_accumulating(phase: Phase, kept: bool) -> None:
    after, _ = Gradients(phase, unsure="helper()").after(Event.BACKWARD, SITE)
    assert bool(after.unsure) is kept


def test_a_step_is_remembered_by_what_it_has_spent() -> None:
    after, _ = Gradients(Phase.FRESH, backward=OTHER).after(Event.STEP, SITE)
    assert (after.phase, after.stepped, after.backward) == (Phase.SPENT, SITE, None)
