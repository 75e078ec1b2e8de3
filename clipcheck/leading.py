"""Which functions lead to events, by the names of what they call; most functions are not read for that."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import NamedTuple

from clipcheck import facts
from clipcheck.blocks import walk
from clipcheck.extract import Text
from clipcheck.facts import HANDED, Block, Function, ModuleFacts, blocks_of, is_read
from clipcheck.knowledge import Knowledge
from clipcheck.regular import regular
from clipcheck.survey import identifiers_in

_SPECIAL = ("__init__", "__call__", "__post_init__", "__enter__", "__exit__")
_GRADIENT = ".grad"  # hand-written clipping calls nothing by name
_CLASS = regular(r"(?m)^\s+class\s+\w+\s*\(")
_CALLED = regular(r"[^\w(),#]*[(),#]")  # behind a word that may be called, or be an argument
_DECORATED = regular(r"@[ \t]*[\w.]*\Z")  # before a word that may be a decorator
_CHOSEN = regular(r"(?:=|\breturn|\belse)[ \t]*\Z")  # before a class that is chosen
_WORD = regular(r"\w+")
_MANY = 50  # words that are searched for one by one
_BEFORE = 80  # characters that are looked at for that: a row may hold a million
_EVERYWHERE = frozenset({"forward", "main", "__main__"})  # names by which no other file means this one

Calls = frozenset[str]


class Defined(NamedTuple):
    """A function, the name that others bring it in by (of a constructor, the class), and the class it stands in."""

    label: str
    function: Function
    owner: str


def _start(bounds: tuple[int, int]) -> int:
    return bounds[0]


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_alone(text: str, at: int, end: int) -> bool:
    """Whether a word begins and ends where a part of a text does."""
    return not _is_word(text[at - 1 : at]) and not _is_word(text[end : end + 1])


class Outline:
    """The functions of one file, and which of them mention a name."""

    def __init__(self, module: ModuleFacts) -> None:
        self.module = module
        self.functions = list(_functions(module.body))
        self.defined = Counter(one.label for one in self.functions)
        self._entries: dict[int, list[tuple[str, Calls]]] = {}
        self._mentioned: dict[str, list[int]] = {}

    @cached_property
    def _text(self) -> str:
        source = self.module.source
        return source.text if isinstance(source, Text) else ""

    @cached_property
    def words(self) -> frozenset[str]:
        return identifiers_in(self._text)

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        """The offsets at which the functions start and end."""
        source = self.module.source
        spans = [one.function.span for one in self.functions]
        lines = source.lines if isinstance(source, Text) else None
        return [(lines.start(span.row), lines.end(span.end_row)) for span in spans] if lines else []

    def _look_for(self, words: AbstractSet[str]) -> None:
        """Find in which functions some words may be called or handed on, those that nobody has asked about yet."""
        fresh = {word for word in words if word not in self._mentioned}
        together = fresh - {_GRADIENT} if len(fresh) > _MANY else frozenset[str]()
        for word in fresh - together:
            self._mentioned[word] = list(self._search(word))
        if together:
            self._mentioned.update((word, []) for word in together)
            self._search_once(together)

    def _search(self, word: str) -> Iterator[int]:
        text, bounds = self._text, self._bounds
        at = text.find(word)
        while at >= 0:
            end = at + len(word)
            if word == _GRADIENT or (_is_alone(text, at, end) and self._is_called(at, end)):
                number = self._function_at(at)
                if number is not None:
                    yield number
                    end = bounds[number][1]
            at = text.find(word, end)

    def _search_once(self, words: AbstractSet[str]) -> None:
        """The same for many words in one go: a table may hold thousands that read like a clip."""
        for match in _WORD.finditer(self._text):
            if match[0] in words and self._is_called(*match.span()):
                found, number = self._mentioned[match[0]], self._function_at(match.start())
                if number is not None and found[-1:] != [number]:
                    found.append(number)

    def _is_called(self, at: int, end: int) -> bool:
        """Whether the word at a place may be called, be an argument of a call, or a decorator."""
        text = self._text
        return bool(_CALLED.match(text, end) or _DECORATED.search(text, max(0, at - _BEFORE), at))

    def _function_at(self, at: int) -> int | None:
        number = bisect_right(self._bounds, at, key=_start) - 1
        return number if number >= 0 and at < self._bounds[number][1] else None

    @cached_property
    def bases(self) -> list[tuple[str, frozenset[str]]]:
        """Every class with the last names of its bases, those inside of functions included."""
        holding = (one.function for one in self.functions if _CLASS.search(self._rows(one.function)))
        inner = (base for one in holding for base in _bases(one.body, nested=True))
        return [*_bases(self.module.body), *inner]

    def hinted(self, known: Knowledge, hint: str) -> set[str]:
        """What may be called or handed on in its functions, or is called outside of them, and reads like a hint."""
        alike = known.among(hint, self.words)
        self._look_for(alike)
        inside = {word for word in alike if self.mentioning({word})}
        return inside | known.among(hint, self.module.calls)

    def calls(self, names: frozenset[str]) -> bool:
        """Whether one of these names is called, in a function or outside of one."""
        if not names.isdisjoint(self.module.calls):
            return True
        found = (self.functions[number].function for number in self.mentioning(names))
        return any(not names.isdisjoint(function.calls) for function in found)

    def _rows(self, function: Function) -> str:
        source = self.module.source
        return source.segment(function) if isinstance(source, Text) else ""

    def mentioning(self, names: AbstractSet[str]) -> list[int]:
        """The numbers of the functions that mention one of these names, in order."""
        source = self.module.source
        words = set(self.words & names)
        if _GRADIENT in names:
            words |= {_GRADIENT}
        if isinstance(source, Text):  # who mentions another name of it mentions it
            words |= {name for name, original in source.renamed.items() if original in names}
        self._look_for(words)
        return sorted({number for word in words for number in self._mentioned[word]})

    def choosing(self, names: AbstractSet[str]) -> list[Defined]:
        """The functions that choose what one of these names stands for, to call it by another: by `cls = Trainer`, or in a table."""
        present = self.words & names
        tables = {
            target.id
            for one in self.module.body
            if isinstance(one, facts.Assign) and present
            for target in one.targets
            if isinstance(target, facts.Name) and not present.isdisjoint(_named_in(one.value))
        }
        classes = {word for word in present if word[:1].isupper()}
        found = {
            number
            for word in sorted(classes | tables)
            for at in self._places(word)
            if (number := self._function_at(at)) is not None
            and (word in tables or self._is_chosen(at, at + len(word)))
        }
        return [self.functions[number] for number in sorted(found)]

    def _places(self, word: str) -> Iterator[int]:
        """Where a word stands alone."""
        at = self._text.find(word)
        while at >= 0:
            end = at + len(word)
            if _is_alone(self._text, at, end):
                yield at
            at = self._text.find(word, end)

    def _is_chosen(self, at: int, end: int) -> bool:
        """Whether the name at a place is given another one, or handed back: `cls = Trainer`, `return Trainer`."""
        before = _CHOSEN.search(self._text, max(0, at - _BEFORE), at)
        return before is not None and self._text[end : end + 1] not in ("(", ".", "[")

    def entries(self, number: int) -> list[tuple[str, Calls]]:
        """A function and those inside of it, with what they call; a class stands for its constructor."""
        if number not in self._entries:
            one = self.functions[number]
            inner = [(each.label, each.function.calls) for each in _functions(one.function.body, nested=True)]
            self._entries[number] = [(one.label, one.function.calls), *inner]
        return self._entries[number]


def _named_in(value: facts.Expression) -> set[str]:
    """The names in a table."""
    if not isinstance(value, (facts.Collection, facts.Mapping)):
        return set()
    return {node.id for node in walk(value) if isinstance(node, facts.Name)}


def outline_of(module: ModuleFacts) -> Outline:
    """The outline of a module, made once however many programs ask for it."""
    source = module.source
    if not isinstance(source, Text):
        return Outline(module)
    if source.outline is None:
        source.outline = Outline(module)
    found: Outline = source.outline
    return found


class Closure:
    """The names that lead to events; one that is defined in many places must mostly lead there.

    It grows with the files that are read: a name that leads to events goes on to do so.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._outlines: list[Outline] = []
        self._read: list[set[int]] = []  # of each outline, the functions among the entries
        self._calling: dict[str, list[int]] = {}  # by what they call, the numbers of entries
        self._entries: list[tuple[str, Calls]] = []
        self._leading: Counter[str] = Counter()
        self._counted: set[int] = set()
        self._inner: Counter[str] = Counter()  # functions defined in those that were read

    def grow(self, outlines: Iterable[Outline], names: Iterable[str]) -> frozenset[str]:
        """Take in further files and further names to start from."""
        fresh = set(names) - self.names
        for outline in outlines:
            self._outlines.append(outline)
            self._read.append(set())
            self._take_in(len(self._outlines) - 1, self.names)
        known = set(self.names)
        suspects = {name for name in self._leading if name not in known}
        while fresh or suspects:
            known |= fresh
            for place in range(len(self._outlines)):
                self._take_in(place, fresh)
            suspects |= self._count(fresh)
            grown = {name for name in suspects - known if self._leads(name)}
            fresh, suspects = grown | {HANDED + name for name in grown}, set()
        self.names = frozenset(known)
        return self.names

    def _take_in(self, place: int, names: AbstractSet[str]) -> None:
        """Read the functions of a file that mention one of these names."""
        outline, read = self._outlines[place], self._read[place]
        for number in outline.mentioning(names):
            if number not in read:
                read.add(number)
                own, *inner = outline.entries(number)
                self._inner.update(name for name, _ in inner)
                for entry in (own, *inner):
                    for call in entry[1]:
                        self._calling.setdefault(call, []).append(len(self._entries))
                    self._entries.append(entry)
                    if not self.names.isdisjoint(entry[1]):
                        self._lead(len(self._entries) - 1)

    def _count(self, names: Iterable[str]) -> set[str]:
        """Note which functions call one of these names, and return what they are called themselves."""
        calling = {number for name in names for number in self._calling.get(name, ())}
        return {self._lead(number) for number in calling - self._counted}

    def _lead(self, number: int) -> str:
        name = self._entries[number][0]
        if number not in self._counted:
            self._counted.add(number)
            self._leading[name] += 1
        return name

    def _leads(self, name: str) -> bool:
        defined = self._inner[name] + sum(outline.defined[name] for outline in self._outlines)
        return name != "forward" and (defined <= 2 or 3 * self._leading[name] >= defined)


def reads(function: Function, names: frozenset[str]) -> bool:
    """Whether a function calls one of the names of a closure: one that mentions none is not read for that."""
    return is_read(function) and not names.isdisjoint(function.calls)


def defining(outline: Outline, names: frozenset[str]) -> frozenset[str]:
    """What a file defines that leads to one of these names, and the classes of the methods among that."""
    closure = Closure()
    found: set[str] = set()
    leading = closure.grow([outline], names)
    while True:
        methods = [outline.functions[number] for number in outline.mentioning(leading)]
        methods = [one for one in methods if not leading.isdisjoint(one.function.calls)]
        methods += outline.choosing(leading)
        owners = {one.owner for one in methods if one.owner}
        found |= owners | {one.label for one in methods}
        if owners <= leading:
            break
        leading = closure.grow((), owners)  # who makes such an object hands it on
    made = {name for name, above in outline.bases if not leading.isdisjoint(above)}
    return frozenset((found | made) - _EVERYWHERE)


class Reported:
    """What is reported on in a file, as far as names can tell: what makes it part of a program."""

    def __init__(self, known: Knowledge) -> None:
        self._known = known
        self._steps = known.decisive - known.fits
        made = (*known.named.values(), *(name for name, rule in known.classes.items() if rule.transforms))
        self._makers = frozenset(name.rpartition(".")[2] for name in made)

    def holds(self, outline: Outline) -> bool:
        """Whether a file calls something that is reported on, or makes a class upon one that is told how to clip."""
        # A class that has to be told how to clip may be made in another file.
        extends = any(not self._known.told.isdisjoint(above) for _, above in outline.bases)
        return extends or outline.calls(self._names(outline))

    def makes(self, outline: Outline) -> bool:
        """Whether a file speaks of an optimizer that another one may train with: `Adam`, `adamw`."""
        packages = self._known.common.keys() & imported(outline.module.body)
        return bool(packages) and not outline.words.isdisjoint(self._makers)

    def leading(self, outline: Outline) -> frozenset[str]:
        """What a file defines that leads to an event: the names by which other files bring that in."""
        return defining(outline, self._names(outline))

    def _names(self, outline: Outline) -> frozenset[str]:
        known = self._known
        clips = outline.hinted(known, "clip-call")
        made = with_subclasses(known.told, outline.bases)
        packages = known.common.keys() & imported(outline.module.body)
        everyday = set[str]().union(*(known.common[package] for package in packages))
        return frozenset(self._steps | made | clips | everyday)


def imported(body: Block) -> set[str]:
    """The packages that a module imports, or something of them, outside of its functions and classes."""
    found: set[str] = set()
    for one in body:
        if isinstance(one, facts.Import) and not one.level:
            found.add(one.module.partition(".")[0])
        elif not isinstance(one, (facts.Class, Function)):
            for block in blocks_of(one):
                found |= imported(block)
    return found


def _functions(
    body: tuple[facts.Statement, ...], owner: str = "", *, nested: bool = False
) -> Iterator[Defined]:
    """The functions and methods of a block, those in functions only if `nested`."""
    for statement in body:
        if isinstance(statement, Function):
            label = owner if owner and statement.name in _SPECIAL else statement.name
            yield Defined(label, statement, owner)
            if nested:
                yield from _functions(statement.body, nested=True)
        elif isinstance(statement, facts.Class):
            yield from _functions(statement.body, statement.name, nested=nested)
        else:
            for block in blocks_of(statement):
                yield from _functions(block, owner, nested=nested)


def with_subclasses(names: frozenset[str], bases: list[tuple[str, frozenset[str]]]) -> frozenset[str]:
    """Names of classes, and of those that have one of them among their bases, at any depth."""
    found = set(names)
    while grown := {name for name, above in bases if name not in found and not found.isdisjoint(above)}:
        found |= grown
    return frozenset(found)


def _bases(
    body: tuple[facts.Statement, ...], *, nested: bool = False
) -> Iterator[tuple[str, frozenset[str]]]:
    """Every class of a block with the last names of its bases, those in functions only if `nested`."""
    for statement in body:
        if isinstance(statement, facts.Class):
            yield statement.name, frozenset(map(_last_name, statement.bases))
        if nested or not isinstance(statement, (facts.Class, Function)):
            for block in blocks_of(statement):
                yield from _bases(block, nested=nested)


def _last_name(base: facts.Expression) -> str:
    """`Trainer` of `transformers.Trainer` and of `Trainer[Batch]`."""
    if isinstance(base, facts.Subscript):
        base = base.value
    if isinstance(base, facts.Attribute):
        return base.attr
    return base.id if isinstance(base, facts.Name) else ""
