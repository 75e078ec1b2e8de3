"""What a model consists of: its layers by family, how often each is there, and what its classes do by hand."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import facts, functionals
from clipcheck.findings import Evidence
from clipcheck.flow.records import Sightings
from clipcheck.flow.render import last_identifier
from clipcheck.flow.values import (
    Bound,
    ClassRef,
    Elements,
    External,
    Items,
    ModuleRef,
    Object,
    Parameters,
    Table,
    Tensor,
    Unknown,
    Value,
    choices,
    literal,
)
from clipcheck.handwritten import Reader
from clipcheck.lengths import Length, length_at
from clipcheck.naming import words
from clipcheck.project import Project
from clipcheck.record import dataclass, field
from clipcheck.traverse import inside, statements

MAX_DEPTH = 24
MAX_VISITS = 4000
_WEIGHTED = ("convolution", "linear", "recurrent")
# What a model is by the name of its class says nothing of a model that holds it: a VQGAN inside a Transformer.
_PROJECTIONS = ("query-projection", "key-projection", "value-projection")
_OF_THE_WHOLE = frozenset({"adversarial-class"})
_FOREIGN = frozenset({"optimizer", "scheduler", "scaler", "option-parser"})


@dataclass(slots=True)
class Anatomy:
    """The parts of one model."""

    found: bool = False  # whether anything of it is known
    partial: bool = False  # whether it is put together of parts of which some are not known
    counts: dict[str, int] = field(default_factory=dict)  # layers by family
    first: dict[str, tuple[str, Evidence]] = field(default_factory=dict)  # by family: what, and where
    residual: bool = False
    labels: set[str] = field(default_factory=set)  # hints that its classes' names fulfil
    lengths: list[Length] = field(default_factory=list)
    capacities: list[Length] = field(default_factory=list)  # by names that may say how much could be taken
    tables: set[int] = field(default_factory=set)  # how long its tables of positions and of words are
    files: list[str] = field(default_factory=list)  # where its classes stand and its parts are made
    adapted: bool = False  # whether something in it is trained in the middle of what is frozen

    def note(self, family: str, name: str, evidence: Evidence) -> None:
        self.first.setdefault(family, (name, evidence))

    @property
    def left(self) -> bool:
        """Whether it is in sight what is trained, where some of it is frozen."""
        return not self.adapted and bool(self.weighted or "head" in self.first)

    @property
    def fed(self) -> list[Length]:
        """The lengths that it is made for: not those that are nothing but the size of a table."""
        return [*self.lengths, *(one for one in self.capacities if one[0] not in self.tables)]

    @property
    def weighted(self) -> int:
        return sum(self.counts.get(family, 0) for family in _WEIGHTED)


@dataclass(frozen=True, slots=True)
class Trait:
    """What the facts of one class say, whoever makes it."""

    recurrence: Evidence | None
    attention: Evidence | None
    scan: Evidence | None  # of a state space
    residual: bool
    normalised: bool
    labels: frozenset[str]
    methods: tuple[tuple[str, facts.Function], ...]  # and the file that each stands in


class Classes:
    """The traits of the project's classes, looked up once per class."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._knowledge = project.knowledge
        self._reader = Reader(project.knowledge)
        self._known: dict[tuple[str, int, str], Trait] = {}

    def trait(self, cls: ClassRef) -> Trait:
        key = (cls.filename, cls.definition.span.row, cls.definition.name)
        if key not in self._known:
            self._known[key] = self._read(cls)
        return self._known[key]

    def _read(self, cls: ClassRef) -> Trait:
        lineage = self.lineage(cls)
        labels = {hint for _, one in lineage for hint in self._labels(one.name)}
        if self._uses_graphs(cls, lineage):
            labels.add("graph-class")
        methods: dict[str, tuple[str, facts.Function]] = {}
        for filename, definition in lineage:
            for statement in definition.body:
                if isinstance(statement, facts.Function):
                    methods.setdefault(statement.name, (filename, statement))
        recurrence = attention = scan = None
        for filename, method in self._computing(methods):
            row = self._reader.recurrence(method)
            if row is not None and recurrence is None:
                recurrence = Evidence(filename, row, "recurrence written by hand here")
        for filename, method in methods.values():
            row = self._reader.attention(method)
            row = self._made_attention(method) if row is None else row
            if row is not None and attention is None:
                attention = Evidence(filename, row, "attention computed here")
            row = self._reader.scan(method)
            if row is not None and scan is None:
                scan = Evidence(filename, row, "scan of a state space here")
        forward = [method for name, (_, method) in methods.items() if name != "__init__"]
        residual = any(self._reader.residual(method) for method in forward)
        calls = methods["forward"][1].calls if "forward" in methods else frozenset[str]()
        normalised = any(self._knowledge.hinted("normalisation-name", call) for call in calls) or any(
            self._reader.normalises(method) for method in forward
        )
        return Trait(
            recurrence, attention, scan, residual, normalised, frozenset(labels), tuple(methods.values())
        )

    def makes_norm(self, method: facts.Function, row: int) -> bool:
        """Whether a method makes what is called a normalisation in a row."""
        span = method.span
        return span.row <= row <= span.end_row and row in self._reader.made_norms(method)

    def _computing(
        self, methods: dict[str, tuple[str, facts.Function]]
    ) -> Iterator[tuple[str, facts.Function]]:
        """`forward` and the methods that it leads to."""
        queue, seen = ["forward"], {"forward"}
        while queue:
            found = methods.get(queue.pop(0))
            if found is None:
                continue
            yield found
            for name in sorted(found[1].calls & methods.keys() - seen):
                if not self._knowledge.hinted("generation-call", name):
                    queue.append(name)
                seen.add(name)

    def _made_attention(self, method: facts.Function) -> int | None:
        """The row at which a method makes an attention layer of a library nothing is known of."""
        if not any(name[:1].isupper() and self._is_attention(name) for name in method.calls):
            return None
        for statement in statements((method,)):
            if (
                isinstance(statement, (facts.Assign, facts.Evaluate, facts.Return))
                and statement.value is not None
            ):
                for node in inside(statement.value):
                    if isinstance(node, facts.Call):
                        name = last_identifier(node.function)
                        if name[:1].isupper() and self._is_attention(name):
                            return node.row
        return None

    def _is_attention(self, name: str) -> bool:
        return self._knowledge.hinted("attention-class", words(name))

    def _labels(self, name: str) -> Iterator[str]:
        for hint in self._knowledge.hints:
            if hint.endswith("-class") and self._knowledge.hinted(hint, words(name)):
                yield hint

    def imports(self, filename: str, hint: str) -> bool:
        """Whether a file imports, at its top level, a package that reads like what a hint names."""
        module = self._project.facts(filename)
        return any(
            isinstance(statement, facts.Import)
            and not statement.level
            and self._knowledge.hinted(hint, statement.module.partition(".")[0])
            for statement in (module.body if module else ())
        )

    def _uses_graphs(self, cls: ClassRef, lineage: list[tuple[str, facts.Class]]) -> bool:
        called = (
            call
            for _, definition in lineage
            for method in definition.body
            if isinstance(method, facts.Function)
            for call in method.calls
        )
        return self.imports(cls.filename, "graph-library") or any(
            call[:1].isupper() and self._knowledge.hinted("graph-class", words(call)) for call in called
        )

    def lineage(self, cls: ClassRef) -> list[tuple[str, facts.Class]]:
        """The class and its bases inside the project, with their files, nearest first."""
        out: list[tuple[str, facts.Class]] = []
        queue: list[ClassRef] = [cls]
        while queue and len(out) < 20:
            current = queue.pop(0)
            if any(current.definition is definition for _, definition in out):
                continue
            out.append((current.filename, current.definition))
            for base in current.definition.bases:
                for value in choices(_named(current, base)):
                    if isinstance(value, ClassRef):
                        queue.append(value)
                    elif isinstance(value, ModuleRef) and isinstance(base, facts.Attribute):
                        module = self._project.facts(value.filename)
                        body = module.body if module else ()
                        out += [
                            (value.filename, one)
                            for one in body
                            if isinstance(one, facts.Class) and one.name == base.attr
                        ]
        return out


def _named(cls: ClassRef, base: facts.Expression) -> Value:
    """What a base class's expression is bound to; of `module.Class`, the module."""
    name = base.value if isinstance(base, facts.Attribute) else base
    if isinstance(name, facts.Name):
        for start in (cls.frame.parent or cls.frame, cls.frame.globals):
            frame = start.find(name.id)
            if frame is not None:
                return frame.locals[name.id]
    return Unknown("")


class Walk:
    """One walk over a model's objects, which fills its anatomy."""

    def __init__(
        self,
        classes: Classes,
        project: Project,
        sightings: Sightings,
        recurrent: frozenset[str],
        frozen: frozenset[str] = frozenset(),
    ) -> None:
        self._classes = classes
        self._knowledge = project.knowledge
        self._sightings = sightings
        self._recurrent = recurrent
        self._frozen = frozen
        self._counted: dict[str, tuple[str, int]] = {}  # by key: family, and how often it is there
        self._seen: dict[str, int] = {}
        self._active: set[str] = set()
        self._visits = 0
        self._depth = 0  # of the object that is being looked at
        # Whether that may consist of what has computed its tensors: `Model(inputs, outputs)`.
        self._joins_tensors = True
        self._methods: list[tuple[str, facts.Function]] = []  # of the classes seen, with their files
        self.anatomy = Anatomy()

    def run(self, model: Value) -> Anatomy:
        """The anatomy of what `model` is worth."""
        self._visit(model, 1, 1, 0)
        for family, times in self._counted.values():
            self.anatomy.counts[family] = self.anatomy.counts.get(family, 0) + times
        return self.anatomy

    def _visit(self, value: Value, outer: int, loop: int, depth: int) -> None:
        """Look into a value that is there `outer` times; `loop` more, unless its own count says so already."""
        self._visits += 1
        if depth > MAX_DEPTH or self._visits > MAX_VISITS:
            return
        for choice in choices(value):
            if isinstance(choice, Object):
                self._object(choice, outer, loop, depth)
            elif isinstance(choice, Elements):
                number = literal(choice.count)
                inner = loop * number if isinstance(number, int) and 1 < number < 1000 else loop
                self._visit(choice.member, outer, inner, depth + 1)
            elif isinstance(choice, Items):
                for member in choice.members:
                    self._visit(member, outer, loop, depth + 1)
            elif isinstance(choice, Table):
                for name, entry in choice.entries:
                    self._length(name, entry, "", 0)
                    self._visit(entry, outer, loop, depth + 1)
            elif isinstance(choice, Bound):
                if not self._knowledge.hinted("size-name", choice.name):  # `Head(backbone.hidden_dim)`
                    self._visit(choice.owner, outer, loop, depth + 1)
            elif self._joins_tensors or not isinstance(choice, Tensor):  # no size or number, whatever made it
                if isinstance(choice, Unknown):
                    self._norm_by_name(choice)
                for key in sorted(_keys(choice)):
                    self._key(key, outer, loop, depth)

    def _functional(self, made: Object, parts: tuple[Value, ...]) -> None:
        """A model of layers that were called one after the other, by plain classes perhaps."""
        self.anatomy.partial = self.anatomy.partial or functionals.is_partial(parts)
        for caller, calls in functionals.callers(made, parts, self._sightings.objects):
            assert caller.cls is not None
            trait = self._classes.trait(caller.cls)
            if trait.attention is not None and calls:
                self.anatomy.note("attention-code", caller.name, trait.attention)
            elif "attention-class" in trait.labels or self._projects(caller):
                here = Evidence(*caller.place(), f"{caller.name} {caller.origin} here")
                self.anatomy.note("attention-name", caller.name, here)

    def _norm_by_name(self, value: Unknown) -> None:
        """A part that a name or a registry chose, which is called a normalisation, may be one."""
        filename, _, row = value.key.rpartition(":")[0].rpartition(":")
        if row.isdecimal() and any(
            name == filename and self._classes.makes_norm(method, int(row)) for name, method in self._methods
        ):
            self.anatomy.note("normalisation", "", Evidence(filename, int(row), "normalisation made here"))

    def _key(self, key: str, outer: int, loop: int, depth: int) -> None:
        """A model known by its key alone: the object of that key, and what the run saw of it."""
        for evidence in self._sightings.recurrences.get(key, ())[:1] if key not in self._frozen else ():
            self.anatomy.note("recurrence", "", evidence)
            self.anatomy.found = True
        made = self._sightings.objects.get(key)
        if made is not None:
            self._object(made, outer, loop, depth + 1)

    def _object(self, made: Object, outer: int, loop: int, depth: int) -> None:
        # A model that is trained is one, however many are: those of an ensemble or of k folds are trained by themselves.
        own = 1 if depth == 0 and made.cls is not None else _repeated(made.count, loop)
        times = outer * own
        if made.key in self._active or self._seen.get(made.key, 0) >= times or made.role in _FOREIGN:
            return
        again = made.key in self._seen
        self._seen[made.key] = times
        self._active.add(made.key)
        joins = self._joins_tensors
        self._joins_tensors = made.rule is not None and made.rule.family == "container"
        settings = made.role == "" and depth > 0  # a configuration, not a part
        frozen = made.key in self._frozen
        if frozen and made.key in self._sightings.headed:
            self.anatomy.note("head", made.name, self._sightings.frozen[made.key][1])
        if not again and not frozen:
            self._lengths_of(made)
        if not settings and not frozen:
            self._depth = depth
            self._classify(made, times, again)
        if made.cls is None and made.role == "module" and (parts := functionals.ends(made)):
            self._functional(made, parts)
        given = (*made.arguments, *(value for _, value in made.keywords))
        inherited = frozenset(one.key for value in given for one in _objects(value))
        for value in given:
            if not settings or depth < 4:
                self._visit(value, outer, own, depth + 1)
        positions = self._knowledge.hinted("position-class", words(made.name))
        for name, value in list(made.attributes.items()):
            if frozen and self._adapts(name, value, depth):
                self.anatomy.adapted = True
            if not positions:  # a table of positions is made as long as anyone may ever need
                self._length(name, value, *made.place())
            handed = name.startswith("#") or any(one.key in inherited for one in _objects(value))
            if handed:
                self._visit(value, outer, own, depth + 1)
            else:
                self._visit(value, times, 1, depth + 1)
        self._joins_tensors = joins
        self._active.discard(made.key)

    def _adapts(self, name: str, value: Value, depth: int) -> bool:
        """Whether what a frozen part holds is trained, and is no head of the whole."""
        added = [one for one in _objects(value) if one.role == "module" and one.key not in self._frozen]
        hinted = self._knowledge.hinted
        named = any(hinted("adapter-name", one) for one in (name, *(words(made.name) for made in added)))
        return bool(added) and (depth > 0 or named)

    def _classify(self, made: Object, times: int, again: bool) -> None:
        """Count one part, and note the first of each family with its place."""
        anatomy, name = self.anatomy, made.name
        family = made.rule.family if made.rule else ""
        if {name, made.external, *_base_names(made)} & self._recurrent:
            family = "recurrent"
        if family and family not in ("container", "other"):
            self._counted[made.key] = (family, times)
        if again:
            return
        here = Evidence(*made.place(), f"{name} {made.origin} here")
        anatomy.files += [made.site.filename]
        for evidence in self._sightings.recurrences.get(made.key, ())[:1]:
            anatomy.note("recurrence", name, evidence)
        if self._knowledge.hinted("graph-library", made.external.partition(".")[0]):
            family = "graph"
        if family:
            anatomy.found = True
            anatomy.note(family, name, here)
        if made.rule is not None and made.rule.normalised:
            anatomy.note("normalisation", name, here)
        if made.cls is None:
            return
        anatomy.files += [made.cls.filename]
        trait = self._classes.trait(made.cls)
        anatomy.labels |= trait.labels if self._depth == 0 else trait.labels - _OF_THE_WHOLE
        anatomy.residual = anatomy.residual or trait.residual
        self._methods += trait.methods
        if "graph-class" in trait.labels:
            anatomy.note("graph", name, here)
        self._by_hand(made, trait, here)

    def _made_at_rest(self, evidence: Evidence) -> bool:
        """Whether what a class is known by is a layer made there that is frozen."""
        made = (self._sightings.objects.get(key) for key in self._frozen)
        places = {one.place() for one in made if one is not None}
        return (evidence.filename, evidence.row) in places

    def _by_hand(self, made: Object, trait: Trait, here: Evidence) -> None:
        """What a class of the project is by its methods and by its name."""
        anatomy, name = self.anatomy, made.name
        graph = "graph-class" in trait.labels
        if trait.recurrence is not None and not graph and "attention-class" not in trait.labels:
            anatomy.note("recurrence", name, trait.recurrence)
        if "recurrent-class" in trait.labels and made.role == "module":
            anatomy.note("recurrent-name", name, here)
        if trait.attention is not None and not graph and not self._made_at_rest(trait.attention):
            anatomy.note("attention-code", name, trait.attention)
        if trait.scan is not None:
            anatomy.note("state-space", name, trait.scan)
        named = "attention-class" in trait.labels or self._projects(made)
        if named and made.role == "module" and not graph:
            anatomy.note("attention-name", name, here)
        if trait.normalised or self._knowledge.hinted("normalisation-name", words(name)):
            anatomy.note("normalisation", name, here)
        for attribute, value in made.attributes.items():
            if isinstance(value, Unknown) and self._knowledge.hinted("recurrent-attribute", attribute):
                row = _made_by_name(made, attribute)
                if row is not None and made.cls is not None:
                    place = Evidence(made.cls.filename, row, f"recurrent layer `{attribute}` made here")
                    anatomy.note("recurrent-attribute", attribute, place)

    def _projects(self, made: Object) -> bool:
        """Whether a module makes queries, keys and values by three linear layers: attention, however computed."""
        linear = [
            name
            for name, value in made.attributes.items()
            if any(one.rule is not None and one.rule.family == "linear" for one in _objects(value))
        ]
        hinted = self._knowledge.hinted
        return all(any(hinted(hint, name) for name in linear) for hint in _PROJECTIONS)

    # -- sequence lengths ----------------------------------------------------------------------------

    def _lengths_of(self, made: Object) -> None:
        positions = self._knowledge.hinted("position-class", words(made.name))
        if positions or (made.rule is not None and made.rule.family == "embedding"):
            given = (*made.arguments, *(value for _, value in made.keywords))
            numbers = (literal(one) for value in given for one in choices(value))
            self.anatomy.tables |= {number for number in numbers if isinstance(number, int)}
        if not positions:
            for name, value in made.keywords:
                self._length(name or "", value, *made.place())

    def _length(self, name: str, value: Value, filename: str, row: int) -> None:
        hinted = self._knowledge.hinted
        if not hinted("sequence-length", name) or hinted("position-count", name):
            return
        for choice in choices(value):
            place = getattr(choice, "place", ("", 0))
            where = place if isinstance(place, tuple) and place[0] else (filename, row)
            length = length_at(literal(choice), *where)
            if length is not None and where[0]:
                capacity = hinted("sequence-capacity", name)
                (self.anatomy.capacities if capacity else self.anatomy.lengths).append(length)


def _repeated(count: int, loop: int) -> int:
    """How often an object is there that a loop around it may have counted already."""
    if loop <= 1 or (count > 1 and count % loop == 0):
        return count
    return loop if count > 1 and loop % count == 0 else loop * count


def _keys(value: Value) -> frozenset[str]:
    if isinstance(value, Unknown):
        return value.holds | {value.key}
    return value.models if isinstance(value, (Parameters, Tensor)) else frozenset()


def _objects(value: Value, depth: int = 4) -> Iterator[Object]:
    """The objects that a value is or lists."""
    for choice in choices(value):
        if isinstance(choice, Object):
            yield choice
        elif isinstance(choice, Items) and depth:
            for member in choice.members:
                yield from _objects(member, depth - 1)
        elif isinstance(choice, Elements) and depth:
            yield from _objects(choice.member, depth - 1)


def _base_names(made: Object) -> Iterator[str]:
    """How the class and its bases are written."""
    if made.cls is not None:
        for base in made.cls.definition.bases:
            yield last_identifier(base)
            value = _named(made.cls, base)
            if isinstance(value, External):
                yield value.name


def _made_by_name(made: Object, attribute: str) -> int | None:
    """The row of `self.rnn = getattr(nn, kind)(…)`: a layer of a class that is chosen by its name."""
    for statement in statements(made.cls.definition.body if made.cls else ()):
        if (
            isinstance(statement, facts.Assign)
            and any(isinstance(one, facts.Attribute) and one.attr == attribute for one in statement.targets)
            and isinstance(statement.value, facts.Call)
            and isinstance(statement.value.function, (facts.Call, facts.Subscript))
        ):
            return statement.span.row
    return None
