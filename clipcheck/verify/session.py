"""The recorded session: plain values that an observer writes and that verdicts read, any time later.

One JSON object a line. Gradient norms are L2 unless `norm_type` says otherwise; all of them are in true
(unscaled) units. A non-finite number is written as a string, because JSON has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

ClipKind = Literal["norm", "value"]
Modified = Literal["no", "before clip", "after clip", "unclipped"]

CLIPS_KEPT = 8  # clip calls that a record names; a loop over parameters makes hundreds


class Place(NamedTuple):
    """A line of the user's code."""

    filename: str
    row: int

    def __str__(self) -> str:
        return f"{self.filename}:{self.row}"


@dataclass(frozen=True, slots=True)
class ClipCall:
    """One call of a clip function since the optimizer's last step, as this optimizer sees it."""

    place: Place
    kind: ClipKind
    threshold: float
    given: int  # tensors handed to the clip
    with_gradient: int  # those of them that had a gradient
    reached: int  # those with a gradient that this optimizer updates
    late: bool = False  # came after the step, before the next backward


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one update (or one evaluation of its closure) used, beside what backward had left."""

    place: Place
    optimizer: str  # class name
    step: int  # from 1, counted over all optimizers of the process
    raw: float  # norm that backward left, accumulated, over all parameters the optimizer updates
    used: float  # norm of what the update used
    updated: int  # parameters with a gradient
    covered: int  # those clipped after their last backward
    uncovered: int  # those not clipped whose gradient is not zero
    dtypes: tuple[str, ...] = ("float32",)  # of the gradients
    evaluation: int | None = None  # of the closure, from 1
    threshold: float | None = None  # as the code gave it
    kind: ClipKind | None = None
    norm_type: float = 2.0
    clipped_norm: float | None = None  # norm, before clipping, over everything that the clip covered
    clip_norm_error: float = 0.0  # how far the clip's own norm was off (relative; fp32 sums, big tensors)
    clips_per_step: int = 0  # clips of any one parameter since its gradient was empty or used
    parts: int = 0  # clip calls that it takes to cover the covered parameters
    cosine: float | None = None  # between raw and used; None where not sampled
    modified: Modified = "no"  # by code that the observer does not know
    inside: bool = False  # clipped within the optimizer's own step, after this was measured
    hooked: bool = False  # gradient hooks on parameters: they act inside backward, unseen
    sharded: bool = False  # the process holds only a part of each gradient: its norms are shares (shards.py)
    world: int = 1  # processes whose shares add up to the whole; 0: not known
    joined: bool = False  # the norms are those of the whole
    clip_reported: float | None = None  # what a clip of sharded gradients says the norm was
    skipped: bool = False  # the scaler skipped the step
    loss_scale: float | None = None
    clip_scale: float = 1.0  # loss scale that the gradients still carried when they were clipped
    scale_in_threshold: bool = False  # the threshold was multiplied by the loss scale
    clips: tuple[ClipCall, ...] = ()  # the first few calls
    loss: float | None = None  # sum of what the backwards behind the gradient differentiated, in true units
    not_finite_tensors: int = 0  # of the raw gradient, with at least one element that is inf or NaN
    not_finite_elements: int = 0
    seconds: float | None = None  # since this optimizer's update before, by the clock; None at its first
    clipping: float | None = (
        None  # seconds of those in clip functions (of the host, where a device runs behind)
    )
    stress: float = 1.0  # what backward was made larger by, on purpose; every norm here has it, the loss not
    observing: float | None = None  # seconds of those that the observer took, waiting for the device included

    @property
    def times(self) -> tuple[float | None, float | None, float | None]:
        """The seconds since the update before, and those of them that observing and clipping took."""
        return self.seconds, self.observing, self.clipping

    @property
    def loss_not_finite(self) -> bool:
        """Whether the forward pass gave inf or NaN already: no clipping can cure that."""
        return self.loss is not None and not math.isfinite(self.loss)

    @property
    def when(self) -> str:
        """Say which update of the run this was."""
        if self.evaluation is None:
            return f"step {self.step}"
        return f"step {self.step}, evaluation {self.evaluation} of the closure"


@dataclass(frozen=True, slots=True)
class Process:
    """One observed process: its records, and what it said about itself."""

    pid: int
    rank: int | None = None
    torch: str = ""
    records: tuple[StepRecord, ...] = ()
    failures: tuple[str, ...] = ()  # of the observer
    stopped: bool = False  # by the step limit
    crash: str = ""  # uncaught exception
    lines: frozenset[Place] | None = None  # that ran, of the files asked about; None: nobody counted them


def to_line(event: str, payload: Mapping[str, Any]) -> str:
    """Give one JSON line for `event`."""
    return json.dumps({"event": event, **{k: _encode(v) for k, v in payload.items()}}) + "\n"


def record_payload(record: StepRecord) -> dict[str, Any]:
    """Give a record as plain values for `to_line`."""
    payload = {f.name: getattr(record, f.name) for f in fields(record)}
    payload["clips"] = [{f.name: getattr(c, f.name) for f in fields(c)} for c in record.clips]
    return payload


def read_process(lines: Iterable[str]) -> Process | None:
    """Read one process's lines; a last line cut short by a crash is left out. None: no start line."""
    start: dict[str, Any] | None = None
    records: dict[tuple[int, int | None], StepRecord] = {}  # one that is written again takes its own place
    failures: list[str] = []
    stopped, crash = False, ""
    ran: set[Place] | None = None
    for line in lines:
        try:
            entry = json.loads(line)
            event = entry.pop("event")
            if event == "step":
                record = record_of(entry)
                records[record.step, record.evaluation] = record
            elif event == "start":
                start = entry
            elif event == "lines":
                ran = (ran or set()) | {Place(str(entry["filename"]), int(row)) for row in entry["rows"]}
        except (ValueError, KeyError, TypeError) as error:
            if line.endswith("\n"):
                failures.append(f"a line of the recording cannot be read ({error})")
            continue
        if event == "failure":
            failures.append(str(entry.get("message", "")))
        elif event == "stopped":
            stopped = True
        elif event == "crash":
            crash = str(entry.get("exception", ""))
    if start is None and not failures:
        return None
    start = start or {}
    return Process(
        pid=int(start.get("pid", 0)),
        rank=start.get("rank"),
        torch=str(start.get("torch", "")),
        records=tuple(records.values()),
        failures=tuple(failures),
        stopped=stopped,
        crash=crash,
        lines=None if ran is None else frozenset(ran),
    )


def record_of(entry: Mapping[str, Any]) -> StepRecord:
    """Give the record back from what `record_payload` made of it. Raises KeyError or TypeError if it can't."""
    values = {key: _decode(value) for key, value in entry.items()}
    values["place"] = Place(*values["place"])
    values["dtypes"] = tuple(values["dtypes"])
    values["clips"] = tuple(
        ClipCall(**{**{k: _decode(v) for k, v in clip.items()}, "place": Place(*clip["place"])})
        for clip in values["clips"]
    )
    return StepRecord(**values)


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # "inf", "-inf", "nan"
    if isinstance(value, dict):
        return {k: _encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(v) for v in value]
    return value


def _decode(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
