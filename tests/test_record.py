"""Records behave as the standard dataclasses do, which type checkers take them for."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from clipcheck import facts, findings, record

REPEATED = """
@dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "b"
    third: float = field(default=0.5, compare=False)

@dataclass(frozen=True, slots=True)
class Empty:
    pass

@dataclass(slots=True)
class Mutable:
    first: int
    kept: list[int] = field(default_factory=list)
    secret: str = field(default="s", repr=False)

@dataclass(frozen=True, eq=False, slots=True)
class Identical:
    first: int

@dataclass(frozen=True, slots=True, order=True)
class Ordered:
    first: int
    second: int = 0

@dataclass(slots=True)
class Derived:
    first: int
    twice: int = field(init=False)
    fixed: int = field(init=False, default=7)
    made: list[int] = field(init=False, default_factory=list)

    def __post_init__(self):
        self.twice = 2 * self.first

@dataclass(frozen=True)
class Open:
    first: int = 1
"""


def declared(module: Any) -> SimpleNamespace:
    scope: dict[str, Any] = {
        "dataclass": module.dataclass,
        "field": module.field,
        "__name__": f"{__name__}.{module.__name__}",
    }
    exec(compile(REPEATED, "<repeated>", "exec", dont_inherit=True), scope)
    return SimpleNamespace(**scope)


OURS, STANDARD = declared(record), declared(dataclasses)

CASES = [
    ("Plain", (1,), {}),
    ("Plain", (1, "x", 2.0), {}),
    ("Plain", (), {"second": "y", "first": 3}),
    ("Empty", (), {}),
    ("Mutable", (1,), {}),
    ("Mutable", (1, [2]), {"secret": "t"}),
    ("Ordered", (1, 2), {}),
    ("Derived", (4,), {}),
    ("Open", (), {"first": 2}),
]


often = pytest.mark.parametrize("times", [0, record._FEW, record._FEW + 1])  # that a class was made before


def both(name: str, times: int, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    cls = getattr(declared(record), name)
    for _ in range(times):
        cls(*args, **kwargs)
    return cls(*args, **kwargs), getattr(STANDARD, name)(*args, **kwargs)


@often
@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_made_shown_and_read_alike(name: str, args: Any, kwargs: Any, times: int) -> None:
    ours, standard = both(name, times, *args, **kwargs)
    assert repr(ours) == repr(standard)
    assert ours.__match_args__ == standard.__match_args__
    assert dataclasses.asdict(ours) == dataclasses.asdict(standard)
    assert [one.name for one in dataclasses.fields(ours)] == list(record.field_names(ours))


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_equal_and_hashed_alike(name: str, args: Any, kwargs: Any) -> None:
    ours, standard = ([getattr(one, name)(*args, **kwargs) for _ in range(2)] for one in (OURS, STANDARD))
    assert (ours[0] == ours[1]) is (standard[0] == standard[1]) is True
    assert ours[0] != standard[0]
    if standard[0].__hash__ is None:
        assert ours[0].__hash__ is None
    else:
        assert hash(ours[0]) == hash(ours[1]) == hash(standard[0])


@often
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, "b", 2.0, 3), {}), ((1,), {"other": 2}), ((1,), {"first": 2}), ((), {"second": "b"})],
)
def test_wrong_arguments_are_refused(args: Any, kwargs: Any, times: int) -> None:
    for cls in (declared(record).Plain, STANDARD.Plain):
        for _ in range(times):
            cls(1)
        with pytest.raises(TypeError, match="__init__"):
            cls(*args, **kwargs)


def test_what_is_not_compared_does_not_count() -> None:
    assert OURS.Plain(1, "b", 1.0) == OURS.Plain(1, "b", 2.0)
    assert hash(OURS.Plain(1, "b", 1.0)) == hash(OURS.Plain(1, "b", 2.0))
    assert OURS.Plain(1) != OURS.Plain(2)


def test_without_eq_each_is_itself() -> None:
    one = OURS.Identical(1)
    assert one != OURS.Identical(1)
    assert len({one, OURS.Identical(1)}) == 2


def test_order() -> None:
    assert OURS.Ordered(1, 5) < OURS.Ordered(2)
    assert OURS.Ordered(1, 5) >= OURS.Ordered(1, 5) > OURS.Ordered(1)
    assert not OURS.Ordered(2) <= OURS.Ordered(1, 9)
    with pytest.raises(TypeError):
        _ = OURS.Ordered(1) < OURS.Plain(1)


@pytest.mark.parametrize("replace", [record.replace, dataclasses.replace])
def test_replaced(replace: Any) -> None:
    assert replace(OURS.Plain(1, "x"), second="y") == OURS.Plain(1, "y")
    assert replace(OURS.Derived(1), first=5).twice == 10
    assert replace(OURS.Empty()) == OURS.Empty()
    with pytest.raises(TypeError, match="other"):
        replace(OURS.Plain(1), other=2)


def test_each_has_a_list_of_its_own() -> None:
    cls = declared(record).Mutable
    for _ in range(record._FEW):
        one, other = cls(1), cls(1)
        one.kept.append(2)
        assert other.kept == []
        assert cls(1, None).kept is None


def test_a_default_that_would_be_shared_is_refused() -> None:
    for module in (record, dataclasses):
        with pytest.raises(ValueError, match="default_factory"):

            @module.dataclass
            class _Shared:
                kept: list[int] = []  # noqa: RUF012 - the point of it


def test_slots_leave_room_for_nothing_else() -> None:
    with pytest.raises(AttributeError):
        OURS.Mutable(1).other = 2
    assert not hasattr(OURS.Plain(1), "__dict__")
    assert hasattr(OURS.Open(), "__dict__")


def test_positional_patterns() -> None:
    match findings.Position(3, 4):
        case findings.Position(row, column):
            assert (row, column) == (3, 4)


SPAN = findings.Span(1, 0, 1, 5)
PICKLED = [
    facts.Assign((facts.Name("a", 1),), facts.Constant(1.5, 1, 4, 5), SPAN),
    facts.Mapping(((None, facts.Name("b", 1)),), 1, SPAN),
    findings.Report(files=3),
]


@pytest.mark.parametrize("made", PICKLED, ids=lambda made: type(made).__name__)
def test_pickled_and_copied(made: Any) -> None:
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert again == made
        assert repr(again) == repr(made)


def test_declaring_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(record, "exec", lambda *given: asked.append(given) or exec(*given), raising=False)
    cls = declared(record).Plain
    assert not asked
    for number in range(record._FEW):
        cls(number)
    assert not asked  # a class that is made a few times pays for no constructor
    cls(1), cls(2)
    assert len(asked) == 1
    assert cls(1) == cls(1)
    assert len(asked) == 2


def test_a_class_that_extends_a_record_is_made_as_one() -> None:
    class More(OURS.Plain):
        """With nothing of its own."""

    assert More(1).second == "b"
    assert OURS.Plain(1) != More(1)
    assert [one.name for one in dataclasses.fields(More)] == ["first", "second", "third"]


def test_other_things_have_no_fields() -> None:
    assert record.field_names(3) == ()
    assert record.field_names(SPAN) == ()
