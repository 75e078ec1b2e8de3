"""Take the README's picture of the page that `verify --report` writes: `python tests/readme_picture.py`.

It runs the example before and after its fix, and has Chromium draw the upper part of the page.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / ".github" / "verify-report.png"
SIZE = (900, 990)  # pixels


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "char-lstm"
        shutil.copytree(ROOT / "fixtures" / "char-lstm" / "before", example)
        (example / "finetune.py").unlink()
        command = [sys.executable, "-m", "clipcheck", "verify", "--compare", "--report", "report.html"]
        subprocess.run([*command, "--", "python", "train.py"], cwd=example, check=True)
        subprocess.run(
            [
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={PICTURE}",
                (example / "report.html").as_uri(),
            ],
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
