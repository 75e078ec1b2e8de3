"""Put fixed files on disk whole or not at all, and show them as a diff."""

from __future__ import annotations

import difflib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from clipcheck.config import UserError
from clipcheck.findings import Failure
from clipcheck.notebook import is_notebook, sources
from clipcheck.record import dataclass
from clipcheck.regular import regular
from clipcheck.sourcefile import SourceFile

_PREFIX, _SUFFIX = ".clipcheck-", ".tmp"
_OPEN = ("/dev/", "/proc/")
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # some network file systems
# What cannot stand in the head of a diff as it is, and how git writes it: https://git-scm.com/docs/git-config, core.quotePath
_QUOTED = regular(r'["\\\x00-\x1f\x7f]')
_LETTERS = dict(zip('"\\\a\b\t\n\v\f\r', '"\\abtnvfr', strict=True))


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it was read, and the text it is to have."""

    filename: str
    source: SourceFile
    text: str


def replace_file(change: Change, done: dict[str, bytes]) -> Failure | None:
    """Write `change`; return why not, in which case the file is as it was.

    A link stays a link: what it points to is replaced. `done` holds what this run has written, since
    two names may lead to one file.
    """
    target = os.path.realpath(change.filename)
    try:
        data = change.source.encode(change.text)
        if done.get(target) == data:
            return None
        status = os.stat(target)
        # A superuser may write what is read-only; the mode still says that nobody should.
        if not status.st_mode & 0o222 or not os.access(target, os.W_OK):
            return Failure(change.filename, "not written: the file is read-only")
        if not _replace(target, status, data, change.source.data):
            return Failure(change.filename, "not written: the file has changed since it was read")
    except (OSError, UnicodeError) as error:
        return Failure(change.filename, f"not written: {error}")
    done[target] = data
    return None


def leads_out(filename: str, tops: Iterable[Path]) -> str:
    """Return what a link points to where that is outside of all `tops` (files or folders), else nothing."""
    if not os.path.islink(filename):
        return ""
    target = os.path.realpath(filename)
    real = {os.path.realpath(top) for top in tops}
    inside = target in real or any(target.startswith(os.path.join(top, "")) for top in real)
    return "" if inside else target


def other_names(filename: str) -> int:
    """Return how many more names (hard links) a file has; they keep the old text when it is replaced."""
    try:
        return os.stat(filename).st_nlink - 1
    except OSError:
        return 0


def put_file(path: Path, data: bytes) -> None:
    """Write `data` as the file at `path`, whole or not at all; into a device or a pipe, straight.

    Raises UserError where that cannot be done: a file is then as it was.
    """
    target = os.path.realpath(path)
    try:
        status = os.stat(path) if os.path.exists(path) else None
        # Behind a name such as /dev/stdout may be a regular file, which somebody else holds open.
        if (status is not None and not stat.S_ISREG(status.st_mode)) or str(path).startswith(_OPEN):
            with open(path, "ab") as stream:
                stream.write(data)
        elif not os.path.isdir(os.path.dirname(target)):
            raise UserError(f"{path}: cannot be written: there is no folder {os.path.dirname(target)}")
        else:
            _replace(target, status, data)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None


def _replace(target: str, status: os.stat_result | None, new: bytes, old: bytes | None = None) -> bool:
    """Swap `new` in for `target`, where `old` is given only if that still holds it; leave no temporary file behind."""
    sweep([os.path.dirname(target)])
    # Named before it is made, so that an interrupt at any moment after that takes it away.
    temporary = os.path.join(os.path.dirname(target), f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        with open(temporary, "xb", opener=_private) as stream:
            _hold(stream.fileno())  # until it is in place: a file that nobody holds is swept away
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
            _like(temporary, status)
            if old is not None and Path(target).read_bytes() != old:
                return False
            if sys.platform == "win32":
                stream.close()  # an open file cannot be renamed there
            os.replace(temporary, target)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _private(path: str, flags: int) -> int:
    """Open a file that nobody else may read as long as it is not known who may."""
    return os.open(path, flags, 0o600)


def sweep(folders: Iterable[str]) -> None:
    """Remove the temporary files that runs which were killed have left in these folders."""
    if sys.platform == "win32":
        return  # without locks, those of a living run cannot be told from others
    for folder in folders:
        for path in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):  # gone, another user's, or held by a run that is at work
                handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    _lock(handle)
                    os.unlink(path)
                finally:
                    os.close(handle)


def _hold(handle: int) -> None:
    """Lock a new file where the file system has locks; where it has none, nothing is swept away either."""
    try:
        _lock(handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _lock(handle: int) -> None:
    """Hold the file for as long as it is open, or raise OSError: someone else does."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _like(temporary: str, status: os.stat_result | None) -> None:
    """Give `temporary` the owner (where we may) and the mode of the file it replaces, or those of a new file."""
    if status is None:
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        return
    own = os.stat(temporary)
    if hasattr(os, "chown") and (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        with suppress(PermissionError):
            os.chown(temporary, status.st_uid, status.st_gid)
    os.chmod(temporary, stat.S_IMODE(status.st_mode))  # last: a change of owner may clear bits


def unified_diff(changes: Iterable[Change], root: Path | None = None) -> str:
    """Return `changes` as one unified diff, with paths relative to `root` (the current directory).

    `patch -p1` and `git apply` take it, but for notebooks, whose cells are shown as the Python that they hold. Bytes
    that are not UTF-8 stand in it as surrogates: write it with `.encode("utf-8", "surrogateescape")`, and files
    in other encodings can be patched too.
    """
    base = root or Path.cwd()
    return "".join(line for change in changes for line in _diff(change, base))


def _diff(change: Change, root: Path) -> Iterator[str]:
    path = os.path.relpath(change.filename, root).replace(os.sep, "/")
    if is_notebook(change.filename):
        before, after = sources(change.source.text), sources(change.text)
        for cell in before:
            # A cell rarely ends in a line end, and means nothing by it.
            old, new = (_lines(f"{texts[cell]}\n") for texts in (before, after))
            yield from difflib.unified_diff(old, new, *_heads(f"{path}:cell {cell}", mark=""))
        return
    old, new = _bytes_lines(change.source.data), _bytes_lines(change.source.encode(change.text))
    mark = "\t" if any(letter.isspace() for letter in path) else ""  # as git does: the name ends here
    for line in difflib.unified_diff(old, new, *_heads(path, mark)):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _heads(path: str, mark: str) -> tuple[str, str]:
    """Return the names before and after, quoted as git does where a name would end its line or close its quotes."""
    if not _QUOTED.search(path):
        return f"a/{path}{mark}", f"b/{path}{mark}"
    quoted = _QUOTED.sub(lambda found: "\\" + _LETTERS.get(found[0], f"{ord(found[0]):03o}"), path)
    return f'"a/{quoted}"', f'"b/{quoted}"'


def _bytes_lines(data: bytes) -> list[str]:
    return _lines(data.decode("utf-8", "surrogateescape"))


def _lines(text: str) -> list[str]:
    """Return the lines of `text` as patch counts them: a lone carriage return ends none."""
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])
