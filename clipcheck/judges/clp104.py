"""CLP104: a trainer, optimizer or chain that clips only when told, and is not told."""

from __future__ import annotations

from clipcheck.defaults import bare_at_all
from clipcheck.docket import Docket
from clipcheck.findings import Verdict
from clipcheck.flow.records import Step
from clipcheck.judges import words


def judge(step: Step, docket: Docket) -> Verdict | None:
    told = step.told
    if told is None or told.default is not False or told.clipping.hook:
        return None
    worst = bare_at_all(step, docket)
    if worst is None:
        return None
    context, assessed = worst
    name, member = told.clipping.name, told.clipping.member
    if member is not None:
        when = f"with a {member.name.rpartition('.')[2]} among its `{name}`"
        how = "has none"
    else:
        when = "when told"
        how = "is not told to" if told.value is None else f"has its `{name}` switched off"
    message = f"{words.teller(step)} clips only {when}, and {how}{words.told(told, docket)}; {words.model(assessed)}"
    return Verdict("CLP104", message, step.site, assessed.risk, words.of_trainer(told, context, assessed))
