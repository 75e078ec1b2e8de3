"""The gradient protocol against the words of the design: a literal copy of its table, read cell by cell."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from clipcheck.findings import Site, Span
from clipcheck.protocol import TABLE, Event, Gradients, Phase

DESIGN = """
| state | backward | unscale | clip | step | zero_grad |
|---|---|---|---|---|---|
| entry (a function starts; nothing seen) | fresh or scaled | fresh | clipped, silent | as fresh (see below) | empty |
| empty | fresh or scaled | silent | **CLP202** | silent | empty |
| fresh | fresh (accumulating) | silent | clipped | **CLP101**, then spent | empty |
| scaled | scaled | fresh | **CLP203** | **CLP101** (the scaler unscales by itself, nobody clips), then spent | empty |
| clipped | fresh, *clipped early* is kept: the next clip in the same accumulation is **CLP204** | silent | clipped | good, then spent | empty |
| spent | fresh (adding to stale gradients) | silent | **CLP201** | silent | empty |
"""
EVENTS = {
    "backward": (Event.BACKWARD, Event.SCALED_BACKWARD),
    "unscale": (Event.UNSCALE,),
    "clip": (Event.CLIP,),
    "step": (Event.STEP,),
    "zero_grad": (Event.ZERO_GRAD,),
}
ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in DESIGN.strip().splitlines()]
COLUMNS, BODY = ROWS[0][1:], {row[0].split()[0]: row[1:] for row in ROWS[2:]}


def words(phase: Phase, column: str) -> str:
    """A cell of the design; what "as fresh" refers to stands in its place."""
    cell = BODY[phase.value][COLUMNS.index(column)]
    return words(Phase.FRESH, column) if cell.startswith("as fresh") else cell


def expected(phase: Phase, event: Event) -> tuple[Phase, str]:
    """The next phase and the rule broken, as the words of a cell have them."""
    column = next(name for name, events in EVENTS.items() if event in events)
    cell = words(phase, column)
    plain = re.sub(r"\(.*?\)|, \*clipped early\*.*", "", cell)
    code = next(iter(re.findall(r"CLP\d+", plain)), "")
    if event is Event.SCALED_BACKWARD:
        return Phase.SCALED, code  # whatever was there is of another scale than the new part
    stated = re.findall(r"\b(?:fresh|scaled|clipped|spent|empty)\b", plain)
    if stated:
        return Phase(stated[-1] if column == "step" else stated[0]), code
    # A scaled clip has clipped, if wrongly; other accused clips, and what is silent, change nothing.
    return (Phase.CLIPPED if code == "CLP203" else phase), code


@pytest.mark.parametrize("event", list(Event), ids=lambda event: event.name.lower())
@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
def test_cell(phase, event):
    assert TABLE[phase, event] == expected(phase, event)


def test_the_copy_has_every_cell():
    assert list(EVENTS) == COLUMNS
    assert list(BODY) == [phase.value for phase in Phase]
    assert {len(row) for row in BODY.values()} == {len(COLUMNS)}
    assert len(TABLE) == len(Phase) * len(Event)


@pytest.mark.parametrize("phase", [Phase.ENTRY, Phase.EMPTY], ids=lambda phase: phase.value)
def test_fresh_or_scaled_is_both_backwards(phase):
    assert words(phase, "backward") == "fresh or scaled"
    assert TABLE[phase, Event.BACKWARD] == (Phase.FRESH, "")
    assert TABLE[phase, Event.SCALED_BACKWARD] == (Phase.SCALED, "")


@pytest.mark.parametrize(
    ("code", "cells"),
    [
        ("CLP101", {(phase, Event.STEP) for phase in (Phase.ENTRY, Phase.FRESH, Phase.SCALED)}),
        ("CLP201", {(Phase.SPENT, Event.CLIP)}),
        ("CLP202", {(Phase.EMPTY, Event.CLIP)}),
        ("CLP203", {(Phase.SCALED, Event.CLIP)}),
        ("CLP204", set()),
    ],
)
def test_who_is_accused(code, cells):
    assert {cell for cell, (_, accused) in TABLE.items() if accused == code} == cells


# -- Gradients.after: silent -------------------------------------------------------------------------

HERE, THERE, YONDER = (Site("train.py", Span(row, 0, row, 4)) for row in (1, 2, 3))


def run(*events: Event, start: Gradients | None = None) -> tuple[Gradients, list[str]]:
    """The gradients after some events, and every rule broken on the way."""
    state, broken = start or Gradients(), []
    for row, event in enumerate(events, 1):
        state, code = state.after(event, Site("train.py", Span(row, 0, row, 4)))
        broken.append(code)
    return state, [code for code in broken if code]


B, S, U, C, T, Z = (
    Event.BACKWARD, Event.SCALED_BACKWARD, Event.UNSCALE, Event.CLIP, Event.STEP, Event.ZERO_GRAD,
)  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((Z, B, C, T, Z, B, C, T), id="a loop"),
        pytest.param((Z, B, B, B, C, T), id="accumulation, one clip"),
        pytest.param((Z, S, U, C, T), id="scaled, unscaled, clipped"),
        pytest.param((Z, B, C, C, T), id="clipped twice in a row"),
        pytest.param((C, T), id="a helper that clips and steps"),
        pytest.param((Z, B, C, Z, B, C, T), id="emptied after a clip"),
        pytest.param((Z, B, C, T, B, C, T), id="never emptied"),
        pytest.param((Z, T), id="a step on nothing"),
        pytest.param((B, C, T, T), id="a second step"),
        pytest.param((Z, B, C, U, T), id="unscale after the clip"),
    ],
)
def test_order_silent(events):
    assert run(*events)[1] == []


@pytest.mark.parametrize(
    ("events", "codes"),
    [
        pytest.param((Z, B, T), ["CLP101"], id="bare"),
        pytest.param((T,), ["CLP101"], id="entry"),
        pytest.param((Z, B, T, C), ["CLP101", "CLP201"], id="late"),
        pytest.param((Z, C, B, T), ["CLP202", "CLP101"], id="before the backward"),
        pytest.param((Z, B, Z, C), ["CLP202"], id="after zero_grad"),
        pytest.param((Z, S, C, T), ["CLP203"], id="scaled"),
        pytest.param((Z, S, T), ["CLP101"], id="scaled and bare"),
        pytest.param((Z, B, C, B, C, T), ["CLP204"], id="every micro-batch"),
        pytest.param((Z, B, C, B, C, B, C, T), ["CLP204", "CLP204"], id="every micro-batch, three"),
        pytest.param((Z, B, C, B, T), ["CLP101"], id="only the first micro-batch"),
        pytest.param((Z, S, C, S, C), ["CLP203", "CLP203"], id="scaled goes before early"),
        pytest.param((Z, S, U, B, C), [], id="a plain backward on unscaled ones"),
        pytest.param((Z, S, B, C), ["CLP203"], id="a plain backward on scaled ones"),
    ],
)
def test_order(events, codes):
    assert run(*events)[1] == codes


def test_clipped_early_outlives_unscale_and_further_backwards():
    state, _ = run(B, C, B, B, U)
    assert (state.phase, state.early) == (Phase.FRESH, True)
    assert state.after(C, THERE)[1] == "CLP204"


@pytest.mark.parametrize("end", [T, Z], ids=["step", "zero_grad"])
def test_clipped_early_ends_with_its_accumulation(end):
    state, broken = run(B, C, B, end, B, C)
    assert "CLP204" not in broken
    assert not state.early


def test_a_step_on_gradients_clipped_in_part_breaks_a_rule_of_its_own():
    state = replace(run(Z, B)[0], covered=frozenset({"encoder"}), uncovered=frozenset({"decoder"}))
    after, code = state.after(T, HERE)
    assert (after, code) == (Gradients(Phase.SPENT, stepped=HERE), "CLP103")


def test_a_clip_of_all_settles_a_clip_of_a_part():
    state = replace(run(Z, B)[0], covered=frozenset({"encoder"}), uncovered=frozenset({"decoder"}))
    whole, _ = state.after(C, HERE)
    assert (whole.covered, whole.uncovered, whole.after(T, HERE)[1]) == (None, frozenset(), "")


def test_a_backward_on_gradients_clipped_in_part_leaves_doubt():
    state, _ = replace(run(Z, B)[0], covered=frozenset({"encoder"})).after(B, HERE)
    assert (state.covered, bool(state.unsure)) == (None, True)


def test_the_clips_of_partial_sums_are_remembered_until_the_step():
    state, _ = run(B, C, B, C)
    assert {site.span.row for site in state.partial} == {2}
    assert state.after(T, HERE)[0].partial == frozenset()


# -- vain clips --------------------------------------------------------------------------------------


def test_a_vain_clip_is_known_to_the_step_it_should_guard():
    state, _ = run(Z, C, B)
    assert state.vain == {THERE}
    assert state.after(T, YONDER)[0].vain == frozenset()


def test_a_late_clip_is_known_until_the_next_step():
    state, _ = run(B, T, C, Z, B)
    assert {site.span.row for site in state.vain} == {3}


def test_a_vain_clip_is_recorded_in_doubt_too():
    state, code = Gradients(Phase.SPENT, unsure="helper()").after(C, HERE)
    assert state.vain == {HERE}
    assert code == ""


def test_a_vain_clip_clips_nothing():
    state, _ = run(Z, C)
    assert (state.phase, state.clips) == (Phase.EMPTY, frozenset())


# -- doubt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [B, S], ids=["backward", "scaled"])
@pytest.mark.parametrize("phase", [Phase.ENTRY, Phase.EMPTY, Phase.SPENT], ids=lambda phase: phase.value)
def test_a_first_backward_clears_doubt(phase, event):
    assert Gradients(phase, unsure="helper()").after(event, HERE)[0].unsure == ""


@pytest.mark.parametrize("event", [B, S], ids=["backward", "scaled"])
@pytest.mark.parametrize("phase", [Phase.FRESH, Phase.SCALED, Phase.CLIPPED], ids=lambda phase: phase.value)
def test_doubt_is_kept_while_accumulating(phase, event):
    assert Gradients(phase, unsure="helper()").after(event, HERE)[0].unsure == "helper()"


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
@pytest.mark.parametrize("event", [T, Z], ids=["step", "zero_grad"])
def test_a_step_and_zero_grad_end_doubt(phase, event):
    assert Gradients(phase, unsure="helper()").after(event, HERE)[0].unsure == ""


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
@pytest.mark.parametrize("doubt", [{"maybe": True}, {"unsure": "helper()"}], ids=["maybe", "unsure"])
def test_a_clip_in_doubt_is_never_late_or_early(phase, doubt):
    code = replace(Gradients(phase), **doubt).after(C, HERE)[1]
    assert code not in {"CLP201", "CLP202"}


def test_a_clip_that_acts_settles_what_a_backward_may_have_reached():
    assert not Gradients(Phase.FRESH, maybe=True).after(C, HERE)[0].maybe


# -- what is remembered ------------------------------------------------------------------------------


def test_sites():
    state, _ = run(Z, S, U, C)
    assert state.backward is not None
    assert state.unscaled is not None
    assert (state.backward.span.row, state.unscaled.span.row) == (2, 3)
    assert {site.span.row for site in state.clips} == {4}
    spent, _ = state.after(T, HERE)
    assert spent == Gradients(Phase.SPENT, stepped=HERE)
    assert spent.after(Z, THERE)[0] == Gradients(Phase.EMPTY)


def test_unscaling_what_is_not_scaled_leaves_no_mark():
    assert run(B, U)[0].unscaled is None


def test_clips_in_a_row_are_all_remembered_and_earlier_ones_are_not():
    state, _ = run(B, C, C)
    assert {site.span.row for site in state.clips} == {2, 3}
    state, _ = run(B, C, B, C)
    assert {site.span.row for site in state.clips} == {4}


@pytest.mark.parametrize(
    ("phase", "kept"), [(Phase.FRESH, False), (Phase.SCALED, False), (Phase.CLIPPED, True)]
)
def test_a_clip_stands_beside_those_before_it_only_where_they_have_clipped_the_whole(phase, kept):
    first, second = (Site("train.py", Span(row, 0, row, 1)) for row in (1, 2))
    state, _ = Gradients(phase, clips=frozenset({first}), covered=frozenset({"net"})).after(
        Event.CLIP, second
    )
    assert state.clips == ({first, second} if kept else {second})
    assert (state.phase, state.covered) == (Phase.CLIPPED, None)


def test_a_step_without_gradients_forgets_what_came_too_early_and_nothing_else():
    site = Site("train.py", Span(1, 0, 1, 1))
    before = Gradients(Phase.EMPTY, maybe=True, unsure="helper()", vain=frozenset({site}), unscaled=site)
    after, code = before.after(Event.STEP, site)
    assert (after, after.unsure, code) == (Gradients(Phase.EMPTY, maybe=True, unscaled=site), "", "")
    spent, _ = replace(before, phase=Phase.CLIPPED).after(Event.STEP, site)
    assert (spent, spent.unsure) == (Gradients(Phase.SPENT, stepped=site), "")
