"""Patterns of ignore files, read as git reads them: by bytes, and for the file or folder they name alone.

The libraries there are match a path by a pattern for a folder above it too, and guess what that means beside a `!pattern`
further down. Who walks a tree, as git does, has to know what is said of each folder itself:
`data/**` leaves `data` to be walked, for what `!data/keep.py` keeps. https://git-scm.com/docs/gitignore, and git's wildmatch.c
"""

from __future__ import annotations

import re
import sys
from functools import cache
from itertools import pairwise

from clipcheck.record import dataclass
from clipcheck.regular import regular

FOLDER = b"\0"  # stands behind the path of a folder
_NEVER = b"(?!)"
_STAR, _FOLDERS = b"[^/\0]*", b"(?:.*/)?"
_PATIENT = sys.version_info[:2] >= (3, 11)
_MOST = 4  # of each in a pattern, where more could take for ever
_STARS = regular(rb"\*+")
_SPACES = regular(rb"((?:\\.|[^\\])*?) *", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern: `regex` matches the whole of a path from where the ignore file is, with `FOLDER` behind a folder's."""

    regex: bytes
    out: bool  # False: `!pattern`, what matches is kept


def read_pattern(line: bytes) -> Pattern | None:
    """Return the pattern in a line of an ignore file; None for a comment, or nothing."""
    text = line.removesuffix(b"\r")
    if text.startswith(b"#"):
        return None
    stripped = _SPACES.fullmatch(text)
    text = stripped[1] if stripped else text  # a lone backslash at the end keeps what stands before it
    out = not text.startswith(b"!")
    text = text.removeprefix(b"!")
    folders_only = text.endswith(b"/")
    text = text.removesuffix(b"/")
    if not text:
        return None
    anywhere = b"" if b"/" in text else b"(?:.*/)?"
    end = FOLDER if folders_only else FOLDER + b"?"
    return Pattern(anywhere + _translate(text.removeprefix(b"/")) + end + rb"\Z", out)


def _translate(text: bytes) -> bytes:
    """Return the regular expression of a pattern; what git gives up on matches nothing."""
    parts: list[bytes] = []
    at = 0
    while at < len(text):
        letter = text[at : at + 1]
        at += 1
        if letter == b"*":
            at, part = _stars(text, at - 1)
        elif letter == b"?":
            part = b"[^/\0]"
        elif letter == b"[":
            at, members = _bracket(text, at)
            part = b"[%s]" % b"".join(b"\\x%02x" % byte for byte in sorted(members)) if members else _NEVER
        elif letter == b"\\":
            part = re.escape(text[at : at + 1]) if at < len(text) else _NEVER
            at += 1
        else:
            part = re.escape(letter)
        parts.append(part)
    return _resolute(parts)


def _resolute(parts: list[bytes]) -> bytes:
    """Return the parts as one expression that takes no time without end on a name made for it (`*a*a*a*a*b`).

    Of several stars, all but the last can take the first place where what follows them matches: the next star takes
    whatever is left. So they need not go back, which Python can say from 3.11 on.
    """
    if not _PATIENT:
        many = parts.count(_STAR) > _MOST or parts.count(_FOLDERS) > _MOST
        return _NEVER if many else b"".join(parts)
    sections: list[list[bytes]] = [[]]
    for part in parts:
        if part == _FOLDERS:
            sections.append([])
        else:
            sections[-1].append(part)
    first, *rest = map(_section, sections)
    inner = b"".join(b"(?>(?:.*?/)??%s)" % section for section in rest[:-1])
    return first + inner + b"".join(_FOLDERS + section for section in rest[-1:])


def _section(parts: list[bytes]) -> bytes:
    """Return what stands between two `**/`; see `_resolute`."""
    stars = [index for index, part in enumerate(parts) if part == _STAR]
    if len(stars) < 2:
        return b"".join(parts)
    runs = [b"".join(parts[start + 1 : end]) for start, end in pairwise(stars)]
    head, tail = b"".join(parts[: stars[0]]), b"".join(parts[stars[-1] :])
    return head + b"".join(b"(?>[^/\0]*?%s)" % run for run in runs) + tail


def _stars(text: bytes, at: int) -> tuple[int, bytes]:
    """Return where the stars at `at` end (with the slash behind `**/`), and what they match."""
    found = _STARS.match(text, at)
    assert found is not None
    end = found.end()
    if end - at > 1 and (at == 0 or text[at - 1 : at] == b"/"):
        if end == len(text):
            return end, b"[^\0]*"
        if text[end : end + 1] == b"/":
            return end + 1, _FOLDERS
    return end, _STAR


@cache
def _classes() -> dict[str, str]:
    """The letters of `[[:name:]]`."""
    import string  # which compiles a pattern of its own, and hardly any ignore file needs it

    return {
        "alnum": string.ascii_letters + string.digits,
        "alpha": string.ascii_letters,
        "blank": " \t",
        "cntrl": "".join(map(chr, (*range(32), 127))),
        "digit": string.digits,
        "graph": string.ascii_letters + string.digits + string.punctuation,
        "lower": string.ascii_lowercase,
        "print": string.ascii_letters + string.digits + string.punctuation + " ",
        "punct": string.punctuation,
        "space": string.whitespace,
        "upper": string.ascii_uppercase,
        "xdigit": string.hexdigits,
    }


def _bracket(text: bytes, at: int) -> tuple[int, set[int]]:
    """Return where the set that begins at `at` ends, and the bytes that it matches: never a slash, none if it is damaged."""
    negated = text[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    first, before = True, 0
    while first or text[at : at + 1] != b"]":
        first = False
        letter, after = text[at : at + 1], text[at + 1 : at + 2]
        if not letter:
            return len(text), set()
        if letter == b"-" and before and after not in (b"", b"]"):
            at += 2 if after == b"\\" else 1
            members.update(range(before, ord(text[at : at + 1] or b"\0") + 1))
            before = 0
        elif letter == b"[" and after == b":" and (named := re.compile(rb"\[:([^\]]*):\]").match(text, at)):
            known = _classes().get(named[1].decode("latin-1"))
            if known is None:
                return len(text), set()
            members.update(known.encode())
            at, before = named.end() - 1, 0
        else:
            at += letter == b"\\"
            before = ord(text[at : at + 1] or b"\0")
            members.add(before)
        at += 1
    return at + 1, (set(range(256)) - members if negated else members) - {ord("/"), *FOLDER}
