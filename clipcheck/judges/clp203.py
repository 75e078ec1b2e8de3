"""CLP203: clipping gradients that still carry the loss scale."""

from __future__ import annotations

from clipcheck.docket import Docket, breaks_the_scale, still_scaled
from clipcheck.findings import Verdict
from clipcheck.flow.records import Clip, ClipContext
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    context = still_scaled(clip)
    if context is None:
        return None
    message = (
        f"{words.quoted(clip.call)} clips gradients that still carry the loss scale, so its threshold is too "
        f"small by that factor; {_remedy(context, docket)}"
    )
    risk, evidence = docket.risk_at(clip)
    sites = {path.gradients.backward for path in context.paths if breaks_the_scale(path)}
    scaled = [words.at(site, "backward of the scaled loss") for site in sorted(filter(None, sites))]
    return Verdict("CLP203", message, clip.site, risk, words.distinct((*scaled, *evidence)))


def _remedy(context: ClipContext, docket: Docket) -> str:
    if context.framework:
        template = docket.context.knowledge.engines.get(context.framework, {}).get("clip", "")
        method = template.partition("(")[0].format(engine=context.engine or context.framework)
        return f"clip by `{method}`, which takes it off before" if method else "unscale them first"
    unscale = docket.unscale_call(context.scaler, context.optimizer)
    return f"call `{unscale}` first" if unscale else "unscale them first"
