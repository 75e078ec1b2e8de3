"""What a class makes in a method of its own, which somebody out of sight calls first: `solver.set_model()`."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import blocks, facts
from clipcheck.flow.configs import Configs
from clipcheck.flow.values import Arguments, ClassRef, FunctionRef, Literal, Object, Value
from clipcheck.project import Project


class Setups(Configs):
    """Finds the optimizer of an instance whose method is entered without anything before it."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.entered: Object | None = None  # whose method the run began with
        self.asked: set[tuple[str, str]] = set()  # attributes that were looked for, by instance

    def enter_instance(self, receiver: Object) -> None:
        """Begin with a method of an instance: an optimizer that it has none of yet is set before."""
        self.entered = receiver
        empty = [
            name
            for name, value in receiver.attributes.items()
            if isinstance(value, Literal) and value.value is None
        ]
        for name in empty:
            self.set_up(receiver, name)

    def set_up(self, owner: Object, name: str) -> Value | None:
        """An optimizer that the constructor does not make, as the method makes it that assigns it."""
        hinted = self.knowledge.hinted
        wanted = hinted("optimizer", name) and not hinted("not-optimizer", name)
        if owner is not self.entered or not wanted or owner.cls is None or (owner.key, name) in self.asked:
            return None
        self.asked.add((owner.key, name))
        running = {id(one.definition) for one in self.stack}
        for method in self._setters(owner.cls, name):
            if id(method.definition) not in running:
                self.value_of(method.bound_to(owner), Arguments(), None)
        return owner.attributes.get(name)

    def _setters(self, cls: ClassRef, name: str) -> Iterator[FunctionRef]:
        """The methods of a class and its bases, but for constructors, that assign an attribute of the instance."""
        for above in self.ancestors(cls):
            if not isinstance(above, ClassRef):
                continue
            for method in list(above.frame.locals.values()):
                if not isinstance(method, FunctionRef) or method.definition.name == "__init__":
                    continue
                parameters = method.definition.parameters
                if parameters and _assigns(method.definition.body, parameters[0].name, name):
                    yield method


def _assigns(body: facts.Block, receiver: str, name: str) -> bool:
    """Whether one of some statements, at any depth, is `receiver.name = …`."""
    assignments = (node for node in blocks.walk(body) if isinstance(node, facts.Assign))
    return any(_is_attribute(target, receiver, name) for one in assignments for target in one.targets)


def _is_attribute(target: facts.Expression, receiver: str, name: str) -> bool:
    if isinstance(target, facts.Collection):
        return any(_is_attribute(item, receiver, name) for item in target.items)
    owner = target.value if isinstance(target, facts.Attribute) and target.attr == name else None
    return isinstance(owner, facts.Name) and owner.id == receiver
