"""Open a page in headless Chromium and ask it what it looks like."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

REQUIRED = os.environ.get("CLIPCHECK_BROWSER") == "1"  # as in CI: a browser that is not there is a failure

_ASK = """
<script>
addEventListener("load", () => {
  const all = [...document.querySelectorAll("body *")];
  const style = getComputedStyle(document.body);
  parent.postMessage(JSON.stringify({
    width: innerWidth,
    scrolls: document.documentElement.scrollWidth,
    tooWide: all.filter(e => !e.closest("thead") && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    page: style.backgroundColor,
    text: style.color,
    raw: getComputedStyle(document.documentElement).getPropertyValue("--raw").trim(),
    strokes: [...new Set([...document.querySelectorAll("svg path")].map(e => getComputedStyle(e).stroke))],
    letters: Math.min(...[...document.querySelectorAll("svg text")].map(e => e.getBoundingClientRect().height)),
    verdicts: [...document.querySelectorAll("td.verdict")].map(e => e.innerText),
    sections: document.querySelectorAll("section.site").length,
    drawings: document.querySelectorAll("figure svg").length,
    scripts: document.scripts.length,
    images: document.images.length,
    loaded: performance.getEntriesByType("resource").map(e => e.name),
  }), "*");
});
</script>
"""

# A window of Chromium's is 500 pixels wide at least, a frame in it may be narrower.
_FRAME = """<!doctype html>
<html style="color-scheme: light dark">
<script>addEventListener("message", event => { document.title = event.data; });</script>
<iframe src="looked-at.html" width="%d" height="800" style="border: 0"></iframe>
"""


def browser() -> str:
    """Give Chromium's path; the test is skipped without one, unless CLIPCHECK_BROWSER=1."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if REQUIRED:
        pytest.fail("no Chromium on this machine, and CLIPCHECK_BROWSER=1")
    pytest.skip("no Chromium on this machine")


def looked_at(html: str, folder: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """Open the page in a frame of this many pixels, and give what it says of itself.

    The page forbids scripts: its policy is taken out, and one script put in, for the measuring alone.
    """
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert len(policy.findall(html)) == 1
    (folder / "looked-at.html").write_text(policy.sub(lambda _: _ASK, html), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(_FRAME % width)
    mode = f"--blink-settings=preferredColorScheme={int(not dark)}"
    dom = dump(frame, folder, "--window-size=1400,900", "--virtual-time-budget=5000", mode)
    found = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert found, dom[:2000]
    answer: dict[str, Any] = json.loads(unescape(found.group(1)))
    return answer


def dump(path: Path, folder: Path, *options: str) -> str:
    """Give the document of a file as Chromium has it after loading."""
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", *options, "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
