"""CLP203: clipping gradients that still carry the loss scale."""

from __future__ import annotations

from clipcheck.docket import Docket, breaks_the_scale, still_scaled
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    context = still_scaled(clip)
    if context is None:
        return None
    unscale = docket.unscale_call(context.scaler, context.optimizer)
    message = (
        f"{words.quoted(clip.call)} clips gradients that still carry the loss scale, so its threshold is too "
        f"small by that factor; {f'call `{unscale}` first' if unscale else 'unscale them first'}"
    )
    risk, evidence = docket.risk_at(clip)
    sites = {path.gradients.backward for path in context.paths if breaks_the_scale(path)}
    scaled = [words.at(site, "backward of the scaled loss") for site in sorted(filter(None, sites))]
    return Verdict("CLP203", message, clip.site, risk, words.distinct((*scaled, *evidence)))
