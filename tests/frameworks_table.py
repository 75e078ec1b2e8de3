"""Write the table of frameworks in the README from the knowledge files: `python tests/frameworks_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from clipcheck import knowledge, listing

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- frameworks: written by `python tests/frameworks_table.py` -->\n"
END = "<!-- end of frameworks -->\n"
BETWEEN = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)


def renewed(text: str) -> str:
    """The text with the table between its two markers as the knowledge files have it now."""
    table = listing.to_markdown(listing.frameworks(knowledge.load()))
    changed, count = BETWEEN.subn(lambda _: f"\n{table}\n", text)
    if count != 1:
        raise SystemExit(f"the markers stand {count} times in the text, not once")
    return changed


if __name__ == "__main__":
    README.write_text(renewed(README.read_text("utf-8")), encoding="utf-8")
