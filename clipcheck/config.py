"""Read the settings in force: defaults, then `[tool.clipcheck]` or clipcheck.toml, then the command line.

Nothing heavy is imported here: every run of clipcheck passes through this module.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from clipcheck.findings import RISKS, Risk
from clipcheck.naming import nearest
from clipcheck.record import dataclass, field, field_names, replace
from clipcheck.regular import regular

MARKERS = ("pyproject.toml", "clipcheck.toml", ".git", ".hg", ".svn")
FORMATS = ("text", "json", "jsonl", "sarif", "github", "gitlab", "junit")
# Folders that hold other people's code, or copies of one's own. Virtual environments are known by their
# pyvenv.cfg and not by name, since `env` is where reinforcement learning keeps its environments.
DEFAULT_EXCLUDE = (
    ".bzr",
    ".direnv",
    ".eggs",
    ".git",
    ".hg",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pants.d",
    ".pytest_cache",
    ".pytype",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "__pypackages__",
    "build",
    "dist",
    "node_modules",
    "site-packages",
)
# What a run writes to. A project that somebody else wrote must not have a scan of it write anywhere else. (A cache may
# be anywhere: its files are named by hashes, and no others are touched.)
_WRITTEN = ("output_file", "write_baseline")
_LARGEST = 5_000_000  # bytes of a configuration file
_LONGEST = 20  # files that extend each other
_SHARD = regular(r"(\d{1,6})/(\d{1,6})")
_CODE = regular(r"CLP\d{0,3}\Z")


class UserError(Exception):
    """Something the user can put right; shown without a traceback, exit status 2."""


class ConfigError(UserError):
    """A setting that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the contract, with its default. Codes may be prefixes; empty `select` means all rules."""

    fix: bool = False
    diff: bool = False
    unsafe_fixes: bool = False
    show_fixes: bool = False
    verify: str | None = None
    max_norm: float = 1.0
    min_risk: Risk = "medium"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exit_zero: bool = False
    exit_non_zero_on_fix: bool = False
    output_format: str = "text"
    output_file: Path | None = None
    statistics: bool = False
    show_files: bool = False
    quiet: bool = False
    add_ignores: bool = False
    baseline: Path | None = None
    write_baseline: Path | None = None
    stdin_filename: str | None = None
    force_exclude: bool = False
    shard: tuple[int, int] | None = None
    jobs: int | None = None  # None: as many as there are processors
    no_cache: bool = False
    cache_dir: Path | None = None
    extend: Path | None = None
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    extend_exclude: tuple[str, ...] = ()
    per_file_ignores: tuple[tuple[str, tuple[str, ...]], ...] = ()
    long_sequence: int = 512
    deep: tuple[int, int] = (20, 50)
    clip_functions: tuple[str, ...] = ()
    step_functions: tuple[str, ...] = ()
    recurrent_classes: tuple[str, ...] = ()
    rules: tuple[Path, ...] = ()
    project_root: Path = field(default_factory=Path.cwd)
    config_file: Path | None = None
    sources: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def source(self, name: str) -> str:
        """Say where the value of the field `name` comes from: a file, "command line" or "default"."""
        return dict(self.sources).get(name, "default")

    @property
    def pattern_base(self) -> Path:
        """The folder that `exclude` and `per-file-ignores` patterns count from: the configuration file's own,
        or the project's where the file was named from elsewhere.
        """
        if self.config_file is not None and self.project_root.is_relative_to(self.config_file.parent):
            return self.config_file.parent
        return self.project_root

    def wants(self, code: str, filename: str | Path) -> bool:
        """Tell whether findings of the rule `code` in the file are asked for.

        The longest prefix that matches decides, as in ruff: `select CLP1`, `ignore CLP104`. A tie goes to
        `ignore`; per-file ignores come last and always win.
        """
        selected = max((len(prefix) for prefix in self.select if code.startswith(prefix)), default=-1)
        ignored = max((len(prefix) for prefix in self.ignore if code.startswith(prefix)), default=-1)
        if (ignored >= 0 and ignored >= selected) or (self.select and selected < 0):
            return False
        return not any(
            code.startswith(codes) and self._covers(pattern, Path(filename))
            for pattern, codes in self.per_file_ignores
        )

    def _covers(self, pattern: str, filename: Path) -> bool:
        from pathspec import GitIgnoreSpec  # only where a project has such a table

        try:
            relative = filename.relative_to(self.pattern_base).as_posix()
        except ValueError:
            return False
        return GitIgnoreSpec.from_lines([pattern]).match_file(relative)


_INTERNAL = frozenset({"project_root", "config_file", "sources"})
SETTINGS = tuple(name for name in field_names(Settings) if name not in _INTERNAL)


def load(start: Path, config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings in force for paths at or below `start`.

    `config` names the file to read instead of looking upwards. `overrides` are the values given on the
    command line or in a call, by field name; None means "not given". Raises ConfigError.
    """
    folder = start if start.is_dir() else start.parent
    folder = Path(os.path.abspath(folder))
    found = config if config is not None else find_config(folder)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if found is not None:
        found = Path(os.path.abspath(found))
        _read_chain(found, values, sources, seen=())
        if config is None:
            _keep_inside(found, values, sources)
    for name, value in (overrides or {}).items():
        if value is None:
            continue
        _check_name(name, "command line", "_")
        values[name] = _convert(name, value, Path.cwd(), "command line")
        sources[name] = "command line"
    root = find_root(folder) or folder
    settings = Settings(project_root=root, config_file=found, sources=tuple(sorted(sources.items())))
    return replace(settings, **values)


def find_root(folder: Path) -> Path | None:
    """Return the nearest folder at or above `folder` that marks a project, or None."""
    for candidate in (folder, *folder.parents):
        if any(os.path.lexists(candidate / marker) for marker in MARKERS):
            return candidate
    return None


def find_config(folder: Path) -> Path | None:
    """Return the nearest clipcheck.toml, or pyproject.toml with a `[tool.clipcheck]` table, upwards."""
    for candidate in (folder, *folder.parents):
        own = candidate / "clipcheck.toml"
        if os.path.isfile(own):  # not `is_file`, which raises below a folder that is closed to us
            return own
        shared = candidate / "pyproject.toml"
        if os.path.isfile(shared) and _table(shared) is not None:
            return shared
    return None


def describe(settings: Settings, name: str) -> str | None:
    """Return the value of a setting as it would stand in a TOML file; None where it is not set."""
    import json

    value = getattr(settings, name)
    if value is None:
        return None
    if name == "per_file_ignores":
        rows = (f"{json.dumps(key, ensure_ascii=False)} = {json.dumps(codes)}" for key, codes in value)
        return f"{{ {', '.join(rows)} }}" if value else "{}"
    if name == "shard":
        return json.dumps("/".join(map(str, value)))
    return json.dumps(value, ensure_ascii=False, default=str)


def _table(path: Path) -> dict[str, Any] | None:
    """Return the clipcheck table of a TOML file; None for a pyproject.toml without one."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if data is None:
        raise ConfigError(f"{path}: larger than {_LARGEST:,} bytes, which no configuration is")
    if path.name == "pyproject.toml" and b"clipcheck" not in data:
        return None  # spares most projects the TOML parser
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document: dict[str, Any] = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deep") from None
    if path.name != "pyproject.toml":
        return document
    tools = document.get("tool", {})
    table = tools.get("clipcheck") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: `tool.clipcheck` must be a table")
    return table


def _read_chain(path: Path, values: dict[str, Any], sources: dict[str, str], seen: tuple[Path, ...]) -> None:
    """Fill `values` from `path`, after the file that it extends."""
    if path in seen:
        raise ConfigError(f"{path}: `extend` leads back to this file")
    if len(seen) > _LONGEST:
        raise ConfigError(f"{seen[0]}: `extend` leads from file to file more than {_LONGEST} times")
    table = _table(path) or {}
    where = str(path)
    converted: dict[str, Any] = {}
    for key, raw in table.items():
        name = _check_name(key, where, "-")
        if name == "verify":  # a scan of someone else's project must not run what that project names
            raise ConfigError(f"{where}: `verify` runs a command, so only the command line may give it")
        converted[name] = _convert(name, raw, path.parent, where)
    if "extend" in converted:
        if not os.path.isfile(converted["extend"]):
            raise ConfigError(f"{where}: `extend`: {converted['extend']}: no such file")
        _read_chain(converted["extend"], values, sources, (*seen, path))
    for name, value in converted.items():
        if name == "extend_exclude" and name in values:
            # What a project adds to the shared exclusions adds up along the chain.
            values[name], sources[name] = values[name] + value, f"{sources[name]}, {where}"
        else:
            values[name], sources[name] = value, where


def _keep_inside(found: Path, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Refuse to write outside of the project because of a file that nobody named. Raises ConfigError."""
    top = os.path.realpath(find_root(found.parent) or found.parent)
    for name in _WRITTEN:
        if name in values and not os.path.realpath(values[name]).startswith(os.path.join(top, "")):
            key = name.replace("_", "-")
            raise ConfigError(
                f"{sources[name]}: `{key}` leads out of the project, to {values[name]}; "
                f"give it as --{key} on the command line"
            )


def _check_name(key: str, where: str, separator: str) -> str:
    """Return the field that `key` stands for; its words are joined by `separator` in files and in calls."""
    known = {name.replace("_", separator): name for name in SETTINGS}
    name = known.get(key)
    if key == "tool" and separator == "-":
        raise ConfigError(
            f"{where}: settings stand here without `[tool.clipcheck]`, which is for pyproject.toml"
        )
    if name is None:
        near = nearest(key, known)
        hint = f"; did you mean `{near}`?" if near else f"; known settings: {', '.join(sorted(known))}"
        raise ConfigError(f"{where}: unknown setting `{key}`{hint}")
    return name


def _convert(name: str, value: Any, base: Path, where: str) -> Any:
    try:
        return _KINDS[name](value, base)
    except ValueError as error:
        shown = name.replace("_", "-")
        raise ConfigError(f"{where}: `{shown}` must be {error}, not {_toml(value)}") from None


def _toml(value: Any) -> str:
    """Show a value the way it stands in a TOML file, shortened."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _boolean(value: Any, _base: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _text(value: Any, _base: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _path(value: Any, base: Path) -> Path:
    if not isinstance(value, str | PurePath) or not str(value):
        raise ValueError("a path")
    return Path(os.path.abspath(base / Path(value).expanduser()))


def _threshold(value: Any, _base: Path) -> float:
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    if wrong or not math.isfinite(value) or value <= 0:
        raise ValueError("a number above 0")
    return float(value)


def _count(value: Any, _base: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number from 1 up")
    return value


def _choice(*choices: str) -> Callable[[Any, Path], str]:
    def convert(value: Any, _base: Path) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return convert


def _texts(value: Any, _base: Path) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _codes(value: Any, base: Path) -> tuple[str, ...]:
    codes = _texts(value, base)
    if not all(_CODE.match(code) for code in codes):
        raise ValueError("a list of rule codes or prefixes such as CLP101 or CLP2")
    return codes


def _paths(value: Any, base: Path) -> tuple[Path, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of paths")
    return tuple(_path(item, base) for item in value)


def _file_ignores(value: Any, base: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, Mapping):
        raise ValueError('a table of lists of rule codes, such as { "lab/**" = ["CLP1"] }')
    try:
        return tuple((str(pattern), _codes(codes, base)) for pattern, codes in value.items())
    except ValueError:
        raise ValueError('a table of lists of rule codes, such as { "lab/**" = ["CLP1"] }') from None


def _pair(value: Any, _base: Path) -> tuple[int, int]:
    wrong = not isinstance(value, list | tuple) or len(value) != 2
    if wrong or any(isinstance(item, bool) or not isinstance(item, int) for item in value):
        raise ValueError("two whole numbers such as [20, 50]")
    if not 0 < value[0] <= value[1]:
        raise ValueError("two whole numbers above 0, the smaller one first")
    return (value[0], value[1])


def _shard(value: Any, _base: Path) -> tuple[int, int]:
    found = _SHARD.fullmatch(value) if isinstance(value, str) else None
    number, of = (int(found[1]), int(found[2])) if found is not None else (0, 0)
    if not 0 < number <= of:
        raise ValueError('a number and how many there are, such as "2/8"')
    return number, of


_KINDS: dict[str, Callable[[Any, Path], Any]] = {
    **dict.fromkeys(
        ("fix", "diff", "unsafe_fixes", "show_fixes", "exit_zero", "exit_non_zero_on_fix", "statistics"),
        _boolean,
    ),
    **dict.fromkeys(("show_files", "quiet", "force_exclude", "no_cache", "add_ignores"), _boolean),
    **dict.fromkeys(("verify", "stdin_filename"), _text),
    **dict.fromkeys(("output_file", "baseline", "write_baseline", "cache_dir", "extend"), _path),
    **dict.fromkeys(("select", "ignore"), _codes),
    **dict.fromkeys(("exclude", "extend_exclude"), _texts),
    **dict.fromkeys(("clip_functions", "step_functions", "recurrent_classes"), _texts),
    **dict.fromkeys(("jobs", "long_sequence"), _count),
    "max_norm": _threshold,
    "min_risk": _choice(*RISKS),
    "output_format": _choice(*FORMATS),
    "shard": _shard,
    "deep": _pair,
    "per_file_ignores": _file_ignores,
    "rules": _paths,
}
