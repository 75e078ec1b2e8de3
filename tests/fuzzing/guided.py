"""Feed the readers bytes that coverage chooses: damaged source, notebooks, ignore files, settings files.

    python tests/fuzzing/guided.py READER [-atheris_runs=N] [-max_total_time=SECONDS] [FOLDER]

READER is one of those in `READERS`. Wants atheris (`pip install atheris`), which the tests do not: it changes the byte code
of what it watches, and takes the process over. Inputs that bring something new are kept in FOLDER; the fixtures are a good
one to begin with. A crash is written beside, and ends it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

with atheris.instrument_imports(include=["clipcheck", "ast", "tokenize", "json"]):
    from clipcheck import gitignore, notebook, pins, settingsfiles, suppress
    from clipcheck.extract import extract
    from clipcheck.facts import ModuleFacts, is_read
    from clipcheck.leading import outline_of
    from clipcheck.sourcefile import decode
    from clipcheck.survey import parsed, statements


def read_source(data: bytes) -> None:
    """A file to its facts, the inside of its functions included."""
    found = extract(data, "train.py")
    if isinstance(found, ModuleFacts):
        outline = outline_of(found)
        for defined in outline.functions:
            assert is_read(defined.function) or defined.function.body is not None
        for statement in statements(data):
            parsed(statement)


def read_notebook(data: bytes) -> None:
    """A notebook to its program; the sources of its cells, put back as they are, change nothing."""
    text = data.decode("utf-8", "replace")
    extract(data, "notes.ipynb")
    try:
        notebook.sources(text)
    except notebook.NotebookError:
        return
    assert notebook.rewrite(text, "notes.ipynb", []) == text


def read_comments(data: bytes) -> None:
    try:
        text, _ = decode(data)
    except (SyntaxError, UnicodeError, LookupError):
        return
    suppress.find_suppressions(text)


def read_ignores(data: bytes) -> None:
    patterns = gitignore.make_patterns(data.split(b"\n"), "/project")
    if patterns is not None:
        for name in ("/project/a.py", "/project/data/b.py", "/project/x/y/z.ipynb"):
            patterns.verdict(name, is_folder=False)


def read_settings(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for suffix in (".yaml", ".json", ".toml"):
        settingsfiles.parse(text, suffix)


def read_pins(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for name in ("requirements.txt", "pyproject.toml", "setup.py", "environment.yml"):
        pins.pins_in(name, text, "deepspeed")


READERS: dict[str, Callable[[bytes], None]] = {
    "source": read_source,
    "notebook": read_notebook,
    "comments": read_comments,
    "ignores": read_ignores,
    "settings": read_settings,
    "pins": read_pins,
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"say what to feed: {', '.join(READERS)}")
    warnings.simplefilter("ignore")  # of what damaged source holds: `"\\d"` and its like
    reader = READERS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, reader)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
