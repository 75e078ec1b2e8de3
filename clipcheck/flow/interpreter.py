"""The abstract run of a project: from every script, and from every function that nothing in sight calls."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from clipcheck import facts
from clipcheck.findings import Site
from clipcheck.flow.core import ENTRY_FUEL, LOADING_FUEL, VALUE_FUEL, OutOfFuel
from clipcheck.flow.records import Sightings, Step
from clipcheck.flow.setups import Setups
from clipcheck.flow.values import (
    Arguments,
    ClassRef,
    External,
    Frame,
    FunctionRef,
    Literal,
    ModuleRef,
    Object,
    Pending,
    Unknown,
    Value,
    choices,
    members,
)
from clipcheck.flow.worlds import ANY, World
from clipcheck.modules import named_for_tests
from clipcheck.progress import Tell, counted, silent
from clipcheck.project import Project
from clipcheck.protocol import Gradients, Phase
from clipcheck.record import replace
from clipcheck.regular import regular

MAX_SUBCLASSES = 4
MAX_MODULES = 400  # of one program that are read
MAX_STARS = 60  # modules read for `from module import *`
MAX_CLIMB = 4  # callers of callers of a step
MAX_ROOTS = 3  # contexts that one step is first met in
_TESTS = regular(r"(^|/)(tests?/([^/]+/)*[^/]*|test_[^/]*\.py|[^/]*_test\.py|conftest\.py)$")
MAX_CALLERS = 12  # a name that more functions call says nothing about who calls this one


class Interpreter(Setups):
    """Runs modules and entry points, and gathers what was sighted."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.indexed: set[str] = set()  # files whose classes are among the subclasses
        self.cut_short: set[int] = (
            set()
        )  # functions on ways given up for their size, by the id of their facts
        self.subclasses: dict[int, list[ClassRef]] = {}  # by the id of the base's facts
        self.files: list[str] = []  # of the program
        self.stars = 0  # modules read because all of their names were imported
        self.gave_up = False  # whether there were too many modules

    def run(self, filenames: Iterable[str], tell: Tell = silent) -> Sightings:
        """Follow every script among the files, then every function that no script led to."""
        wanted = counted("reading files", list(filenames), tell)
        names = self.files = [name for name in wanted if self.project.facts(name) is not None]
        scripts = [name for name in names if self.project.runs_into_events(name)]
        for filename in counted("following scripts", scripts, tell):
            self.entry_file = filename
            self._enter(filename, lambda name=filename: self._run_script(name))
        useful = (name for name in names if self.project.has_functions_that_matter(name))
        functions = [entry for filename in useful for entry in self._functions(filename)]
        callers = Callers(functions)
        targets = [one for one in functions if self.project.decides(one.definition)]
        ways = [(target, callers.roots(target), callers.nearest(target)) for target in targets]
        for target, roots, nearest in counted("following functions", ways, tell):
            for entry in (*roots, *nearest) or (target,):
                met = id(target.definition) in self.visited and not self._is_loose(target)
                if met and entry not in roots:
                    break
                self._enter_at(entry)
        # alone, now that the callers of others have had their turn
        for target, roots, nearest in counted("following the rest", ways, tell):
            above = (target, *roots, *nearest)
            if not self._cut_off(above) or self._goes_back(target):
                self._enter_at(target)  # else who calls it was given up for its size, and may clip
        self._drop_delegated()
        self.settle()
        self._drop_tests()
        self.drop_asked()
        sighted = sorted(self.sightings.steps.values(), key=_where)
        for target in targets:  # a method that tests have led to, of one subclass of many perhaps
            if target.owner is not None and _met_by_tests_alone(target, sighted):
                self.visited.discard(id(target.definition))
                self._enter_at(target)
        return self.sightings

    def _is_loose(self, function: FunctionRef) -> bool:
        """Whether a function steps a training state that nobody in sight has made so far."""
        span = function.definition.span
        return any(
            site.filename == function.filename and span.row <= site.span.row <= span.end_row
            for site in self.loose
        )

    def _enter_at(self, entry: FunctionRef) -> None:
        """Run a function as an entry point, unless some way has led into it before."""
        if id(entry.definition) in self.visited:
            return
        self.visited.add(id(entry.definition))
        self.entry_file = entry.filename
        label = f"{entry.filename}:{entry.definition.name}"
        self._enter(label, lambda: self._run_entry(entry))
        if label in self.sightings.exhausted:
            self.cut_short.add(id(entry.definition))

    def _cut_off(self, ways: Iterable[FunctionRef]) -> bool:
        """Whether a way to a function was given up for its size."""
        return any(id(one.definition) in self.cut_short for one in ways)

    def _goes_back(self, function: FunctionRef) -> bool:
        """Whether a function calls a backward itself, so that what it does to gradients is seen in it alone."""
        return not self.knowledge.backward_methods.isdisjoint(function.definition.calls)

    def _drop_delegated(self) -> None:
        """Forget steps of unknown objects where the same call leads, elsewhere, into a `step` of the project."""
        for site in self.sightings.delegated & self.sightings.steps.keys():
            step = self.sightings.steps[site]
            step.contexts = [context for context in step.contexts if isinstance(context.optimizer, Object)]
            if not step.contexts:
                del self.sightings.steps[site]

    def _drop_tests(self) -> None:
        """Forget how tests reach a step that the program reaches as well: what they train is a model for tests."""
        for step in self.sightings.steps.values():
            own = [one for one in step.contexts if not _is_from_tests(one.entry, step.site.filename)]
            step.contexts = own or step.contexts

    def _enter(self, label: str, run: object) -> None:
        """Run one entry point within its bounds; one that is too large is named."""
        self.entry_label, self.notes = label, []
        self.fuel, self.value_fuel = ENTRY_FUEL, VALUE_FUEL
        self.stack, self.frames, self.chain = [], [], []
        self.returns, self.raised, self.loops = [], [], []
        self.following, self.loop_depth, self.multiplicity, self.constructing = True, 0, 1, 0
        self.engine, self.clipping_engine, self.blamed = None, "", frozenset()
        self.waiting, self.summed = False, None
        self.prepared.clear()
        self.alternatives, self.trainer, self.entered = 0, None, None
        self.possessions.clear()
        self.known_values.clear()
        self.known_effects.clear()
        self.known_births.clear()
        self.inside.clear()
        visited = set(self.visited)
        try:
            run()  # type: ignore[operator]
        except (OutOfFuel, RecursionError):
            self.sightings.exhausted.append(label)
            self.cut_short |= self.visited - visited
            self.visited = visited  # what this way did not get to, others may

    # -- modules -------------------------------------------------------------------------------------

    def module_frame(self, filename: str) -> Frame | None:
        """The names of a module, as importing it would bind them; its own events are left aside."""
        if filename in self.modules:
            return self.modules[filename]
        if len(self.modules) >= MAX_MODULES:
            self._give_up_modules()
            return None
        module = self.project.facts(filename)
        if module is None:
            return None
        frame = self.modules[filename] = Frame(filename, "<module>", None)
        frame.locals["__name__"] = Literal("imported")
        saved = (self.worlds, self.following, self.statement, self.returns, self.raised, self.loops)
        depth, times, stack, chain = self.loop_depth, self.multiplicity, self.stack, self.chain
        self.worlds, self.following, self.returns, self.raised, self.loops = (World(),), False, [], [], []
        frames, self.frames = self.frames, []
        self.loop_depth, self.multiplicity, self.stack, self.chain = 0, 1, [], []
        self.loading += 1
        fuel, self.loading_fuel = self.loading_fuel, LOADING_FUEL
        self.run_block(frame, module.body)
        self.loading_fuel = fuel
        self.loading -= 1
        self.worlds, self.following, self.statement, self.returns, self.raised, self.loops = saved
        self.loop_depth, self.multiplicity, self.stack, self.chain = depth, times, stack, chain
        self.frames = frames
        return frame

    def _give_up_modules(self) -> None:
        """Say once of a program that it reaches into more modules than are read."""
        if not self.gave_up:
            self.gave_up = True
            self.sightings.exhausted.append(self.entry_file)

    def _run_script(self, filename: str) -> None:
        """Run a module as a program, with its events."""
        module = self.project.facts(filename)
        assert module is not None
        frame = self.modules.setdefault(filename, Frame(filename, "<module>", None))
        frame.locals["__name__"] = Literal("__main__")
        self.worlds = (World(((ANY, Gradients(Phase.EMPTY)),)),)
        self.run_block(frame, module.body)
        self.configure(frame, module)
        frame.locals["__name__"] = Literal("imported")

    def bind_import(self, frame: Frame, statement: facts.Import) -> None:
        module, name, alias = statement.module, statement.name, statement.alias
        known = not statement.level and module.partition(".")[0] in self.knowledge.packages
        target = None if known else self.project.module(frame.filename, module, statement.level)
        if name is None:
            self._bind_module(frame, alias, module, target)
        elif target is None and not (statement.level and not module):
            submodule = None if known else self._submodule(frame, module, name, statement.level)
            absent = known or statement.level or submodule is not None or name == "*"
            elsewhere = None if absent else self.project.elsewhere(frame.filename, module, name)
            if submodule is not None:
                frame.locals[alias] = submodule
            elif elsewhere is not None:
                frame.locals[alias] = Pending(elsewhere, name, None)
            elif name == "*":
                frame.locals[f"* {module}"] = External(module)
                self.star_imports += 1
            else:
                prefix = "." * statement.level + module
                frame.locals[alias] = External(f"{prefix}.{name}")
        elif name == "*" and target is not None:
            source = self._starred_module(target)
            public = {k: v for k, v in source.locals.items() if not k.startswith("_")} if source else {}
            frame.locals.update(public)
            self.star_imports += 1
        elif target is not None:
            dotted = f"{module}.{name}" if module else name
            submodule_file = self.project.module(frame.filename, dotted, statement.level)
            frame.locals[alias] = Pending(target, name, submodule_file)
        else:
            found = self._submodule(frame, module, name, statement.level)
            frame.locals[alias] = found if found is not None else Unknown(f"{module}:{name}")

    def _starred_module(self, target: str) -> Frame | None:
        """A module all of whose names are taken over; a package that takes over hundreds is not read to its end."""
        if target not in self.modules:
            self.stars += 1
        return self.module_frame(target) if self.stars <= MAX_STARS else self.modules.get(target)

    def _bind_module(self, frame: Frame, alias: str, module: str, target: str | None) -> None:
        """`import a.b` binds `a` and makes `a.b` known; `import a.b as c` binds the module itself."""
        head = module.partition(".")[0]
        value: Value = ModuleRef(target) if target is not None else External(module)
        if alias != head or "." not in module:
            frame.locals[alias] = value
            return
        top = None if head in self.knowledge.packages else self.project.module(frame.filename, head)
        frame.locals.setdefault(alias, ModuleRef(top) if top is not None else External(head))
        parts = module.split(".")
        if target is not None and len(parts) == 2:
            frame.locals[f". {parts[0]}.{parts[1]}"] = value
            self.dotted = True

    def _submodule(self, frame: Frame, module: str, name: str, level: int) -> Value | None:
        dotted = f"{module}.{name}" if module else name
        found = self.project.module(frame.filename, dotted, level)
        return ModuleRef(found) if found is not None else None

    # -- entry points --------------------------------------------------------------------------------

    def _functions(self, filename: str) -> Iterator[FunctionRef]:
        """The functions and methods of a file through which an event may come."""
        frame = self.module_frame(filename)
        if frame is None:
            return
        for value in list(frame.locals.values()):
            if isinstance(value, FunctionRef) and value.filename == filename:
                if self.project.matters(value.definition):
                    yield value
            elif isinstance(value, ClassRef) and value.filename == filename:
                for method in list(value.frame.locals.values()):
                    if isinstance(method, FunctionRef) and self.project.matters(method.definition):
                        yield method

    def _run_entry(self, function: FunctionRef) -> None:
        """Run a function as a framework or a user of this library would: nothing is known before it."""
        if function.owner is None:
            self.worlds = (World(),)
            self.follow(function, Arguments(), None)
            return
        inheriting = [cls for cls in self._concrete(function.owner) if self._runs(cls, function)]
        for cls in inheriting or [function.owner]:
            self.worlds, self.following = (World(),), False
            key = f"{cls.filename}:{cls.definition.name}"
            receiver = self.make(cls, key, Site(cls.filename, cls.definition.span), Arguments())
            self.enter_instance(receiver)
            self.following = True
            spent = frozenset.intersection(*(world.spent for world in self.worlds))
            spent = self.spent_in_making.setdefault(key, spent)  # it is made once, whichever method runs
            self.worlds = (replace(self._entry_world(receiver), spent=spent),)
            self.follow(function.bound_to(receiver), Arguments(), None)

    def _runs(self, cls: ClassRef, method: FunctionRef) -> bool:
        """Whether the instances of a class have this method, and not one of their own in its place."""
        member = self.class_member(cls, method.definition.name)
        return isinstance(member, FunctionRef) and member.definition is method.definition

    def _entry_world(self, receiver: Object) -> World:
        """The world at a method's entry: every optimizer of its instance, in a state not known."""
        world = World()
        for value in receiver.attributes.values():
            for choice in (*choices(value), *members(value)):
                if isinstance(choice, Object) and choice.role == "optimizer":
                    world = world.having(choice.key, Gradients())
        return world

    def _concrete(self, cls: ClassRef) -> list[ClassRef]:
        """The classes in whose instances a method of `cls` runs: its subclasses here, else itself."""
        self._index_subclasses()
        found = self.subclasses.setdefault(id(cls.definition), [])
        for filename in self.files:
            if len(found) >= MAX_SUBCLASSES:
                break
            if filename not in self.modules and self.project.extends(filename, cls.definition.name):
                self.module_frame(filename)
                self._index_subclasses()
        return found[:MAX_SUBCLASSES] or [cls]

    def _index_subclasses(self) -> None:
        """Note the classes of the modules that were read since, under those that they are made upon."""
        for filename, frame in list(self.modules.items()):
            if filename in self.indexed:
                continue
            self.indexed.add(filename)
            for value in list(frame.locals.values()):
                if isinstance(value, ClassRef) and value.filename == filename and value.definition.bases:
                    for above in self.ancestors(value)[1:]:
                        if isinstance(above, ClassRef):
                            self.subclasses.setdefault(id(above.definition), []).append(value)


class Callers:
    """Who calls whom by name, to judge a step in its callers' context."""

    def __init__(self, functions: list[FunctionRef]) -> None:
        self._of: dict[str, list[FunctionRef]] = {}
        for function in functions:
            for name in function.definition.calls:
                self._of.setdefault(name, []).append(function)

    def roots(self, target: FunctionRef) -> list[FunctionRef]:
        """A few functions that lead to `target` and that nobody in sight calls, tests last."""
        found: list[FunctionRef] = []
        seen = {id(target.definition)}
        level = [target]
        for _ in range(MAX_CLIMB):
            above: list[FunctionRef] = []
            for function in level:
                callers = [one for one in self._callers(function) if id(one.definition) not in seen]
                if not callers and function is not target:
                    found.append(function)
                seen.update(id(one.definition) for one in callers)
                above += callers
            level = above
        found += level
        return sorted(found, key=_is_test)[:MAX_ROOTS]

    def nearest(self, target: FunctionRef) -> list[FunctionRef]:
        """The callers of `target` in its own file: by name alone, its roots may mean another function."""
        return [one for one in self._callers(target) if one.filename == target.filename][:MAX_ROOTS]

    def _callers(self, function: FunctionRef) -> list[FunctionRef]:
        special = function.definition.name in ("__init__", "__call__") and function.owner is not None
        name = function.owner.definition.name if special and function.owner else function.definition.name
        callers = self._of.get(name, []) or self._of.get(facts.HANDED + name, [])
        if len(callers) > MAX_CALLERS:  # `fit`, `run`: those of its own file mean this one
            callers = [caller for caller in callers if caller.filename == function.filename]
        return callers[:MAX_CALLERS]


def _where(step: Step) -> tuple[str, int]:
    return step.site.filename, step.site.span.row


def _met_by_tests_alone(function: FunctionRef, steps: Sequence[Step]) -> bool:
    """Whether a function holds some of the steps, sorted by `_where`, and nothing but tests has led to these."""
    span = function.definition.span
    first = bisect_left(steps, (function.filename, span.row), key=_where)
    last = bisect_right(steps, (function.filename, span.end_row), key=_where)
    entries = [context.entry for step in steps[first:last] for context in step.contexts]
    return bool(entries) and all(_is_from_tests(entry, function.filename) for entry in entries)


def _is_from_tests(entry: str, filename: str) -> bool:
    """Whether tests enter a file that is none of theirs, by the names that test runners look for."""
    if not entry or entry == filename:
        return False
    try:
        above = len(os.path.commonpath((entry, filename)))  # a project may lie in a folder called `test`
    except ValueError:  # on two drives
        return False
    mine, other = (name[above:].replace(os.sep, "/") for name in (entry, filename))
    return _TESTS.search(mine) is not None and _TESTS.search(other) is None


def _is_test(function: FunctionRef) -> bool:
    return named_for_tests(function.filename) or function.definition.name.startswith("test")
