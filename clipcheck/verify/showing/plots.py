"""Draw norms, clipped share and loss with matplotlib, as SVG that stands inside a page.

matplotlib, not Plotly: a Plotly page carries 4 MB of script to draw some hundred points, and needs
scripts to be read at all. One drawing serves light and dark: it is drawn in stand-in colours, which become
the page's own CSS variables. Text stays text, in the page's font, so that it can be read aloud and searched.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .series import WINDOW, Series, Update, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..session import StepRecord

# what is drawn: its stand-in colour, and the CSS variable that takes its place
_COLOURS = {
    "raw": ("#010101", "--raw"),
    "used": ("#010102", "--used"),
    "threshold": ("#010103", "--threshold"),
    "share": ("#010104", "--share"),
    "loss": ("#010105", "--loss"),
    "text": ("#010106", "--text"),
    "grid": ("#010107", "--line"),
    "bad": ("#010108", "--refuted"),
    "page": ("#010109", "--card"),
}
_INK = {role: colour for role, (colour, _) in _COLOURS.items()}
_SIZE = (4.8, 2.7)  # inches: the width of a phone, so that the text is not scaled down there
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "clipcheck",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK["text"],
    "axes.labelcolor": _INK["text"],
    "axes.edgecolor": _INK["grid"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _INK["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": _INK["text"],
    "ytick.color": _INK["text"],
    "legend.frameon": True,
    "legend.facecolor": _INK["page"],
    "legend.edgecolor": "none",
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing and what it says in words."""

    title: str
    caption: str
    svg: str


def plots_of(series: Sequence[Series], key: str) -> list[Plot]:
    """Give the plots of one line's series; `key` (letters and digits) keeps their ids apart on the page.

    Raises ImportError if matplotlib is not there.
    """
    plots = [Plot("Gradient norm", _norms_in_words(series), _svg(partial(_norms, series=series), f"{key}n"))]
    if any(one.has_threshold for one in series):
        share = _svg(partial(_share, series=series), f"{key}s")
        plots.append(Plot("Clipped share", _share_in_words(series), share))
    if any(one.has_loss for one in series):
        loss = _svg(partial(_loss, series=series), f"{key}l")
        plots.append(Plot("Loss", "the loss that backward began from", loss))
    return plots


def runs_of(
    runs: Sequence[Sequence[StepRecord]], names: tuple[str, str], key: str, *, where: str = ""
) -> list[Plot]:
    """Give the plots of two runs of one command: the norms that their updates used, and their losses.

    `names` are what the runs are called, `where` what is said of them in the captions. Raises ImportError if
    matplotlib is not there.
    """
    plots = []
    for what, title in (("used", "Norm used"), ("loss", "Loss")):
        curves = [Curve(name, _curve(records, what)) for name, records in zip(names, runs, strict=True)]
        if any(curve.points for curve in curves):
            drawn = _svg(partial(_curves, curves=curves, unit="norm" if what == "used" else what), key + what)
            plots.append(Plot(f"{title}{where}", _curves_in_words(curves), drawn))
    return plots


@dataclass(frozen=True, slots=True)
class Curve:
    """What one of two runs is called, and its values by step."""

    name: str
    points: list[tuple[float, float]]

    @property
    def finite(self) -> list[float]:
        """The values that have a place on an axis."""
        return [value for _, value in self.points if math.isfinite(value)]


def _curve(records: Sequence[StepRecord], what: str) -> list[tuple[float, float]]:
    seen = [(float(record.step), getattr(record, what)) for record in records if record.updated]
    points = [(step, float(value)) for step, value in seen if value is not None]
    return thinned(points, lambda point: point[1])


def _curves(axes: Axes, curves: Sequence[Curve], unit: str) -> None:
    axes.set_ylabel(unit)
    values = [value for curve in curves for value in curve.finite]
    if values and min(values) > 0.0 and (unit == "norm" or max(values) > 100.0 * min(values)):
        axes.set_yscale("log")
    # the second on top and thinner: where both are equal, both are seen
    for curve, role, width in zip(curves, ("raw", "used"), (2.6, 1.3), strict=True):
        drawn = [value if math.isfinite(value) else math.nan for _, value in curve.points]
        at = [step for step, _ in curve.points]
        axes.plot(at, drawn, color=_INK[role], label=curve.name, linewidth=width)
        broken = [step for step, value in curve.points if not math.isfinite(value)]
        _not_finite(axes, broken, f"{curve.name}: not finite")
    axes.legend(loc="best")


def _curves_in_words(curves: Sequence[Curve]) -> str:
    told = []
    for curve in curves:
        finite = curve.finite
        extent = f"{finite[-1]:.3g} at the end, at most {max(finite):.3g}" if finite else "nothing finite"
        told.append(f"{curve.name}: {extent}")
    return "; ".join(told)


def _svg(draw: Callable[[Axes], None], key: str) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({**mpl.rcParamsDefault, **_SETTINGS}):  # the user's own style is not for this page
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel("optimizer step")
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    for mark in ('id="', "url(#", 'href="#'):
        text = text.replace(mark, f"{mark}{key}-")
    for colour, variable in _COLOURS.values():
        text = text.replace(colour, f"var({variable})")
    return text


def _norms(axes: Axes, series: Sequence[Series]) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("norm")
    for number, one in enumerate(series):
        at = [update.at for update in one.updates]
        style: dict[str, Any] = {"alpha": 1.0 if len(series) == 1 else 0.55}
        if len(at) < 60:
            style |= {"marker": "o", "markersize": 3}
        # the used norm on top and thinner: where both are equal, both are seen
        for name, width in (("raw", 2.6), ("used", 1.3)):
            label = name if number == 0 else None
            axes.plot(
                at, _drawable(one.updates, name), color=_INK[name], label=label, linewidth=width, **style
            )
        broken = [update.at for update in one.updates if not math.isfinite(update.raw)]
        _not_finite(axes, broken, "not finite" if number == 0 else None)
    _threshold(axes, series)
    axes.legend(loc="best")


def _not_finite(axes: Axes, steps: Sequence[float], label: str | None) -> None:
    """Mark steps at the upper edge, where no value has a place."""
    if steps:
        edge = axes.get_xaxis_transform()
        axes.plot(steps, [0.97] * len(steps), "x", color=_INK["bad"], transform=edge, label=label)


def _threshold(axes: Axes, series: Sequence[Series]) -> None:
    updates = series[0].updates
    levels = [math.nan if u.threshold is None or u.threshold <= 0.0 else u.threshold for u in updates]
    if all(math.isnan(level) for level in levels):
        return
    style: dict[str, Any] = {
        "color": _INK["threshold"],
        "linestyle": "--",
        "linewidth": 1.2,
        "label": "threshold",
    }
    if len(set(levels)) == 1:
        axes.axhline(levels[0], **style)
    else:
        axes.step([update.at for update in updates], levels, where="mid", **style)


def _share(axes: Axes, series: Sequence[Series]) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("clipped")
    for one in series:
        at, share = [update.at for update in one.updates], [update.share for update in one.updates]
        axes.plot(at, share, color=_INK["share"], alpha=1.0 if len(series) == 1 else 0.55)
        axes.fill_between(at, share, color=_INK["share"], alpha=0.15, linewidth=0)


def _loss(axes: Axes, series: Sequence[Series]) -> None:
    axes.set_ylabel("loss")
    for one in series:
        pairs = [(u.at, u.loss) for u in one.updates if u.loss is not None]
        finite = [loss if math.isfinite(loss) else math.nan for _, loss in pairs]
        axes.plot(
            [at for at, _ in pairs], finite, color=_INK["loss"], alpha=1.0 if len(series) == 1 else 0.55
        )
        if finite and all(loss > 0.0 for loss in finite) and max(finite) > 100.0 * min(finite):
            axes.set_yscale("log")


def _drawable(updates: Sequence[Update], name: str) -> list[float]:
    """Give norms that have a place on a log scale, NaN for the rest (a gap)."""
    values = [float(getattr(update, name)) for update in updates]
    return [value if math.isfinite(value) and value > 0.0 else math.nan for value in values]


def _norms_in_words(series: Sequence[Series]) -> str:
    raw = [u.raw for one in series for u in one.updates if math.isfinite(u.raw)]
    used = [u.used for one in series for u in one.updates if math.isfinite(u.used)]
    if not raw or not used:
        return "no norm was finite"
    words = f"raw from {min(raw):.3g} to {max(raw):.3g}, used from {min(used):.3g} to {max(used):.3g}"
    if len(series) > 1:
        words += f"; {len(series)} processes"
    most = max(one.seen for one in series)
    if most > max(len(one.updates) for one in series):
        words += f"; of {most} updates, the largest of each stretch is drawn"
    return words


def _share_in_words(series: Sequence[Series]) -> str:
    last = ", ".join(f"{one.updates[-1].share:.0%}" for one in series)
    return f"of the last {WINDOW} updates up to each; {last} at the end"
