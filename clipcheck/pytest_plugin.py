"""`pytest --clipcheck`: watch the optimizer steps of a repository's own tests.

Without the option the plugin does nothing, and this module imports nothing but pytest. With it, a test
that passes but takes unclipped steps *at risk* fails (or warns, with `--clipcheck-warn`). A step is at risk

- if the static scan reports its line, under the project's own settings (so `min-risk` and suppressions count);
- if the scan does not know the line as a step, any unclipped step there is: nobody has said that it is not.

A line that the scan knows and does not report (a shallow network, say) passes. A test marked
`@pytest.mark.clipcheck(max_norm=1.0)` is held to more: its steps must be confirmed, at that threshold if one
is given, whatever the risk. `@pytest.mark.clipcheck(enabled=False)` leaves a test out. What the fixtures of a test
train while they are set up counts as the test's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from clipcheck.verify.verdicts import SiteVerdict
    from clipcheck.verify.watch import Watch


class UnclippedWarning(pytest.PytestWarning):
    """A test took unclipped steps at risk (`--clipcheck-warn`)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("clipcheck", "gradient clipping")
    group.addoption(
        "--clipcheck",
        action="store_true",
        help="watch the optimizer steps of every test; one that takes unclipped steps at risk fails",
    )
    group.addoption(
        "--clipcheck-warn", action="store_true", help="as --clipcheck, with a warning in place of the failure"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "clipcheck(max_norm=None, enabled=True): under --clipcheck, every optimizer step of the test must be "
        "confirmed to be clipped, at max_norm if given; enabled=False leaves the test out",
    )
    if not (config.getoption("clipcheck") or config.getoption("clipcheck_warn")):
        return
    from clipcheck.verify.missing import MissingLibrary, needed

    try:
        with needed("torch", extra="verify"):
            import torch  # noqa: F401 - before any test does, so that the time of its import is nobody's
    except MissingLibrary as missing:
        raise pytest.UsageError(f"--clipcheck: {missing}") from missing
    config.pluginmanager.register(Plugin(warn=bool(config.getoption("clipcheck_warn"))), "clipcheck-watch")


class Plugin:
    """Watches each test, and judges it when it has passed."""

    def __init__(self, *, warn: bool) -> None:
        self._warn = warn
        self._open: Watch | None = None  # keeps one observer for the whole session, so that tests start fast
        self._watches: dict[str, Watch] = {}
        self._steps = self._tests = self._at_risk = 0

    def pytest_sessionstart(self) -> None:
        from clipcheck.verify.watch import Watch

        self._open = Watch(keep=False)
        self._open.__enter__()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            _Mark(item)  # a mark that is wrong is said before anything runs

    def pytest_sessionfinish(self) -> None:
        if self._open is not None:
            self._open.__exit__()
            self._open = None

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, None]:
        mark = _Mark(item)
        if not mark.enabled:
            yield
            return
        from clipcheck.verify.watch import Watch

        with Watch(mark.max_norm) as watch:
            self._watches[item.nodeid] = watch
            yield
        del self._watches[item.nodeid]
        self._steps += len(watch.steps)
        self._tests += bool(watch.steps)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, None]:
        outcome = yield
        watch = self._watches.get(item.nodeid)
        if watch is None or outcome.excinfo is not None:
            return
        complaint = _complaint(watch, marked=_Mark(item).marked)
        if not complaint:
            return
        self._at_risk += 1
        if self._warn:
            item.warn(UnclippedWarning(complaint))
        else:
            outcome.force_exception(pytest.fail.Exception(complaint, pytrace=False))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._tests:
            updates = f"{self._steps} update{'s' * (self._steps != 1)}"
            tests = f"{self._tests} test{'s' * (self._tests != 1)}"
            terminalreporter.write_line(
                f"clipcheck: {updates} watched in {tests}, {self._at_risk} with unclipped steps at risk"
            )


class _Mark:
    """What a test asks for."""

    def __init__(self, item: pytest.Item) -> None:
        self.marked, self.enabled, self.max_norm = False, True, None
        found = item.get_closest_marker("clipcheck")
        if found is None:
            return
        wrong = set(found.kwargs) - {"max_norm", "enabled"}
        if found.args or wrong:
            what = ", ".join(sorted(wrong)) or "positional arguments"
            raise pytest.UsageError(
                f"{item.nodeid}: the mark clipcheck takes max_norm and enabled by name, not {what}"
            )
        self.enabled = bool(found.kwargs.get("enabled", True))
        self.max_norm = found.kwargs.get("max_norm")
        self.marked = self.enabled


def _complaint(watch: Watch, *, marked: bool) -> str:
    """Say what is wrong with the steps of a test; empty if nothing is."""
    if marked and watch.verdict != "confirmed":
        lines = [_line(site) for site in watch.sites if site.word != "confirmed"]
        lines += watch.failures
        return "\n".join(
            ["clipcheck: not confirmed to be clipped", *(lines or ["  no optimizer step was seen"])]
        )
    lines = [line for site in watch.sites if site.word == "refuted" and (line := _at_risk(site))]
    return "\n".join(["clipcheck: unclipped steps at risk", *lines]) if lines else ""


def _at_risk(site: SiteVerdict) -> str:
    from clipcheck.atrisk import risk_at

    word, finding = risk_at(*site.place)
    if word == "not reported":
        return ""
    if finding is None:
        return f"{_line(site)}\n    the scan does not know this line as a step"
    return f"{_line(site)}\n    {finding.code} {finding.message} (risk: {finding.risk})"


def _line(site: SiteVerdict) -> str:
    numbers = "" if site.shown is None else f" (raw norm {site.shown.raw:.6g}, used {site.shown.used:.6g})"
    return f"  {site.place}: {site.word}: {site.reason}{numbers}"
