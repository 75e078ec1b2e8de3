"""CLP205: what is handed to the clip holds no gradients."""

from __future__ import annotations

from clipcheck.docket import Docket
from clipcheck.faults import exhausted
from clipcheck.findings import Evidence, Verdict
from clipcheck.flow.records import Clip
from clipcheck.judges import words


def judge(clip: Clip, docket: Docket) -> Verdict | None:
    fault = docket.faults.get(clip.site)
    if fault is None or fault.code != "CLP205":
        return None
    key = exhausted(clip)
    what = fault.reason or "an iterator that has been used up before; keep the parameters in a list"
    message = f"{words.quoted(clip.call)} clips nothing: it is handed {what}"
    chain = [] if fault.reason else _readers(key, clip, docket)
    chain += [words.at(site, "this step uses the gradients unclipped") for site in fault.steps]
    risk, evidence = docket.risk_at(clip)
    return Verdict("CLP205", message, clip.site, risk, words.distinct((*chain, *evidence)))


def _readers(key: str, clip: Clip, docket: Docket) -> list[Evidence]:
    """Where the iterator is made, and who used it up."""
    made, reader = docket.sightings.iterators.get(key), docket.sightings.readers.get(key)
    chain = [words.at(made, "the iterator is made here, once")] if made is not None else []
    if reader is not None:
        own = reader == clip.site
        chain.append(
            words.at(reader, f"{'this very clip uses it up in its first turn' if own else 'used up here'}")
        )
    return chain
