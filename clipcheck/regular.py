"""Regular expressions that are compiled when they are first used: a start would compile fifty, and most runs use five."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


def regular(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """What `re.compile` gives, but by its own methods alone: it is no argument for functions of `re`, and no `match.re`."""
    return cast("re.Pattern[AnyStr]", _Regular(text, flags))


class _Regular:
    """Has each method of its pattern from the first time on that it is asked for."""

    def __init__(self, text: Any, flags: int) -> None:
        self.given = text, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(re.compile(*self.given), name)
        setattr(self, name, found)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Regular) and self.given == other.given

    def __hash__(self) -> int:
        return hash(self.given)

    def __reduce__(self) -> tuple[Any, ...]:
        return regular, self.given
