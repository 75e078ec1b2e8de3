"""Sets of worlds: what they keep when they meet, and when they are told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clipcheck.findings import Site, Span
from clipcheck.flow.values import Written
from clipcheck.flow.worlds import ANY, MAX_WORLDS, Guard, World, forget, guarded, merge, split, usual_outcome
from clipcheck.protocol import Event, Gradients, Phase

SITE = Site("train.py", Span(1, 0, 1, 4))
FRESH = Gradients(Phase.FRESH)
CLIPPED = Gradients(Phase.CLIPPED)
SYNC = Guard("train:sync", frozenset({"sync"}), taken=True)
NO_SYNC = replace(SYNC, taken=False)
FAST = Guard("main:args.fast", frozenset({"args", ".fast"}), taken=True, usual=False)
DEBUG = Guard("main:args.debug", frozenset({"args", ".debug"}), taken=True, usual=False)
USUAL = replace(FAST, taken=False)
WARM = Guard("main:step > warmup", frozenset({"step", "warmup"}), taken=True, open=True)
COLD = Guard("main:self.clip", frozenset({"self", ".clip"}), taken=False, open=True)
EPOCH = Guard("main:epoch > 2", frozenset({"epoch"}), taken=True)


def world(state: Gradients = FRESH, *guards: Guard, key: str = "adam") -> World:
    return World(((key, state),), frozenset(guards))


# -- merge -------------------------------------------------------------------------------------------


def test_nothing_merged_is_nothing():
    assert merge([]) == ()
    assert merge([(), ()]) == ()


def test_equal_worlds_are_one():
    assert merge([(world(FRESH, SYNC),), (world(FRESH, SYNC),)]) == (world(FRESH, SYNC),)


def test_different_gradients_stay_apart_with_their_guards():
    met = merge([(world(CLIPPED, SYNC),), (world(FRESH, NO_SYNC),)])
    assert set(met) == {world(CLIPPED, SYNC), world(FRESH, NO_SYNC)}


def test_equal_gradients_keep_the_guards_they_share():
    assert merge([(world(FRESH, SYNC, EPOCH),), (world(FRESH, NO_SYNC, EPOCH),)]) == (world(FRESH, EPOCH),)


def test_order_of_meeting_does_not_matter():
    left, right = world(FRESH, SYNC, EPOCH), world(FRESH, NO_SYNC, EPOCH)
    assert merge([(left,), (right,)]) == merge([(right,), (left,)]) == merge([(left, right)])


def test_usual_and_unusual_meet_as_usual():
    (met,) = merge([(world(FRESH, FAST),), (world(FRESH, replace(FAST, taken=False)),)])
    assert met.guards == frozenset()
    assert not met.unusual


def test_paths_that_meet_in_every_turn_of_a_loop_name_each_test_once():
    options = [
        Guard(f"main:args.{name}", frozenset({"args", f".{name}"}), taken=True, usual=False)
        for name in ("a", "b or c", "d")
    ]
    (met,) = merge([(world(FRESH, one),) for one in options])
    for turn in range(60):
        (met,) = merge([(met,), (world(FRESH, options[turn % 3]),)])
    (guard,) = met.guards
    assert guard.key == "either:args.a or args.b or c or args.d"
    assert met.unusual


def test_what_only_unusual_options_lead_to_stays_unusual():
    (met,) = merge([(world(FRESH, FAST),), (world(FRESH, DEBUG),)])
    assert met.unusual
    (guard,) = met.guards
    assert (guard.key, guard.taken, guard.usual) == ("either:args.debug or args.fast", True, False)
    assert guard.names == FAST.names | DEBUG.names


def test_a_test_with_a_colon_in_it_is_named_whole():
    part = Guard("main:args.sizes[1:]", frozenset({"args", ".sizes"}), taken=True, usual=False)
    (met,) = merge([(world(FRESH, FAST),), (world(FRESH, part),)])
    (guard,) = met.guards
    assert guard.either == ("args.fast", "args.sizes[1:]")


def test_a_shared_unusual_guard_needs_no_other():
    (met,) = merge([(world(FRESH, FAST, SYNC),), (world(FRESH, FAST, DEBUG),)])
    assert met.guards == {FAST}


def test_either_guards_meet_a_third_and_stay_unusual():
    third = Guard("main:args.slow", frozenset({"args", ".slow"}), taken=True, usual=False)
    (met,) = merge([(world(FRESH, FAST),), (world(FRESH, DEBUG),), (world(FRESH, third),)])
    assert met.unusual
    (end,) = merge([(met,), (world(),)])
    assert not end.unusual


def test_an_iterator_is_used_up_where_it_is_on_both_ways():
    left = replace(world(FRESH), spent=frozenset({"a", "b"}))
    right = replace(world(FRESH), spent=frozenset({"b", "c"}))
    (met,) = merge([(left,), (right,)])
    assert met.spent == {"b"}


# -- what nobody knows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "kept"),
    [
        pytest.param((), set(), id="alone"),
        pytest.param((USUAL,), {USUAL}, id="an option at its default"),
        pytest.param((EPOCH,), set(), id="a test of no option"),
    ],
)
def test_open_ways_that_meet_keep_what_led_to_each(beside, kept):
    (met,) = merge([(world(FRESH, WARM, *beside),), (world(FRESH, COLD),)])
    (guard,) = met.guards
    assert guard.open
    assert guard.sides == {frozenset({WARM, *kept}), frozenset({COLD})}


def test_what_only_an_unusual_option_leads_to_is_no_side_of_an_open_way():
    (met,) = merge([(world(FRESH, WARM, FAST),), (world(FRESH, COLD),)])
    assert [guard.sides for guard in met.guards] == [{frozenset({WARM}), frozenset({COLD})}]


def test_an_open_guard_on_one_side_alone_is_let_go():
    (met,) = merge([(world(FRESH, WARM),), (world(FRESH, EPOCH),)])
    assert met.guards == frozenset()


# -- the bound ---------------------------------------------------------------------------------------


def numbered(count: int) -> tuple[World, ...]:
    return tuple(
        world(replace(FRESH, backward=Site("a.py", Span(i, 0, i, 1))), SYNC) for i in range(1, count + 1)
    )


def test_up_to_the_bound_all_worlds_are_kept():
    assert merge([numbered(MAX_WORLDS)]) == numbered(MAX_WORLDS)


def test_past_the_bound_nothing_is_sure():
    other = tuple(w.having("sgd", CLIPPED) for w in numbered(3))
    (blurred,) = merge([numbered(MAX_WORLDS), other])
    assert blurred.guards == frozenset()
    assert {key for key, _ in blurred.states} == {"adam", "sgd"}
    assert all(state.unsure for _, state in blurred.states)


def test_a_blurred_world_accuses_no_late_clip():
    spent = tuple(
        world(replace(w.get("adam"), phase=Phase.SPENT, stepped=SITE)) for w in numbered(MAX_WORLDS + 1)
    )
    (blurred,) = merge([spent])
    assert blurred.get("adam").after(Event.CLIP, SITE)[1] == ""


# -- forget ------------------------------------------------------------------------------------------


def test_another_name_leaves_the_worlds_as_they_are():
    worlds = (world(FRESH, SYNC, FAST),)
    assert forget(worlds, "epoch") is worlds


@pytest.mark.parametrize(
    ("name", "left"),
    [("sync", {FAST}), ("args", {SYNC}), (".fast", {SYNC})],
    ids=["name", "owner", "attribute"],
)
def test_guards_that_mention_an_assigned_name_are_forgotten(name, left):
    (after,) = forget((world(FRESH, SYNC, FAST),), name)
    assert after.guards == left


def test_forgetting_does_not_join():
    assert len(forget((world(FRESH, SYNC), world(CLIPPED, NO_SYNC)), "sync")) == 2


# -- split -------------------------------------------------------------------------------------------


def test_an_open_question_splits_every_world():
    true, false = split((world(), world(CLIPPED)), SYNC.key, SYNC.names, None)
    assert true == (world(FRESH, SYNC), world(CLIPPED, SYNC))
    assert false == (world(FRESH, NO_SYNC), world(CLIPPED, NO_SYNC))


def test_a_known_guard_goes_its_own_way():
    worlds = (world(CLIPPED, SYNC), world(FRESH, NO_SYNC))
    assert split(worlds, SYNC.key, SYNC.names, None) == ((worlds[0],), (worlds[1],))


def test_a_known_guard_is_not_added_twice():
    worlds = (world(FRESH, FAST),)
    assert split(worlds, FAST.key, FAST.names, False) == (worlds, ())


def test_the_default_tells_which_side_is_unusual():
    (true,), (false,) = split((world(),), FAST.key, FAST.names, False)
    assert true.unusual
    assert not false.unusual


def test_without_a_default_neither_side_is_unusual():
    (true,), (false,) = split((world(),), FAST.key, FAST.names, None)
    assert not true.unusual
    assert not false.unusual


def test_both_sides_of_a_split_keep_the_iterators_used_up_and_the_settings():
    clip = Written("clip", 0.0, ("train.py", 3), 4)
    used = replace(world(), spent=frozenset({"it"}))
    sides = split((used,), FAST.key, FAST.names, False, (clip,))
    for (side,), taken in zip(sides, (True, False), strict=True):
        (guard,) = side.guards
        assert (side.spent, guard.taken, guard.settings) == ({"it"}, taken, (clip,))


# -- one world ---------------------------------------------------------------------------------------


def test_an_optimizer_not_met_yet_has_the_gradients_of_any():
    start = World()
    assert start.find("adam") is None
    assert start.get("adam") == Gradients() == start.get(ANY)


def test_having_replaces_one_state_and_keeps_the_order_of_keys():
    both = World().having("sgd", FRESH).having("adam", CLIPPED).having("sgd", CLIPPED)
    assert [key for key, _ in both.states] == [ANY, "adam", "sgd"]
    assert both == World().having("adam", CLIPPED).having("sgd", CLIPPED)


def test_mapped_changes_every_state():
    both = World().having("adam", FRESH).mapped(lambda key, state: replace(state, unsure=key))
    assert [state.unsure for _, state in both.states] == [ANY, "adam"]


def test_decided():
    assert world(FRESH, SYNC).decided(SYNC.key) is True
    assert world(FRESH, NO_SYNC).decided(SYNC.key) is False
    assert world().decided(SYNC.key) is None


# -- too many paths, and what compound tests leave open ----------------------------------------------


def test_too_many_paths_say_so_in_what_is_left():
    worlds = [
        World((("adam", Gradients(Phase.FRESH, clips=frozenset({Site(str(n), Span(n, 0, n, 1))}))),))
        for n in range(MAX_WORLDS + 1)
    ]
    (met,) = merge([tuple(worlds)])
    assert met.get("adam").unsure == "more paths lead here than are followed"


def test_a_further_guard_leaves_the_iterators_used_up():
    used = World(((ANY, FRESH),), frozenset({SYNC}), frozenset({"it"}))
    assert guarded((used,), EPOCH) == (World(used.states, frozenset({SYNC, EPOCH}), frozenset({"it"})),)


@pytest.mark.parametrize(
    ("true", "false", "expected"),
    [
        pytest.param([(EPOCH,)], [(EPOCH,)], None, id="both ways are usual"),
        pytest.param([(FAST,)], [(DEBUG,)], None, id="neither is"),
        pytest.param([(FAST,)], [(EPOCH,)], False, id="true needs an option"),
        pytest.param([(EPOCH,)], [(FAST,)], True, id="false needs one"),
        pytest.param([(EPOCH, FAST)], [(EPOCH,)], False, id="true needs one, too"),
        pytest.param([(FAST,), (EPOCH,)], [(FAST,)], True, id="one way is enough"),
        pytest.param([(SYNC, FAST)], [(SYNC, FAST)], None, id="needed before the test"),
    ],
)
def test_usual_outcome(true, false, expected):
    before = (world(FRESH, SYNC),)
    sides = [tuple(world(FRESH, *guards) for guards in side) for side in (true, false)]
    assert usual_outcome(before, *sides) == (expected, ())


def test_usual_outcome_names_the_settings_in_the_order_of_their_places():
    written = [
        Written("clip", 1.0, place, column)
        for place, column in ((("b.py", 1), 0), (("a.py", 2), 4), (("a.py", 2), 0))
    ]
    guards = [replace(FAST, settings=(one,)) for one in written]
    old = replace(DEBUG, settings=(Written("clip", 1.0, ("c.py", 1), 0),))
    before = (world(FRESH, old),)
    true = (world(FRESH, old, guards[0]), world(FRESH, old, guards[1]))
    _, settings = usual_outcome(before, true, (world(FRESH, old, replace(guards[2], taken=False)),))
    assert settings == (written[2], written[1], written[0])
