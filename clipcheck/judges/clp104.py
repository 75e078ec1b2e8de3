"""CLP104: a trainer, optimizer or chain that clips only when told, and is not told."""

from __future__ import annotations

from clipcheck.defaults import bare_at_all
from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Step
from clipcheck.judges import words


def judge(step: Step, docket: Docket) -> Verdict | None:
    told = step.told
    if told is None or told.default is not False:
        return None
    worst = bare_at_all(step, docket)
    if worst is None:
        return None
    context, assessed = worst
    name = told.clipping.arguments[0]
    how = "is not told to" if told.value is None else f"has its `{name}` switched off"
    message = f"{words.quoted(step.call)} clips only when told, and {how}{words.told(told, docket)}; {words.model(assessed)}"
    return Verdict("CLP104", message, step.site, assessed.risk, words.of_trainer(told, context, assessed))
