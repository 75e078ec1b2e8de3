"""What CONTRIBUTING says of knowledge files: every section, key and word that there is, and examples that hold."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pytest

from clipcheck import forms, knowledge

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTION = PAGE.split("\n## A new framework\n", 1)[1].split("\n## ", 1)[0]
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
PARTS = {part.partition("\n")[0]: part for part in SECTION.split("\n### ")[1:]}
FILES = [tomllib.loads(path.read_text("utf-8")) for path in sorted((ROOT / "rules").glob("*.toml"))]
TRAINED = [data for data in FILES if data["framework"].get("listed", True)]
HEADINGS = {
    "framework": "`[framework]`",
    "class": "`[[class]]`",
    "call": "`[[call]]` and `[[method]]`",
    "method": "`[[call]]` and `[[method]]`",
    "wrapper": "`[[wrapper]]`",
    "dict": "`[[dict]]`",
    "engine": "`[engine.NAME]`",
    "clipping": "`clipping`",
    "member": "`clipping`",
    "default-since": "`clipping`",
    "hooks": "`hooks`",
    "transforms": "`transforms`",
}
PLAIN = "Sections of plain lists and texts"


def named(part: str) -> set[str]:
    """The words in backticks of a part of the section."""
    return set(re.findall(r"`([^`\n]+)`", PARTS[part]))


@pytest.mark.parametrize("section", sorted(knowledge._SECTIONS))
def test_every_section_has_its_place(section):
    assert f"[{section}]" in named(PLAIN) or HEADINGS[section] in PARTS


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("framework", {field.name for field in dataclasses.fields(knowledge.Framework)}),
        *((table, set(keys)) for table, keys in {**forms.FORMS, **forms.TABLES}.items()),
        ("engine", {key for data in FILES for templates in data.get("engine", {}).values() for key in templates}),
    ],
)  # fmt: skip
def test_every_key_is_explained(table, keys):
    assert keys - named(HEADINGS.get(table, PLAIN)) == set()


@pytest.mark.parametrize("section", forms._ENTRIES)
def test_a_key_of_an_entry_that_is_not_explained_is_refused(section):
    entry = {**dict.fromkeys(forms._NEEDED[section], "x"), "unheard-of": "x"}
    with pytest.raises(forms.FormError, match=r"has unknown keys \['unheard-of'\]"):
        forms.check_form({section: [entry]})


@pytest.mark.parametrize("table", ["clipping", "hooks", "transforms"])
def test_a_key_of_a_table_that_is_not_explained_is_refused(table):
    entry = {"names": ["a.B"], "role": "x", table: {"unheard-of": "x"}}
    with pytest.raises(forms.FormError, match=rf"{table} has unknown keys \['unheard-of'\]"):
        forms.check_form({"class": [entry]})


def test_every_event_is_explained():
    """Those about settings stand in rules/options.toml, which is no framework."""
    used = {entry["event"] for data in TRAINED for key in ("call", "method") for entry in data.get(key, ())}
    assert used - named(HEADINGS["call"]) == set()


def test_every_kind_and_result_is_explained():
    words = {
        entry.get(key)
        for data in TRAINED
        for section in ("call", "method")
        for entry in data.get(section, ())
        for key in ("kind", "result")
    }
    assert {f'"{word}"' for word in words if word} - named(HEADINGS["call"]) == set()


def test_every_family_is_explained():
    used = {entry["family"] for data in TRAINED for entry in data.get("class", ()) if entry.get("family")}
    assert used - named(HEADINGS["class"]) == set()


def test_every_key_of_the_plain_sections_is_explained():
    for data in FILES:
        for section in ("libraries", "passthrough", "checks", "options", "values", "parameters", "fix"):
            assert set(data.get(section, ())) - named(PLAIN) == set()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_are_toml(block):
    assert tomllib.loads(block)


def test_the_whole_example_is_a_knowledge_file(tmp_path):
    (tmp_path / "greenhouse.toml").write_text(BLOCKS[0])
    assert knowledge.load([tmp_path]).frameworks["Greenhouse"].tried == "read"
