"""What the bytes of a file tell before anything of it is parsed: whether it can hold an event, and what it imports.

A scan reads every file of a project and parses few of them, so what is done here is done to every byte. `in` searches
bytes at a gigabyte a second; a regular expression does so only where it begins with a text, and is therefore asked
about files alone that hold that text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from clipcheck.knowledge import Knowledge
from clipcheck.regular import regular

COMMENT = b"clipcheck:"
_STEM = 6  # bytes: shorter ones are in every other file
_CLIP = b"clip_"  # what begins the names that people give to functions which clip
_RENAMED = regular(rb"(\w+)\s+as\s")
_COMMENTED = regular(rb"#[^\n]*")
_ASKED = regular(rb"\bgetattr\(\s*([\w.]+)\s*,\s*['\"]\Z")
_LAST = regular(rb"\w+\Z")
_OPENS, _CLOSES = b"()"
_BLANK = b" \t\r\n\f\\"
_BEFORE = 80  # bytes before a method's name that say whose it is
_MAKING = 400  # the same where that is made by a call, with its arguments, or by a class with its bases
_WORD_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


# For `bytes.translate`: what is in no word becomes white space.
_TO_WORDS = bytes(byte if byte in _WORD_BYTES or byte >= 128 else 32 for byte in range(256))


def words_of(data: bytes) -> set[bytes]:
    """The identifiers, numbers and words in some source (ten times as fast as a regular expression finds them)."""
    return set(data.translate(_TO_WORDS).split())


def identifiers_in(text: str) -> frozenset[str]:
    """The identifiers in a text, and what looks like one in its strings and comments; by bytes, as `words_of`."""
    data = text.encode("utf-8", "surrogatepass").translate(_TO_WORDS)
    return frozenset(data.decode("utf-8", "surrogatepass").split())


class Import(NamedTuple):
    """`from module import names`, or `import module` where there are no names; `level` counts the leading dots."""

    module: str
    level: int = 0
    names: tuple[str, ...] = ()


class Hope(IntEnum):
    """What may be found in a file."""

    NONE = 0
    COMMENT = 1  # a comment to clipcheck, which may be idle
    SOME = 2  # the name of an event, where its facts have the last word
    SURE = 3  # a package or a key of a configuration by which events of everyday names are known


class Survey:
    """Looks at the bytes of one file after another; what is looked for is knowledge."""

    def __init__(self, known: Knowledge) -> None:
        self._known = known
        self._methods = {name.encode() for name in known.decisive_methods}
        self._functions = {name.encode() for name in known.decisive_functions}
        self._backward = [name.encode() + b"(" for name in known.backward_methods]
        fits = b"|".join(sorted(re.escape(name.encode()) for name in known.telling_fits))
        self._fitting = [b"." + name.encode() for name in known.telling_fits]
        # `re.compile(…)` is another one
        self._fits = regular(rb"\.(?:" + fits + rb")\s*\([^()]*\b(?:optimizer|loss)\b")
        self._keys = [name.encode() for rule in known.dicts for name in rule.names]
        # `tf.keras.Model`: a package that is found in another one without being imported itself
        inner = [alias.rpartition(".")[2] for alias in known.aliases if "." in alias]
        self._keys += [b"." + name.encode() for name in inner if name in known.by_import]
        self._told = {name.encode() for name in known.told_here}
        self._told_packages = {name.encode() for name in known.told_packages}
        self._packages = {name.encode() for name in known.by_import}
        words = sorted(self._methods | self._functions)
        self._needles = {
            needle: [(word, _mentions(word)) for word in words if needle in word] for needle in _stems(words)
        }
        self._clips = regular(_CLIP + rb"\w*\s*\(")
        told, constructors = (
            b"|".join(sorted(map(re.escape, names)))
            for names in (self._told, {name.encode() for name in known.constructors})
        )
        self._telling = regular(rb"(?:" + told + rb")\b")
        self._made = regular(rb"\b(?:" + told + rb")\s*\(|\bclass\s+\w+\s*\([^)]*\b(?:" + told + rb")\b")
        self._declared = regular(
            rb":\s*['\"]?(?:[\w.]+\.)?(?:" + told + rb")['\"]?\s*="
            rb"|\b(?:" + told + rb")\s*\.\s*(?:" + constructors + rb")\s*\("
        )
        self._weights: dict[bytes, Hope] = {}  # of import statements, which are much the same in all files

    def look(self, data: bytes, imports: Iterable[bytes]) -> Hope:
        """How far a file of these bytes, with these import statements, may hold what is reported on."""
        if any(key in data for key in self._keys):
            return Hope.SURE
        heaviest = max(map(self._weight, imports), default=Hope.NONE)
        told = self._around(data) if heaviest is Hope.SOME else ()
        if any(self._declared.search(part) is not None for part in told):
            # something else makes it: `trainer: Trainer = instantiate(settings)`, `Trainer.from_argparse_args(args)`
            heaviest = Hope.SURE
        if heaviest is Hope.SURE:
            return Hope.SURE
        for needle, mentions in self._needles.items():
            if needle in data and any(word in data and self._is_event(data, one) for word, one in mentions):
                return Hope.SOME
        if _CLIP in data and any(self._is_clip(data, match) for match in self._clips.finditer(data)):
            return Hope.SOME
        if any(self._made.search(part) is not None for part in told):
            return Hope.SOME
        return Hope.COMMENT if COMMENT in data else Hope.NONE

    def _around(self, data: bytes) -> list[bytes]:
        """What stands around each name of something that has to be told how to clip: little of a large file."""
        return [
            data[max(0, match.start() - _MAKING) : match.end() + _BEFORE]
            for match in self._telling.finditer(data)
        ]

    def glimpse(self, data: bytes) -> bool:
        """Whether a notebook's bytes hold a word that its code would have to, however its JSON is written."""
        words = (*self._needles, *self._keys, *self._told, *self._packages, _CLIP, COMMENT)
        return any(word in data for word in words)

    def _is_event(self, data: bytes, mention: re.Pattern[bytes]) -> bool:
        """Whether a word stands where a call of a method or of a function has its name."""
        for match in mention.finditer(data):
            word, after = match.group(1), match.group(2)
            before = data[max(0, match.start() - _BEFORE) : match.start()]
            if before and before[-1] in _WORD_BYTES:
                continue
            before = before.rstrip(_BLANK)
            called = after == b"("
            if word in self._functions and called and not before.endswith((b"def", b"class")):
                return True
            if word not in self._methods:
                continue
            if before.endswith(b"."):
                owner = before[:-1].rstrip(_BLANK)
                if owner.endswith(b")"):
                    owner = _maker(data[max(0, match.start() - _MAKING) : match.start()]) or owner
                if self._acts(data, word, owner, called=called):
                    return True
            asked = _ASKED.search(before) if after in (b"'", b'"') else None
            if asked is not None and self._acts(data, word, asked.group(1), called=True):
                return True
        return False

    def _acts(self, data: bytes, word: bytes, before: bytes, *, called: bool) -> bool:
        """Whether a method of this name may be an event of what stands before it.

        What is called like an optimizer is taken for one, and what is called like a scheduler is not. Of all else
        (`env.step(action)`, `self.step()`) it may be one where something goes back through a graph.
        """
        last = _LAST.search(before)
        owner = last.group().decode("utf-8", "replace") if last is not None else ""
        hinted = self._known.hinted
        if owner and not hinted("not-optimizer", owner):
            if hinted("optimizer", owner) or hinted("scaler", owner):
                return True
        elif owner:
            return False
        if not called or (owner == "self" and b"def " + word in data):
            return False
        return self.goes_back(data)

    def trains(self, data: bytes) -> bool:
        """Whether something is handed its optimizer, by a name that is a framework's where its models are."""
        return any(name in data for name in self._fitting) and self._fits.search(data) is not None

    def goes_back(self, data: bytes) -> bool:
        """Whether something goes back through a graph: a file that steps without knows its gradients by its callers."""
        return any(name in data for name in self._backward)

    def _is_clip(self, data: bytes, match: re.Match[bytes]) -> bool:
        start = match.start()
        while start and data[start - 1] in _WORD_BYTES:
            start -= 1
        if data[max(0, start - 4) : start] == b"def ":
            return False
        name = match.group().rstrip(b" \t\r\n(")
        name = data[start : match.start()] + name
        return self._known.hinted("clip-call", name.decode("ascii", "replace"))

    def _renames(self, statement: bytes) -> bool:
        """Whether an import gives another name to what is looked for by its own: `import Trainer as T`."""
        renamed = {match.group(1) for match in _RENAMED.finditer(statement)}
        return not renamed.isdisjoint(self._functions | self._told)

    def _weight(self, statement: bytes) -> Hope:
        """What an import statement says of the file that it stands in.

        What imports something that has to be told how to clip may make it, or build a class upon it.
        """
        known = self._weights.get(statement)
        if known is None:
            words = words_of(statement)
            known = Hope.NONE
            if not self._packages.isdisjoint(words):
                known = Hope.SURE
            elif not (self._told_packages.isdisjoint(words) and self._told.isdisjoint(words)):
                known = Hope.SOME
            if known is not Hope.SURE and b" as " in statement and self._renames(statement):
                known = Hope.SURE
            self._weights[statement] = known
        return known


def statements(data: bytes) -> Iterator[bytes]:
    """The text of each import statement, as it stands in the file (a bracketed list of names with its rows)."""
    position = data.find(b"import")
    while position >= 0:
        start = data.rfind(b"\n", 0, position) + 1
        head = data[start:position].strip()
        end = position + 6
        if not head or (head.startswith(b"from") and data[end : end + 1] in (b" ", b"\t", b"(", b"*", b"\\")):
            end = data.find(b"\n", position)
            end = len(data) if end < 0 else end
            if b"(" in data[position:end]:
                closed = data.find(b")", position)
                end = len(data) if closed < 0 else closed
            while data[end - 1 : end] == b"\\" and end < len(data):
                further = data.find(b"\n", end + 1)
                end = len(data) if further < 0 else further
            yield data[start:end].strip()
        position = data.find(b"import", end)


def parsed(statement: bytes) -> tuple[Import, ...]:
    """What an import statement imports."""
    text = _COMMENTED.sub(b"", statement).decode("utf-8", "replace").replace("\\", " ")
    head, _, tail = text.partition("import")
    if head.strip().startswith("from"):
        module = head.strip()[4:].strip()
        name = module.lstrip(".")
        names = tuple(part.split()[0] for part in tail.strip(" ()\t\r\n;").split(",") if part.split())
        return (Import(name.strip(), len(module) - len(name), names),)
    return tuple(Import(part.split()[0]) for part in tail.split(";")[0].split(",") if part.split())


def _stems(words: Iterable[bytes]) -> list[bytes]:
    """A few texts of which each of the words holds one: fewer searches of every file."""
    stems: list[bytes] = []
    left = sorted(words)
    while left:
        parts = Counter(
            part
            for word in left
            for part in {word[i : i + _STEM] for i in range(max(1, len(word) - _STEM + 1))}
        )
        best = max(parts, key=lambda part: (parts[part], part))
        shared = [word for word in left if best in word]
        stems.append(best if len(shared) > 1 else shared[0])
        left = [word for word in left if best not in word]
    return stems


def _mentions(word: bytes) -> re.Pattern[bytes]:
    """A word, and what follows it where it is called or handed on; it begins with a text, so `re` is fast."""
    return regular(rb"(" + re.escape(word) + rb")\s*([(,;)\]}\n'\"]|\Z)")


def _maker(before: bytes) -> bytes:
    """What is called where some bytes end in a call and a dot: `train.AdamOptimizer` of `train.AdamOptimizer(1e-3).`."""
    depth = 0
    for at in range(before.rindex(b")"), -1, -1):
        depth += (before[at] == _CLOSES) - (before[at] == _OPENS)
        if not depth:
            return before[:at].rstrip(_BLANK)
    return b""
