"""Add up what the processes of a run hold of sharded gradients, from their recordings, when the run is over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from .session import Process, StepRecord
from .totals import relative_error, total


def joined(processes: Sequence[Process]) -> list[Process]:
    """Give the processes with the norms of their sharded steps over all ranks, where all were recorded.

    The n-th step of an optimizer at a line is the same step in every rank. A record that could be joined
    says so (`joined`); the others keep this process's share, and nothing is judged by it.
    """
    found: dict[tuple[object, ...], dict[int, StepRecord]] = defaultdict(dict)
    twice: set[tuple[object, ...]] = set()
    keys: dict[int, tuple[object, ...]] = {}
    for process in processes:
        counts: Counter[tuple[object, ...]] = Counter()
        for record in process.records:
            if not record.sharded or record.world < 1 or process.rank is None:
                continue
            line = (record.place, record.optimizer, record.world, record.norm_type)
            counts[line] += 1
            key = (*line, counts[line])
            keys[id(record)] = key
            if process.rank in found[key]:
                twice.add(key)  # the run was started again
            found[key][process.rank] = record
    whole = {
        key: list(records.values())
        for key, records in found.items()
        if key not in twice and set(records) == set(range(next(iter(records.values())).world))
    }

    def whole_of(record: StepRecord) -> StepRecord:
        parts = whole.get(keys.get(id(record), ()))
        return record if parts is None else _joined(record, parts)

    return [replace(p, records=tuple(whole_of(record) for record in p.records)) for p in processes]


def _joined(record: StepRecord, parts: Sequence[StepRecord]) -> StepRecord:
    clipped = [part.clipped_norm for part in parts if part.clipped_norm is not None]
    norm = total(clipped, record.norm_type) if clipped and record.clipped_norm is not None else None
    return replace(
        record,
        raw=total([part.raw for part in parts], record.norm_type),
        used=total([part.used for part in parts], record.norm_type),
        clipped_norm=norm,
        clip_norm_error=0.0 if norm is None else relative_error(record.clip_reported, norm),
        joined=True,
    )
