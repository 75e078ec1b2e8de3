"""What pyproject.toml cannot say of the build: the knowledge is parsed here once, and not at every start."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RULES = Path(__file__).parent / "rules"


class BuildWithKnowledge(build_py):
    """Puts `clipcheck.rules.parsed` beside the files that it is made of, for `clipcheck.knowledge` to find."""

    def run(self) -> None:
        """Build, and write the module; an editable install reads the files themselves."""
        super().run()
        if not self.editable_mode:
            Path(self._parsed).write_text(parsed(), encoding="utf-8")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files of the build."""
        found = super().get_outputs(include_bytecode)
        return found if self.editable_mode else [*found, self._parsed]

    @property
    def _parsed(self) -> str:
        return str(Path(self.build_lib, "clipcheck", "rules", "parsed.py"))


def parsed() -> str:
    """The text of the module: the check sum of the files, and what they say, as Python's compiler keeps it."""
    texts = [path.read_bytes() for path in sorted(RULES.glob("*.toml"))]
    data = b"\0".join(texts)
    digest = f"{zlib.crc32(data):08x}{zlib.adler32(data):08x}{len(data):08x}"  # as clipcheck.knowledge has it
    files = [tomllib.loads(text.decode("utf-8")) for text in texts]
    return f'"""The files of this folder, parsed by the build."""\n\nDIGEST = {digest!r}\nFILES = {files!r}\n'


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWithKnowledge})
