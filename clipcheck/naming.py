"""Identifiers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clipcheck.regular import regular

_SEAMS = regular(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_VOWEL_LETTERS = "AEFHILMNORSX"  # letters whose names begin with a vowel: an LSTM, but a GRU


def nearest(word: str, known: Iterable[str], likeness: float = 0.5) -> str | None:
    """The known word that a misspelt one probably stands for; None where none is as like it as that (1: the same)."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=likeness)), None)


def words(identifier: str) -> str:
    """A class name as lower-case words: `ConvLSTMCell` -> `conv_lstm_cell`."""
    return _SEAMS.sub("_", identifier).lower()


def with_article(name: str) -> str:
    """A name with its indefinite article: an LSTM, a Transformer."""
    if name[:2].isupper():
        return f"an {name}" if name[0] in _VOWEL_LETTERS else f"a {name}"
    return f"an {name}" if name[:1].lower() in ("a", "e", "i", "o", "u") else f"a {name}"


def listed(names: Sequence[str]) -> str:
    """Some names as a list in a sentence: "an LSTM, a GRU and a Linear"."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def risk_words(risk: str) -> str:
    """A risk as a report says it: high risk, no risk."""
    return f"{'no' if risk == 'none' else risk} risk"
