"""Which steps a clip may have to do with, looked up: files with thousands of both are judged in time that grows with their length."""

from __future__ import annotations

from collections.abc import Iterable

from clipcheck.findings import Site
from clipcheck.flow.records import Clip, Sightings, Step
from clipcheck.record import dataclass, field


@dataclass(frozen=True, slots=True)
class Encounters:
    """The steps of a run, by the clips that their gradients have met or missed, and the clips by their files."""

    steps: dict[Site, tuple[Step, ...]] = field(default_factory=dict)  # by clip, in the order of the run
    order: dict[Site, int] = field(default_factory=dict)  # of the steps
    clips: dict[str, tuple[Clip, ...]] = field(default_factory=dict)  # by file, in the order of the run

    @classmethod
    def of(cls, sightings: Sightings) -> Encounters:
        met: dict[Site, dict[Site, Step]] = {}
        for step in sightings.steps.values():
            for site in _met(step, sightings):
                met.setdefault(site, {})[step.site] = step
        clips: dict[str, list[Clip]] = {}
        for clip in sightings.clips.values():
            clips.setdefault(clip.site.filename, []).append(clip)
        return cls(
            {site: tuple(steps.values()) for site, steps in met.items()},
            {site: number for number, site in enumerate(sightings.steps)},
            {name: tuple(some) for name, some in clips.items()},
        )

    def of_clip(self, site: Site) -> tuple[Step, ...]:
        """The steps some of whose gradients a clip acted on, came too late or too early for, or passed by."""
        return self.steps.get(site, ())

    def sorted(self, steps: Iterable[Step]) -> list[Step]:
        """Steps in the order of the run, each once."""
        once = {step.site: step for step in steps}
        return sorted(once.values(), key=lambda step: self.order[step.site])


def _met(step: Step, sightings: Sightings) -> frozenset[Site]:
    found: set[Site] = set()
    for path in sightings.paths(step):
        one = path.gradients
        found.update(one.clips, one.vain, one.partial, one.foreign, one.unused)
    return frozenset(found)
