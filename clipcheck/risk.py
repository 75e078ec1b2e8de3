"""How dangerous it is to train a model without clipping: a risk, with the places that say why."""

from __future__ import annotations

from collections.abc import Iterator

from clipcheck import facts
from clipcheck.findings import RISKS, Evidence, Risk
from clipcheck.flow.records import Sightings
from clipcheck.flow.render import last_identifier
from clipcheck.flow.values import Elements, Items, Object, Table, Tensor, Value, choices
from clipcheck.layers import Anatomy, Classes, Walk
from clipcheck.lengths import Length, Lengths, longest, shortest, without_catalogues
from clipcheck.naming import with_article, words
from clipcheck.project import Project
from clipcheck.record import dataclass, replace
from clipcheck.traverse import inside, statements

NOT_FINITE = "NaN"  # how the message of a NaN check reads
_RECURRENT = ("recurrent", "recurrence", "recurrent-name", "recurrent-attribute")
_ATTENTION = ("transformer", "attention", "attention-code", "attention-name")


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is trained and how dangerous that is; the first evidence is the decisive one."""

    risk: Risk
    evidence: tuple[Evidence, ...]
    family: str
    summary: str
    raised: bool = False  # by a check for NaN: the model alone is less of a risk


NOT_FOUND = Assessment("low", (), "unknown", "a model that was not found")


class Assessor:
    """Assesses models, by what the run saw of them and by the facts of their files."""

    def __init__(
        self,
        project: Project,
        sightings: Sightings,
        settings_long: int = 512,
        deep: tuple[int, int] = (20, 50),
        recurrent_classes: tuple[str, ...] = (),
    ) -> None:
        self._project = project
        self._sightings = sightings
        self._long = settings_long
        self._deep = deep
        self._recurrent = frozenset(recurrent_classes)
        self._classes = Classes(project)
        self._lengths = Lengths(project)
        self._adversaries: dict[str, bool] = {}
        # By the id of a model, which is held here, and what is frozen.
        self._walked: dict[tuple[int, frozenset[str]], tuple[Value, Anatomy]] = {}

    def assess(
        self,
        models: tuple[Value, ...],
        step_file: str,
        notes: tuple[Evidence, ...],
        reached: int = 0,
        frozen: frozenset[str] = frozenset(),
    ) -> Assessment:
        """The worst of what the models are; a NaN check among the notes makes anything medium at least.

        `reached` is the row that the file has come to at its own level at the step, 0 where that is not known. What is
        frozen (by its key) and never thawed does not count.
        """
        frozen = frozen - self._sightings.thawed
        if models and all(isinstance(model, Tensor) for model in models):
            return Assessment("none", (), "tensor", "a tensor, not a model")
        apart = [model for one in models for model in _apart(one)]
        trained = [model for model in apart if not self._is_at_rest(model, frozen)]
        walked = [self._anatomy(model, frozen) for model in trained or apart]
        found = [self._judge(anatomy, step_file, reached) for anatomy in walked]
        # An alternative that was not found says nothing beside one that was.
        found = [one for one in found if one is not NOT_FOUND] or [NOT_FOUND]
        worst = max(found, key=lambda one: RISKS.index(one.risk))
        if worst.risk == "none" and any(anatomy.partial for anatomy in walked):
            worst = NOT_FOUND
        if worst.risk == "none" and self._adversarial(step_file):
            worst = replace(worst, risk="low", family="adversarial", summary="an adversarial network")
        if worst.risk == "none" and self._classes.imports(step_file, "environment-library"):
            worst = replace(worst, risk="low", family="policy", summary="a policy")
        check = next((note for note in notes if NOT_FINITE in note.message), None)
        if check is not None and RISKS.index(worst.risk) < RISKS.index("medium"):
            return replace(worst, risk="medium", evidence=(check, *worst.evidence), raised=True)
        return worst

    def _anatomy(self, model: Value, frozen: frozenset[str]) -> Anatomy:
        anatomy = self._walk(model, frozen)
        if frozen and not anatomy.left:  # what is trained of it is not in sight
            return self._walk(model, frozenset())
        return anatomy

    def _is_at_rest(self, model: Value, frozen: frozenset[str]) -> bool:
        """Whether all of a model is frozen: beside one that is trained it does not count."""
        if not isinstance(model, Object) or model.key not in frozen:
            return False
        anatomy = self._walk(model, frozen)
        return not anatomy.left and not anatomy.adapted

    def _walk(self, model: Value, frozen: frozenset[str]) -> Anatomy:
        known = self._walked.get((id(model), frozen))
        if known is None:
            walk = Walk(self._classes, self._project, self._sightings, self._recurrent, frozen)
            known = self._walked[id(model), frozen] = (model, walk.run(model))
        return known[1]

    def _adversarial(self, filename: str) -> bool:
        """Whether a file makes a generator and a discriminator, by their names."""
        if filename not in self._adversaries:
            module, hinted = self._project.facts(filename), self._project.knowledge.hinted
            bound = {
                last_identifier(target)
                for statement in statements(module.body if module is not None else ())
                if isinstance(statement, facts.Assign) and self._may_be_network(statement.value)
                for target in statement.targets
            }
            both = ("generator-name", "discriminator-name")
            self._adversaries[filename] = all(any(hinted(hint, name) for name in bound) for hint in both)
        return self._adversaries[filename]

    def _may_be_network(self, value: facts.Expression) -> bool:
        """Whether what a name is given may be a network: no number, and nothing that generates data."""
        hinted = self._project.knowledge.hinted
        if isinstance(value, facts.Name):  # `self.generator = generator`
            return not hinted("layer-width", value.id)
        if not isinstance(value, facts.Call):
            return False
        called = (last_identifier(node) for node in inside(value.function))
        return not any(hinted("no-network", words(name)) for name in called)

    def _judge(self, anatomy: Anatomy, step_file: str, reached: int) -> Assessment:
        """DESIGN's table, from its top down."""
        for family in _RECURRENT:
            if family in anatomy.first:
                name, evidence = anatomy.first[family]
                return Assessment("high", (evidence,), "recurrent", _recurrent(family, name))
        if "graph" in anatomy.first:
            return Assessment("low", (anatomy.first["graph"][1],), "graph", "a graph network")
        if "diffusion" in anatomy.first:
            name, evidence = anatomy.first["diffusion"]
            return Assessment("medium", (evidence,), "diffusion", f"a diffusion network ({name})")
        if "state-space" in anatomy.first:
            name, evidence = anatomy.first["state-space"]
            return Assessment("medium", (evidence,), "state-space", f"a state-space model ({name})")
        for family in _ATTENTION:
            # A name alone makes no Transformer of an image network: it may transform images.
            if family in anatomy.first and not (family == "attention-name" and _convolutional(anatomy)):
                return self._attention(anatomy, anatomy.first[family][1], step_file, reached)
        return self._feedforward(anatomy)

    def _attention(self, anatomy: Anatomy, evidence: Evidence, step_file: str, reached: int) -> Assessment:
        if _convolutional(anatomy):
            if "adversarial-class" in anatomy.labels:
                return Assessment("low", (evidence,), "adversarial", "an adversarial network with attention")
            return Assessment("medium", (evidence,), "attention", "a convolutional network with attention")
        length = self._length(anatomy, step_file, reached)
        if length is None:
            return Assessment("medium", (evidence,), "transformer", "a Transformer")
        risk: Risk = "high" if length[0] >= self._long else "medium"
        summary = f"a Transformer on sequences of {length[0]} tokens"
        return Assessment(risk, (evidence, length[1]), "transformer", summary)

    def _length(self, anatomy: Anatomy, step_file: str, reached: int) -> Length | None:
        """The longest sequence that the data are cut to; else that the model is made for, or the program sets.

        The nearest word counts: a library's table of models names lengths that this program never sees.
        """
        trained = self._lengths.trained(step_file, reached) if step_file else None
        if trained is not None:
            return trained
        own = without_catalogues(anatomy.fed)
        if own:
            return longest(own)
        if step_file and (set_here := self._lengths.of(step_file, reached)) is not None:
            return set_here
        files = dict.fromkeys(file for file in anatomy.files if file and file != step_file)
        return shortest([length for file in files if (length := self._lengths.of(file)) is not None])

    def _feedforward(self, anatomy: Anatomy) -> Assessment:
        """Networks without memory: what counts is their depth, and what keeps the gradients in bounds."""
        weighted, normalised = anatomy.weighted, "normalisation" in anatomy.first
        layer = self._layer(anatomy)
        if not anatomy.found or not (weighted or "embedding" in anatomy.first):
            if "head" in anatomy.first:
                return Assessment("none", (anatomy.first["head"][1],), "linear", "the head of a frozen model")
            if "parameter" in anatomy.first and not normalised:
                return Assessment("none", layer, "parameters", "a few parameters of its own")
            return NOT_FOUND  # normalisation alone is no model, but what is left of one
        medium, high = self._deep
        adversarial = "adversarial-class" in anatomy.labels
        if weighted >= medium and not normalised and not (adversarial and anatomy.residual):
            risk: Risk = "high" if weighted >= high and not anatomy.residual else "medium"
            return Assessment(risk, layer, "deep", f"a network of {weighted} layers without normalisation")
        if adversarial:
            return Assessment("low", layer, "adversarial", "an adversarial network")
        if "convolution" in anatomy.counts:
            if normalised:
                return Assessment("low", layer, "convolution", "a convolutional network with normalisation")
            return Assessment("none", layer, "convolution", "a plain convolutional network")
        if "policy-class" in anatomy.labels:
            return Assessment("low", layer, "policy", "an MLP policy")
        if weighted >= medium:
            return Assessment("low", layer, "linear", f"an MLP of {weighted} layers with normalisation")
        return Assessment("none", layer, "linear", "a shallow MLP")

    def _layer(self, anatomy: Anatomy) -> tuple[Evidence, ...]:
        """Where the first of the layers that matter was made."""
        for family in ("convolution", "linear", "normalisation", "embedding", "parameter"):
            if family in anatomy.first:
                return (anatomy.first[family][1],)
        return ()


def _convolutional(anatomy: Anatomy) -> bool:
    """Whether it is an image network at heart: more convolutions than a patch embedding takes."""
    convolutions = anatomy.counts.get("convolution", 0)
    return convolutions > 2 and convolutions > anatomy.counts.get("linear", 0)


def _apart(model: Value) -> Iterator[Value]:
    """The models that a value may be, or lists: each is assessed by itself."""
    for choice in choices(model):
        if isinstance(choice, Items) and all(_is_whole(member) for member in choice.members):
            yield from choice.members
        elif isinstance(choice, Table):
            yield from (entry for _, entry in choice.entries)
        else:
            yield choice


def _is_whole(member: Value) -> bool:
    """Whether a member is a model rather than one layer of a list of layers."""
    return not isinstance(member, (Object, Elements)) or (
        isinstance(member, Object) and member.cls is not None
    )


def _recurrent(family: str, name: str) -> str:
    if family == "recurrent" or (family == "recurrent-name" and name):
        return with_article(name)
    return "a recurrent network" if family == "recurrent-attribute" else "a recurrence written by hand"
