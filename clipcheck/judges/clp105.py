"""CLP105: clipping that is on by default is switched off."""

from __future__ import annotations

from clipcheck.defaults import bare_at_all
from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Step
from clipcheck.flow.values import choices, literal
from clipcheck.judges import words


def judge(step: Step, docket: Docket) -> Verdict | None:
    told = step.told
    if told is None or told.default is False:
        return None
    worst = bare_at_all(step, docket)
    if worst is None:
        return None
    context, assessed = worst
    name = told.clipping.name
    none = any(literal(one) is None for one in choices(told.value)) if told.value is not None else False
    harm = f"; None {told.clipping.none}" if none and told.clipping.none else ""
    message = (
        f"{words.teller(step)} switches off the clipping that is on by default (`{name}`){harm}"
        f"{words.told(told, docket)}; "
        f"{words.model(assessed)}"
    )
    return Verdict("CLP105", message, step.site, assessed.risk, words.of_trainer(told, context, assessed))
