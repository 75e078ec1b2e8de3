"""Small programs through extract, project and the abstract run: what the tests of the flow start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import dedent

from clipcheck import knowledge
from clipcheck.extract import extract_text
from clipcheck.flow.interpreter import Interpreter
from clipcheck.flow.records import Clip, Path, Sightings, Step
from clipcheck.flow.values import Object
from clipcheck.project import Project
from clipcheck.protocol import Phase

ROOT = "/p/"
HEAD = """\
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_
"""
# A model and what it is trained with; a program is put behind it.
SETUP = """\
model = nn.LSTM(4, 8)
optimizer = torch.optim.Adam(model.parameters())
"""
KNOWLEDGE = knowledge.load()


@dataclass(frozen=True)
class Seen:
    """What a run saw, in the terms that tests ask for."""

    sightings: Sightings

    def steps(self) -> list[Step]:
        return [self.sightings.steps[site] for site in sorted(self.sightings.steps)]

    def clips(self) -> list[Clip]:
        return [self.sightings.clips[site] for site in sorted(self.sightings.clips)]

    def paths(self, nth: int = 0) -> list[Path]:
        """The paths to the nth step in the order of files and rows."""
        return [path for context in self.steps()[nth].contexts for path in context.paths]

    def clip_paths(self, nth: int = 0) -> list[Path]:
        return [path for context in self.clips()[nth].contexts for path in context.paths]

    def phases(self, nth: int = 0) -> set[Phase]:
        return {path.gradients.phase for path in self.paths(nth)}

    def codes(self) -> set[str]:
        """The rules broken on any sure path to a step, or (but CLP204) on all of the sure ones to a clip."""
        found: set[str] = set()
        for number in range(len(self.steps())):
            found |= {path.code for path in sure(self.paths(number))}
        for number in range(len(self.clips())):
            broken = {path.code for path in sure(self.clip_paths(number))}
            found |= broken if len(broken) == 1 else broken & {"CLP204"}
        return found - {""}

    def unsure(self, nth: int = 0) -> bool:
        """Whether the nth step is in doubt on every path that leaves it unclipped."""
        bare = [path for path in self.paths(nth) if path.code == "CLP101"]
        return bool(bare) and all(path.gradients.unsure for path in bare)

    def models(self, nth: int = 0) -> set[str]:
        """What the optimizer of the nth step updates, by class names ("?": not known)."""
        contexts = self.steps()[nth].contexts
        return {
            one.name if isinstance(one, Object) else "?" for context in contexts for one in context.models
        }

    def names(self, nth: int = 0) -> set[str | None]:
        return {context.names.parameters for context in self.steps()[nth].contexts}


def sure(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not path.gradients.unsure and not path.gradients.maybe]


def project(files: Mapping[str, str]) -> Project:
    """A project of files by name, relative to one folder."""
    texts = {ROOT + name: text for name, text in files.items()}
    return Project(texts, lambda name: extract_text(texts[name], name), KNOWLEDGE)


def sightings(files: Mapping[str, str] | None = None, **named: str) -> Seen:
    """Run `files` (by path) and `named` ones (by module name), each behind the usual imports."""
    sources = {**(files or {}), **{f"{name}.py": text for name, text in named.items()}}
    sources = {name: HEAD + dedent(text) for name, text in sources.items()}
    return Seen(Interpreter(project(sources)).run([ROOT + name for name in sources]))


def trained(program: str, setup: str = SETUP) -> Seen:
    """Run one program behind a model and its optimizer."""
    return sightings(train=setup + dedent(program))
