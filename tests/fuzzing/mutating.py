"""Changes of a Python file that leave its meaning as it is, written with libcst.

Comments travel with their statements, so that the markers of a fixture say after a change what is due in which row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from random import Random

import libcst as cst
from libcst import matchers as m
from libcst.metadata import (
    Assignment,
    FunctionScope,
    GlobalScope,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    Scope,
    ScopeProvider,
)

from clipcheck import knowledge

KNOWLEDGE = knowledge.load()
# Words that the analysis looks for in names beside its hints.
_TELLING = re.compile(r"loss|scale|^_|^self$|^cls$")
_BY_NAME = re.compile(
    rb"\b(globals|locals|vars|eval|exec|fire|setattr|getattr|hydra|ArgumentParser|__all__)\b"
)
_PLAIN = ("thing_{}", "value_{}", "that_{}")
_ALIKE = ("{}_2", "my_{}", "{}2", "the_{}", "{}_x", "{0}_{0}")

Change = Callable[[cst.Module, Random, bool], cst.Module]


def hints_of(name: str) -> frozenset[str]:
    """What the analysis takes a name for where nothing else is known."""
    return frozenset(hint for hint in KNOWLEDGE.hints if KNOWLEDGE.hinted(hint, name))


def another_name(name: str, taken: Iterable[str], chance: Random) -> str | None:
    """A name that nothing else has, and that says as much as this one."""
    if _TELLING.search(name):
        return None
    hints, known = hints_of(name), set(taken)
    forms = _ALIKE if hints else _PLAIN
    made = [form.format(name if hints else len(known)) for form in forms]
    fitting = [one for one in made if one not in known and hints_of(one) == hints]
    return chance.choice(fitting) if fitting else None


class _Renamed(cst.CSTTransformer):
    """Replaces some nodes, by identity, with names."""

    def __init__(self, names: dict[cst.CSTNode, str]) -> None:
        self.names = names

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:  # noqa: N802
        name = self.names.get(original_node)
        return updated_node if name is None else updated_node.with_changes(value=name)


def _wrapped(module: cst.Module) -> MetadataWrapper:
    return MetadataWrapper(module, unsafe_skip_copy=False)


def _scopes(wrapper: MetadataWrapper) -> list[Scope]:
    found = wrapper.resolve(ScopeProvider).values()
    return [one for one in dict.fromkeys(found) if isinstance(one, (FunctionScope, GlobalScope))]


def _words(module: cst.Module) -> set[str]:
    return set(re.findall(r"\w+", module.code))


def _uses(scope: Scope, name: str) -> tuple[list[cst.CSTNode], list[cst.CSTNode]] | None:
    """Where a name of a scope is bound and where it is read; None where it is more than a variable."""
    bound, read = [], []
    for one in scope[name]:
        if not isinstance(one, Assignment) or one.scope is not scope or not isinstance(one.node, cst.Name):
            return None
        bound.append(one.node)
        read += [reference.node for reference in one.references]
    plain = all(isinstance(node, cst.Name) and node.value == name for node in (*bound, *read))
    return (bound, read) if plain else None


def rename(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Rename variables: those of functions, and those of a module that nobody imports."""
    if _BY_NAME.search(module.code.encode()):
        return module
    wrapper = _wrapped(module)
    parents = wrapper.resolve(ParentNodeProvider)
    taken = _words(module)
    names: dict[cst.CSTNode, str] = {}
    for scope in _scopes(wrapper):
        if isinstance(scope, GlobalScope) and not alone:
            continue
        for name in sorted({one.name for one in scope.assignments}):
            uses = _uses(scope, name)
            if uses is None or chance.random() < 0.3:
                continue
            everywhere = [*uses[0], *uses[1]]
            if any(isinstance(parents.get(node), (cst.Param, cst.NameItem)) for node in everywhere):
                continue  # callers may give it by its name; `global` and `nonlocal` name it
            new = another_name(name, taken, chance)
            if new is not None:
                taken.add(new)
                names |= dict.fromkeys(everywhere, new)
    return wrapper.module.visit(_Renamed(names))


def alias_imports(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Give what is imported from libraries that are known other names (`import torch as t`)."""
    if _BY_NAME.search(module.code.encode()) or not alone:
        return module
    wrapper = _wrapped(module)
    names: dict[cst.CSTNode, str] = {}
    aliases: dict[cst.CSTNode, str] = {}
    taken = _words(module)
    for scope in _scopes(wrapper):
        for name in sorted({one.name for one in scope.assignments}):
            found = list(scope[name])
            if len(found) != 1 or not isinstance(found[0], Assignment) or found[0].scope is not scope:
                continue
            imported = _imported(found[0].node, name)
            references = [reference.node for reference in found[0].references]
            roots = [_root(node) for node in references]
            if imported is None or any(root is None or root.value != name for root in roots):
                continue
            new = f"{name[0].lower()}_{len(taken)}"
            if new in taken:
                continue
            taken.add(new)
            aliases[imported] = new
            names |= {root: new for root in roots if root is not None}
    return wrapper.module.visit(_Aliased(names, aliases))


def _imported(node: cst.CSTNode, name: str) -> cst.ImportAlias | None:
    """The one alias of an import of a known library that binds a name as it is."""
    if isinstance(node, cst.Import):
        package = name
    elif isinstance(node, cst.ImportFrom) and node.module is not None and not node.relative:
        root = _root(node.module)
        package = root.value if root is not None else ""
    else:
        return None
    if package not in KNOWLEDGE.packages or isinstance(node.names, cst.ImportStar):
        return None
    fitting = [one for one in node.names if m.matches(one.name, m.Name(name)) and one.asname is None]
    return fitting[0] if len(fitting) == 1 else None


def _root(node: cst.CSTNode) -> cst.Name | None:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node if isinstance(node, cst.Name) else None


class _Aliased(_Renamed):
    def __init__(self, names: dict[cst.CSTNode, str], aliases: dict[cst.CSTNode, str]) -> None:
        super().__init__(names)
        self.aliases = aliases

    def leave_ImportAlias(  # noqa: N802
        self, original_node: cst.ImportAlias, updated_node: cst.ImportAlias
    ) -> cst.ImportAlias:
        name = self.aliases.get(original_node)
        return updated_node if name is None else updated_node.with_changes(asname=cst.AsName(cst.Name(name)))


def alias_variables(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Bind a second name to a variable (`opt2 = optimizer`), and read that one from then on."""
    if _BY_NAME.search(module.code.encode()):
        return module
    wrapper = _wrapped(module)
    parents, places = wrapper.resolve(ParentNodeProvider), wrapper.resolve(PositionProvider)
    taken = _words(module)
    names: dict[cst.CSTNode, str] = {}
    after: dict[cst.CSTNode, str] = {}
    for scope in _scopes(wrapper):
        if isinstance(scope, GlobalScope) and not alone:
            continue
        for name in sorted({one.name for one in scope.assignments}):
            uses = _uses(scope, name)
            if uses is None or len(uses[0]) != 1 or chance.random() < 0.5:
                continue
            line = _line_of(uses[0][0], parents)
            new = another_name(name, taken, chance)
            if line is None or new is None or not _at_top(line, scope, parents) or "nonlocal" in taken:
                continue
            taken.add(new)
            end = places[line].end
            later = [
                node for node in uses[1]
                if (places[node].start.line, places[node].start.column) > (end.line, end.column)
            ]  # fmt: skip
            if isinstance(scope, GlobalScope) and len(later) < len(set(uses[1])):
                continue
            names |= dict.fromkeys(later, new)
            after[line] = f"{new} = {name}\n"
    return wrapper.module.visit(_Added(names, after))


def _line_of(node: cst.CSTNode, parents: dict) -> cst.SimpleStatementLine | None:
    """The line of a plain assignment to one name."""
    target = parents[node]
    assign = parents[target] if isinstance(target, cst.AssignTarget) else None
    line = parents[assign] if isinstance(assign, cst.Assign) else None
    single = isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 and len(assign.targets) == 1
    return line if single else None


def _at_top(line: cst.CSTNode, scope: Scope, parents: dict) -> bool:
    """Whether a line stands in the first block of its function or module, so that what follows passes it."""
    block = parents[line]
    if isinstance(scope, GlobalScope):
        return isinstance(block, cst.Module)
    return isinstance(block, cst.IndentedBlock) and isinstance(parents[block], cst.FunctionDef)


class _Added(_Renamed):
    def __init__(self, names: dict[cst.CSTNode, str], after: dict[cst.CSTNode, str]) -> None:
        super().__init__(names)
        self.after = after

    def leave_SimpleStatementLine(  # noqa: N802
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.BaseStatement]:
        text = self.after.get(original_node)
        if text is None:
            return updated_node
        return cst.FlattenSentinel([updated_node, cst.parse_statement(text)])


# -- structure -------------------------------------------------------------------------------------------

_FIXED = (cst.FunctionDef, cst.ClassDef)


def _must_stay(node: cst.BaseStatement) -> bool:
    """Imports, definitions, docstrings and declarations."""
    if not isinstance(node, cst.SimpleStatementLine):
        return isinstance(node, _FIXED)
    kinds = (cst.Import, cst.ImportFrom, cst.Global, cst.Nonlocal)
    text = len(node.body) == 1 and m.matches(node.body[0], m.Expr(m.SimpleString()))
    return text or any(isinstance(one, kinds) for one in node.body)


def _in_if(body: Sequence[cst.BaseStatement]) -> list[cst.BaseStatement]:
    """The statements, with each run of those that may move inside of `if True:`."""
    out: list[cst.BaseStatement] = []
    run: list[cst.BaseStatement] = []
    for node in (*body, None):
        if node is not None and not _must_stay(node):
            run.append(node)
            continue
        if run:
            out.append(cst.If(cst.Name("True"), cst.IndentedBlock(run)))
            run = []
        out += [node] if node is not None else []
    return out


class _Nested(cst.CSTTransformer):
    def __init__(self, kinds: tuple[type, ...], chance: Random) -> None:
        self.kinds, self.chance = kinds, chance

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> cst.CSTNode:
        if not isinstance(original_node, self.kinds) or self.chance.random() < 0.2:
            return updated_node
        if isinstance(updated_node, cst.Module):
            return updated_node.with_changes(body=_in_if(updated_node.body))
        if isinstance(updated_node.body, cst.IndentedBlock):
            body = _in_if(updated_node.body.body)
            return updated_node.with_changes(body=updated_node.body.with_changes(body=body))
        return updated_node


def in_if_true(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Put statements inside of `if True:`: those of the module, of functions, or of loops."""
    kinds = chance.choice([(cst.Module,), (cst.FunctionDef,), (cst.For, cst.While, cst.With)])
    return module.visit(_Nested(kinds, chance))


def in_a_function(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Move what a module runs into a function that is called at its end."""
    if not alone or _BY_NAME.search(module.code.encode()):
        return module
    moved = [node for node in module.body if not _must_stay(node)]
    rest = [node for node in module.body if _must_stay(node)]
    bound = {name.value for node in moved for name in m.findall(node, m.Name())}
    for node in rest:
        if isinstance(node, _FIXED) and bound & _read_outside(node, rest):
            return module
    if not moved or any(m.findall(node, m.Yield() | m.Await()) for node in moved):
        return module
    function = cst.FunctionDef(cst.Name("whole_run"), cst.Parameters(), cst.IndentedBlock(moved))
    return module.with_changes(body=[*rest, function, cst.parse_statement("whole_run()\n")])


def _read_outside(node: cst.CSTNode, rest: Iterable[cst.BaseStatement]) -> set[str]:
    """The names in a definition that may be variables of the module: all but those of definitions and imports."""
    known = {one.name.value for one in rest if isinstance(one, _FIXED)}
    for one in rest:
        for alias in m.findall(one, m.ImportAlias()):
            name = alias.asname.name if alias.asname is not None else _root(alias.name)
            known.add(name.value)
    parameters = {one.name.value for one in m.findall(node, m.Param())}
    local = {one.value for target in m.findall(node, m.AssignTarget()) for one in m.findall(target, m.Name())}
    return {one.value for one in m.findall(node, m.Name())} - known - (parameters | local)


class _Commented(cst.CSTTransformer):
    WORDS = (
        "# note",
        "#",
        "# see above; x = 1",
        "# 梯度 über",
        "# TODO(ann): tidy",
        "# fmt: on",
        "# type: ignore",
    )

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def _lines(self, node):
        made = []
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            comment = cst.Comment(self.chance.choice(self.WORDS)) if self.chance.random() < 0.6 else None
            made.append(cst.EmptyLine(indent=comment is not None, comment=comment))
        return node.with_changes(leading_lines=[*node.leading_lines, *made]) if made else node

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> cst.CSTNode:
        if isinstance(updated_node, cst.FunctionDef) and isinstance(updated_node.body, cst.IndentedBlock):
            body = updated_node.body
            if updated_node.get_docstring() is None and self.chance.random() < 0.5:
                text = cst.parse_statement('"""Say what it does: `optimizer.step()`."""\n')
                updated_node = updated_node.with_changes(body=body.with_changes(body=[text, *body.body]))
        if isinstance(updated_node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            return self._lines(updated_node)
        return updated_node


def comment(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Add comments, blank lines and docstrings."""
    return module.visit(_Commented(chance))


def reorder(module: cst.Module, chance: Random, alone: bool) -> cst.Module:
    """Change the order of functions that stand together and do not need each other to be defined."""
    body = list(module.body)
    start = 0
    while start < len(body):
        end = start
        while end < len(body) and isinstance(body[end], cst.FunctionDef):
            end += 1
        run = body[start:end]
        if len({node.name.value for node in run}) == len(run) and not any(map(_needs_others, run)):
            chance.shuffle(run)
            body[start:end] = run
        start = end + 1
    return module.with_changes(body=body)


def _needs_others(node: cst.FunctionDef) -> bool:
    parameters = m.findall(node.params, m.Param(default=~m.SimpleString() & ~m.Integer() & ~m.Float()))
    return bool(node.decorators) or any(one.default is not None for one in parameters)


CHANGES: dict[str, Change] = {
    "rename": rename,
    "alias imports": alias_imports,
    "alias variables": alias_variables,
    "in `if True`": in_if_true,
    "in a function": in_a_function,
    "comment": comment,
    "reorder": reorder,
}


def changed(text: str, names: Iterable[str], chance: Random, *, alone: bool) -> str:
    """A file after some changes; as it is where libcst cannot read it. `alone`: nobody imports it."""
    try:
        module = cst.parse_module(text)
    except cst.ParserSyntaxError:
        return text
    for name in names:
        module = CHANGES[name](module, chance, alone)
        module = cst.parse_module(module.code)
    return module.code
