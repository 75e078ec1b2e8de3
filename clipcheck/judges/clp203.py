"""CLP203: clipping gradients that still carry the loss scale."""

from __future__ import annotations

from clipcheck.docket import NEVER_ACCUSED, Docket, unsure, usual
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, ClipContext, Path
from clipcheck.judges import words
from clipcheck.protocol import Phase


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    if clip.kind in NEVER_ACCUSED:
        return None
    context = next((context for context in clip.contexts if _scaled(context)), None)
    if context is None:
        return None
    unscale = docket.unscale_call(context.scaler, context.optimizer)
    message = (
        f"{words.quoted(clip.call)} clips gradients that still carry the loss scale, so the update all but "
        f"vanishes; {f'call `{unscale}` first' if unscale else 'unscale them first'}"
    )
    risk, evidence = docket.risk_at(clip)
    sites = {path.gradients.backward for path in context.paths if _breaks(path)}
    scaled = [words.at(site, "backward of the scaled loss") for site in sorted(filter(None, sites))]
    return Verdict("CLP203", message, clip.site, risk, words.distinct((*scaled, *evidence)))


def _scaled(context: ClipContext) -> bool:
    """Whether the clip, as the program usually runs, always meets scaled gradients."""
    if context.scaled_threshold or not context.paths:
        return False
    return all(_breaks(path) for path in usual(context.paths))


def _breaks(path: Path) -> bool:
    gradients = path.gradients
    return path.code == "CLP203" and gradients.phase is Phase.SCALED and not unsure(gradients)
