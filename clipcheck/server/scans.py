"""Scan what is open, as the command line would scan it once it is saved."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from clipcheck import catalog, config, fixing, pipeline
from clipcheck.agreement import disagreement
from clipcheck.config import Settings, UserError
from clipcheck.discover import STDIN
from clipcheck.findings import Failure, Finding
from clipcheck.notebook import open_program
from clipcheck.record import dataclass, replace
from clipcheck.server.documents import Document
from clipcheck.splice import fixable


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scan said of a document as it was; `trouble` is what kept it from being scanned."""

    document: Document
    findings: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = ()
    trouble: str = ""


def scan(document: Document, overlay: Mapping[str, str]) -> Outcome:
    """Scan one document; the other files of its project are read from `overlay`, the cache or the disk."""
    try:
        report = pipeline.run([STDIN], _settings(document), overlay=overlay)
    except UserError as error:
        return Outcome(document, trouble=str(error))
    except Exception:  # the editor's session must outlive a fault of clipcheck's own
        traceback.print_exc(file=sys.stderr)
        return Outcome(
            document,
            trouble=f"a fault in clipcheck on {document.filename}, not in your code; please report it",
        )
    return Outcome(document, _fixable(document, report.findings), report.failures)


def _fixable(document: Document, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings of a document; without their fixes where libcst does not see the statements that `ast` sees.

    The command line asks libcst for the fixed text, which in an editor would take a parse for each finding.
    """
    if all(one.fix is None for one in found):
        return found
    if disagreement(open_program(document.text, document.filename).text) is None:
        return found
    return tuple(replace(one, fix=None) for one in found)


def fixed(document: Document, overlay: Mapping[str, str]) -> str:
    """Return the text of a document with its safe fixes, as `--fix` would write it; as it was where there are none."""
    settings = _settings(document)
    plan = fixing.plan([STDIN], settings, pipeline.run, lambda one: fixable(one, unsafe=False), overlay)
    return plan.overlay.get(document.filename, document.text)


def _settings(document: Document) -> Settings:
    """The settings in force for a document. What the project leaves out is left out, as nobody named it outright."""
    given = {"stdin_filename": document.filename, "force_exclude": True, "jobs": 1}
    settings = config.load(Path(document.filename).parent, None, given)
    catalog.check_codes(settings)
    return settings
