"""Fuzz clipcheck for some minutes: made programs, changed fixtures, damaged bytes.

    python tests/fuzz.py [--minutes 10] [--seed 1] [--only programs mutants bytes]

Programs are made of the protocol's events and held against a reference (fuzzing/reference.py), fixtures are changed
in ways that keep their meaning and have to be found guilty of the same, and damaged bytes may neither crash a scan nor
be made worse by a fix. Ends with 1 where anything is wrong; each case is printed as it is met, with what makes it again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import fixturelib
from fuzzing.bytewise import Bytes, DamageError
from fuzzing.judged import Judged, MismatchError
from fuzzing.making import programs
from fuzzing.mutants import Mutants, some_changes
from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from fuzzing.program import Program

SHARES = {"programs": 0.4, "mutants": 0.4, "bytes": 0.2}
BATCH = 100  # programs that are made from one seed


@dataclass
class Tally:
    """What was tried, and what came of it."""

    counts: dict[str, int] = field(default_factory=dict)
    mismatches: int = 0
    crashes: int = 0
    slowest: tuple[float, str] = (0.0, "nothing")

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def attempt(self, what: str, label: str, run: Callable[[], object]) -> object:
        """Run one case, and note what it does and how long it takes."""
        started = time.perf_counter()
        self.count(what)
        outcome: object = None
        try:
            outcome = run()
        except (MismatchError, DamageError) as error:
            self.mismatches += 1
            print(f"mismatch in {label}: {error}\n", flush=True)
        except Exception:
            self.crashes += 1
            print(f"crash in {label}:\n{traceback.format_exc()}\n", flush=True)
        self.slowest = max(self.slowest, (time.perf_counter() - started, label))
        return outcome

    def print(self) -> None:
        for what, number in self.counts.items():
            print(f"{what}: {number}")
        print(f"mismatches: {self.mismatches}")
        print(f"crashes: {self.crashes}")
        print(f"slowest: {self.slowest[0]:.1f} s, {self.slowest[1].splitlines()[0]}")


def fuzz_programs(tally: Tally, folder: Path, first: int, end: float) -> None:
    judged = Judged(folder)
    for batch in _until(end):
        number = first * 10_000 + batch

        _batch(tally, judged, number, end)
    tally.count("fixes declined", judged.refused)


def _batch(tally: Tally, judged: Judged, number: int, end: float) -> None:
    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def judge(program: Program) -> None:
        if time.monotonic() < end:
            known = tally.attempt("programs", f"a program of seed {number}", lambda: judged.check(program))
            tally.count("programs with a verdict", int(known is True))

    judge()


def fuzz_mutants(tally: Tally, folder: Path, first: int, end: float) -> None:
    mutants = Mutants(folder)
    fixtures = fixturelib.load()
    for number in _until(end):
        chance = Random(f"{first}.{number}")
        fixture, names = chance.choice(fixtures), some_changes(chance)
        label = f"mutant {first}.{number}"
        differs = tally.attempt("mutants", label, lambda: mutants.check(fixture, names, chance))  # noqa: B023
        tally.count("mutants that differ", int(differs is True))


def fuzz_bytes(tally: Tally, folder: Path, first: int, end: float) -> None:
    inputs = Bytes(folder / "project")
    for number in _until(end):
        name, data = inputs.pieces(Random(f"{first}.{number}"))
        tally.attempt("byte inputs", f"{name} of seed {first}.{number}", lambda: inputs.check(name, data))  # noqa: B023


def _until(end: float) -> Iterator[int]:
    """Numbers until the time is up; one at least, however long it took to get ready."""
    number = 0
    while not number or time.monotonic() < end:
        yield number
        number += 1


KINDS = {"programs": fuzz_programs, "mutants": fuzz_mutants, "bytes": fuzz_bytes}


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz clipcheck.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args(words)
    tally = Tally()
    whole = sum(SHARES[kind] for kind in asked.only)
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.only:
            end = time.monotonic() + asked.minutes * 60 * SHARES[kind] / whole
            KINDS[kind](tally, Path(folder) / kind, asked.seed, end)
    tally.print()
    return int(bool(tally.mismatches or tally.crashes))


if __name__ == "__main__":
    sys.exit(main())
