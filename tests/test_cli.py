"""The command line, with a stub in the pipeline's place: what is quiet, exit statuses, where words go."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from commanding import caller

from clipcheck import __version__, catalog, checking, cli, config
from clipcheck.findings import Edit, Failure, Finding, Fix, Position, Report, Sight

CLEAN = "1 step seen: 1 clipped, 0 low-risk, 0 reported, 0 unknown\n"
SOURCE = "loss.backward()\nopt.step()\n"


class Pipeline:
    """Reports every `opt.step()` that no clip() stands before; remembers what it was asked."""

    def __init__(self):
        self.calls = []
        self.failures = ()
        self.unfinished = ()

    def run(self, paths, settings, *, overlay=None, tell=None, hear=None):
        from clipcheck.discover import discover

        self.calls.append((tuple(paths), settings, overlay))
        findings = []
        for path in discover(paths, settings).report_on:
            text = (overlay or {}).get(path) or Path(path).read_text("utf-8")
            if "opt.step()" in text and "clip()" not in text:
                row = text[: text.index("opt.step()")].count("\n") + 1
                edit = Edit("clip()\n", Position(row, 1), Position(row, 1))
                fix = Fix("unsafe" if "maybe" in text else "safe", "Clip the norm", (edit,))
                place = (Position(row, 1), Position(row, 11))
                findings.append(
                    Finding("CLP101", "unclipped-step", "not clipped", path, *place, "high", (), fix)
                )
        sight = Sight(1, 1) if not findings else Sight(len(findings), 0, 0, len(findings))
        return Report(tuple(findings), self.failures, sight, unfinished=self.unfinished)

    def explain(self, path, row, settings, beside=()):
        return f"{path.name} row {row}: clipped\x1b[2J"


@pytest.fixture
def pipeline(monkeypatch):
    import clipcheck

    stub = Pipeline()
    module = SimpleNamespace(run=stub.run, explain=stub.explain)
    monkeypatch.setitem(sys.modules, "clipcheck.pipeline", module)
    monkeypatch.setattr(clipcheck, "pipeline", module, raising=False)
    return stub


@pytest.fixture
def run(capsys, tmp_path, monkeypatch, pipeline):
    monkeypatch.chdir(tmp_path)
    return caller(capsys)


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SOURCE, "utf-8")
    return path


def test_nothing_to_report(run, tmp_path):
    assert run() == (0, CLEAN, "")
    assert run("--quiet") == (0, "", "")
    assert run("--output-format", "json") == (0, "[]\n", CLEAN)
    assert run("--output-format", "json", "-q") == (0, "[]\n", "")
    assert run("--fix") == (0, CLEAN, "")
    assert run("--diff") == (0, "", "")


def test_findings_end_with_one(run, train):
    status, out, err = run("train.py")
    assert (status, err) == (1, "")
    assert out.startswith("train.py:2:1: CLP101 unclipped-step [high risk]\n")
    assert out.endswith("1 step seen: 0 clipped, 0 low-risk, 1 reported, 0 unknown\n")
    assert run("--exit-zero")[0] == 0


@pytest.mark.parametrize("arguments", [[], ["check"], ["."], ["check", "."], ["--", "."], ["--quiet", "."]])
def test_check_is_the_default_command(run, train, pipeline, arguments):
    assert run(*arguments)[0] == 1
    assert pipeline.calls[-1][0] == (Path(),)


def test_a_first_word_that_names_a_command_is_that_command(run, tmp_path, pipeline):
    (tmp_path / "rule").mkdir()
    (tmp_path / "rule" / "a.py").write_text(SOURCE)
    status, _, err = run("rule")
    assert (status, pipeline.calls) == (2, [])
    assert "name one rule" in err
    assert run("./rule")[0] == 1


def test_failures_end_with_two_whatever_else(run, train, pipeline):
    pipeline.failures = (Failure(str(train.parent / "b.py"), "cannot be parsed", 1, 3, "a b"),)
    for arguments in (["--exit-zero"], [], ["--fix"], ["--diff"]):
        train.write_text(SOURCE, "utf-8")
        status, _, err = run(*arguments)
        assert (status, err) == (2, "error: b.py:1:3: cannot be parsed\n  a b\n    ^\n")
    train.write_text("x = 1\n")
    assert run()[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["absent.py"], "absent.py: no such file or folder", id="path"),
        pytest.param(["--nonsense"], "No such option", id="option"),
        pytest.param(["--min-risk", "huge"], "one of none, low, medium, high", id="risk"),
        pytest.param(["--max-norm", "0"], "above 0", id="threshold"),
        pytest.param(["--max-norm", "many"], "not a valid float", id="number"),
        pytest.param(["--jobs", "0"], "from 1 up", id="jobs"),
        pytest.param(["--select", "E501"], "CLP101", id="code"),
        pytest.param(["--select", "CLP999"], "no rule has the code or prefix `CLP999`", id="unknown-code"),
        pytest.param(["--output-format", "xml"], "one of text, json", id="format"),
        pytest.param(["--config", "absent.toml"], "absent.toml: cannot be read", id="config"),
        pytest.param(["--explain", "train.py"], "FILE:LINE", id="explain"),
        pytest.param(["--explain", "train.py:0"], "FILE:LINE", id="explain-zero"),
        pytest.param(["--explain", "absent.py:3"], "no such file", id="explain-absent"),
        pytest.param(["--output-file", "no/such/folder.txt"], "cannot be written", id="output"),
        pytest.param(["--stdin-filename", "a.py", "."], "goes with the path `-`", id="stdin-name"),
        pytest.param(["-", "train.py"], "cannot be mixed", id="stdin-mixed"),
        pytest.param(["-", "--fix"], "need a file", id="stdin-fix"),
        pytest.param(["--output-file", "."], "it is a folder; name a file", id="output-folder"),
        pytest.param(["--shard", "3/2"], "`shard` must be a number and how many", id="shard"),
        pytest.param(["--shard", "half"], "`shard` must be a number and how many", id="shard-word"),
        pytest.param(["--add-ignores", "--fix"], "run --fix first", id="ignores-and-fix"),
        pytest.param(["--add-ignores", "--write-baseline", "b"], "take one", id="ignores-and-baseline"),
        pytest.param(["--diff", "--write-baseline", "b"], "--diff writes nothing", id="diff-and-baseline"),
        pytest.param(["-", "--add-ignores"], "need a file", id="stdin-ignores"),
        pytest.param(["-", "--write-baseline", "b"], "need a file", id="stdin-baseline"),
        pytest.param(["rule", "CLP999"], "no rule `CLP999`", id="rule"),
        pytest.param(["rule", "unclipped-stp"], "did you mean `unclipped-step`", id="rule-name"),
        pytest.param(["rule", "CLP101", "--all"], "name one rule", id="rule-and-all"),
    ],
)
def test_bad_usage_ends_with_two_and_names_what_is_wrong(run, train, arguments, words):
    status, _, err = run(*arguments)
    assert status == 2
    assert words in err, err


def test_a_wrong_configuration_is_no_traceback(run, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.clipcheck]\nmin-rsk = 'low'\n")
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "did you mean `min-risk`" in err


def test_options_reach_the_pipeline_and_silence_leaves_the_file_in_charge(run, tmp_path, pipeline):
    (tmp_path / "clipcheck.toml").write_text("min-risk = 'low'\nmax-norm = 0.25\nexit-zero = true\n")
    run("--max-norm", "2", "--select", "CLP1,CLP203", "--select", "CLP3", "--ignore", "CLP102", "--jobs", "3")
    settings = pipeline.calls[-1][1]
    assert (settings.min_risk, settings.max_norm, settings.exit_zero, settings.jobs) == ("low", 2.0, True, 3)
    assert (settings.select, settings.ignore) == (("CLP1", "CLP203", "CLP3"), ("CLP102",))


def test_json_goes_to_standard_output_alone(run, train):
    status, out, err = run("--output-format", "json", "--statistics")
    assert status == 1
    assert [item["code"] for item in json.loads(out)] == ["CLP101"]
    assert "1  CLP101  unclipped-step (1 with a fix)" in err
    assert "1 reported" in err


def test_an_output_file_gets_the_report_and_the_terminal_the_sight(run, train, tmp_path):
    status, out, err = run("--output-format", "json", "--output-file", "report.json")
    assert (status, out) == (1, "")
    assert "1 reported" in err
    assert len(json.loads((tmp_path / "report.json").read_text("utf-8"))) == 1


def test_diff_shows_and_writes_nothing(run, train):
    status, out, _ = run("--diff")
    assert status == 1
    assert "+clip()" in out
    assert train.read_text("utf-8") == SOURCE
    assert run("--diff", "--fix", "--exit-zero")[0] == 0
    assert train.read_text("utf-8") == SOURCE


def test_a_diff_of_unsafe_fixes_alone_has_nothing_to_write(run, train):
    train.write_text("maybe = 1\n" + SOURCE, "utf-8")
    assert run("--diff") == (0, "", "1 more fix with --unsafe-fixes\n")
    assert run("--diff", "--quiet") == (0, "", "")
    assert run("--diff", "--unsafe-fixes")[0] == 1


def test_fix_writes_and_a_second_fix_changes_nothing(run, train):
    status, out, _ = run("--fix", "--show-fixes")
    assert status == 0
    assert "fixed train.py:2: CLP101 unclipped-step: Clip the norm\n" in out
    assert "fixed 1 finding in 1 file\n" in out
    fixed = train.read_text("utf-8")
    assert fixed == "loss.backward()\nclip()\nopt.step()\n"
    assert run("--fix") == (0, CLEAN, "")
    assert train.read_text("utf-8") == fixed


def test_exit_non_zero_on_fix(run, train):
    assert run("--fix", "--exit-non-zero-on-fix")[0] == 1
    assert run("--fix", "--exit-non-zero-on-fix")[0] == 0


def test_what_cannot_be_fixed_remains(run, train):
    train.write_text("maybe = 1\n" + SOURCE, "utf-8")
    (train.parent / "b.py").write_text("maybe = 2\n" + SOURCE, "utf-8")
    status, out, err = run("--fix")
    assert (status, err) == (1, "2 more fixes with --unsafe-fixes\n")
    assert "2 findings (2 fixable with --fix --unsafe-fixes)" in out
    assert run("--fix", "--quiet")[2] == ""
    assert run("--fix", "--unsafe-fixes")[::2] == (0, "")


@pytest.mark.parametrize("arguments", [[], ["--fix"], ["--diff"], ["--output-format", "json"]])
def test_a_program_too_large_to_follow_is_named_and_is_no_failure(run, train, pipeline, arguments):
    train.write_text("x = 1\n", "utf-8")
    pipeline.unfinished = (f"{train}:main", str(train))
    status, out, err = run(*arguments)
    assert status == 0
    told = "too large to follow to its end; what was not reached is not judged\n"
    assert err.startswith(f"train.py:main: {told}train.py: {told}")
    assert "too large" not in out
    assert run(*arguments, "--quiet")[2] == ""


def test_show_files_lists_and_scans_nothing(run, train, tmp_path, pipeline):
    (tmp_path / "notes.txt").write_text("")
    assert run("--show-files") == (0, f"{train}\n", "")
    assert pipeline.calls == []


def test_explain(run, train):
    assert run("--explain", "train.py:2") == (0, "train.py row 2: clipped\\x1b[2J\n", "")


def test_standard_input_is_scanned_under_its_name(run, monkeypatch, pipeline, tmp_path):
    stdin = SimpleNamespace(buffer=io.BytesIO(SOURCE.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    status, out, _ = run("-", "--stdin-filename", "new.py")
    assert status == 1
    assert out.startswith("new.py:2:1: CLP101")
    assert "^^^^" in out
    assert pipeline.calls[-1][2] == {str(tmp_path / "new.py"): SOURCE}


def test_standard_input_that_is_no_text(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\xff\xfe")))
    status, _, err = run("-")
    assert status == 2
    assert "standard input cannot be decoded" in err


def test_a_fault_of_our_own_is_not_findings(capsys, monkeypatch, pipeline, tmp_path):
    monkeypatch.chdir(tmp_path)

    def broken(*_arguments, **_settings):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(sys.modules["clipcheck.pipeline"], "run", broken)
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert left.value.code == 2
    assert "fault in clipcheck" in capsys.readouterr().err


def test_an_interrupt_is_not_findings(run, monkeypatch):
    def interrupted(*_arguments, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["clipcheck.pipeline"], "run", interrupted)
    assert run()[0] == 130


def test_rule_explains_by_code_or_name(run):
    status, out, _ = run("rule", "clp101")
    assert status == 0
    assert out.startswith("# CLP101: unclipped-step\n")
    assert run("rule", "unclipped-step")[1] == out
    every = run("rule", "--all")[1]
    assert all(f"# {code}: " in every for code in catalog.codes())


def test_rule_in_json(run):
    told = json.loads(run("rule", "CLP101", "--output-format", "json")[1])
    assert (told["code"], told["name"]) == ("CLP101", "unclipped-step")
    assert set(told) == {"code", "name", "summary", "fix", "text"}
    every = json.loads(run("rule", "--all", "--output-format", "json")[1])
    assert [item["code"] for item in every] == list(catalog.codes())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# CLP102: a-name\n\nSummary.\n",
        "# CLP101 a-name\n\nSummary.\n",
        "# CLP101: a-name\n\n## The fix\n",
    ],
)
def test_a_page_without_title_or_summary_is_refused(text):
    with pytest.raises(catalog.PageError):
        catalog.parse_page(text, "CLP101")


def test_config_says_what_is_in_force_and_from_where(run, tmp_path):
    (tmp_path / "clipcheck.toml").write_text("min-risk = 'low'\n")
    status, out, _ = run("config")
    assert status == 0
    assert f'min-risk = "low"  # {tmp_path / "clipcheck.toml"}\n' in out
    assert "max-norm = 1.0  # default\n" in out
    assert "# baseline is not set\n" in out
    assert "# shard is not set\n" in out


def test_cache_clear(run, tmp_path):
    from clipcheck.cache import FactsCache
    from clipcheck.facts import ModuleFacts

    FactsCache(tmp_path / "c").put("ab", ModuleFacts((), frozenset()))
    assert run("cache", "clear", "--cache-dir", "c") == (0, f"removed 1 entry from {tmp_path / 'c'}\n", "")
    assert run("cache", "clear", "--cache-dir", "c") == (0, f"removed 0 entries from {tmp_path / 'c'}\n", "")


def test_verify_without_torch_says_what_to_install(run, monkeypatch):
    def absent(name, *_):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(cli, "import_module", absent)
    status, _, err = run("verify", "--", "python", "train.py")
    assert status == 2
    assert "needs torch: install it with `pip install 'clipcheck[verify]'`" in err


def test_verify_loads_its_command():
    command = importlib.import_module("clipcheck.verify.command")
    assert command.verify.name == "verify"


def test_help_and_version(run):
    assert run("--version") == (0, f"clipcheck {__version__}\n", "")
    status, out, _ = run("--help")
    assert status == 0
    assert all(word in out for word in ("check", "verify", "rule", "config", "cache"))
    status, out, _ = run("check", "--help")
    assert "--unsafe-fixes" in out


def test_every_option_of_this_version_is_a_setting_of_the_file(pipeline):
    """What the command line can say, the file can say: the contract's own words."""
    from clipcheck.config import SETTINGS

    options = {name for item in checking.check.params for name in (item.name,) if item.name is not None}
    assert options - set(SETTINGS) == {"paths", "explain", "config_file"}


@pytest.mark.parametrize("name", ["cache", "check", "config", "rule"])
def test_the_line_of_help_is_the_commands_own(name):
    """It stands beside the name of the module, so that --help imports no command."""
    command = cli.clipcheck.get_command(click.Context(cli.clipcheck), name)
    assert cli._COMMANDS[name][2] == command.help


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """The modules that this command loads, which has to end well."""
    code = (
        f"import atexit, sys\nsys.argv[1:] = {arguments!r}\nbefore = {{*sys.modules}}\n"
        "atexit.register(lambda: print(*{*sys.modules} - before))\n"
        "from clipcheck.__main__ import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_version_loads_nothing_but_what_says_it(tmp_path):
    assert {name.partition(".")[0] for name in loaded(["--version"], tmp_path)} <= {"clipcheck", "__future__"}


# What a scan needs in some projects alone.
SELDOM = {
    "concurrent.futures",
    "dataclasses",
    "hashlib",
    "importlib.resources",
    "multiprocessing",
    "pickle",
    "tempfile",
    "tomllib",
    "tomli",
    "yaml",
}


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        ("import os\n", False),
        ("def train(model, optimizer):\n    model().backward()\n    optimizer.zero_grad()\n", False),
        ("from torch.nn.utils import clip_grad_norm_\n", False),
        ("def train(optimizer):\n    optimizer.step()\n", True),
    ],
)
def test_a_small_scan_loads_what_it_needs(text, follows, tmp_path):
    (tmp_path / "a.py").write_text(text, encoding="utf-8")
    names = loaded(["--no-cache", "a.py"], tmp_path)
    assert "clipcheck.pipeline" in names
    assert ("clipcheck.flow.interpreter" in names) is follows
    # Where nothing is built, as in a checkout, the knowledge is read from TOML.
    assert not names & (SELDOM - {"tomllib", "tomli"})


@pytest.mark.parametrize("arguments", [["--version"], ["config"], ["--show-files", "."]])
def test_a_quick_question_loads_nothing_heavy(arguments, tmp_path):
    assert not loaded(arguments, tmp_path) & {"torch", "rich", "libcst", "numpy", "tomllib"}


def test_a_closed_pipe_is_no_traceback(tmp_path):
    code = "from clipcheck.cli import main; main(['rule', '--all'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


ENDS = """
import atexit, sys, threading, time
from clipcheck.__main__ import main
atexit.register(print, "what was registered")
sys.argv = ["clipcheck", "--no-cache", "a.py"]
{before}
try:
    main()
except SystemExit as end:
    print("taken apart", end.code)
"""


@pytest.mark.parametrize(
    ("before", "apart"),
    [
        ("", False),
        ("sys.setprofile(lambda *_: None)", True),
        ("sys.settrace(lambda *_: None)", True),
        ("threading.Thread(target=time.sleep, args=(3,), daemon=True).start()", True),
    ],
)
def test_the_process_ends_at_once_unless_somebody_watches_it_or_waits_in_it(before, apart, tmp_path):
    (tmp_path / "clipcheck.toml").touch()
    (tmp_path / "a.py").write_text("optimizer.step(\n")
    code = ENDS.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60
    )
    assert "a.py:1" in done.stderr
    assert done.stdout.count("what was registered") == 1
    assert done.stdout.count("taken apart 2") == apart
    assert done.returncode == (0 if apart else 2)


@pytest.mark.parametrize(
    ("words", "status"),
    [(["a.py"], 1), (["--diff", "a.py"], 1), (["config"], 0), (["--output-format", "jsonl", "a.py"], 1)],
)
def test_without_a_standard_output_the_status_still_counts(words, status, tmp_path):
    (tmp_path / "clipcheck.toml").touch()
    (tmp_path / "a.py").write_text(
        "import torch\nm = torch.nn.LSTM(1, 1)\no = torch.optim.SGD(m.parameters())\nm().backward()\no.step()\n"
    )
    code = "import os, runpy, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'clipcheck', *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, check=False, cwd=tmp_path, timeout=60
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (status, False)


def test_the_module_runs_as_a_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "clipcheck", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"clipcheck {__version__}\n"


def test_the_function_of_the_package_takes_the_same_names(pipeline, train):
    import clipcheck

    report = clipcheck.check([train], min_risk="low", select=["CLP1"])
    assert len(report.findings) == 1
    assert pipeline.calls[-1][1].min_risk == "low"
    assert replace(report, findings=()).findings == ()


def test_the_package_fixes_by_a_function(tmp_path):
    import fixturelib

    import clipcheck

    root = fixturelib.copy(fixturelib.FOLDER / "char-lstm" / "before", tmp_path / "project")
    outcome = clipcheck.fix([root], no_cache=True, jobs=1)
    assert [finding.code for finding in outcome.fixed] == ["CLP203", "CLP101"]
    assert fixturelib.tree(root) == fixturelib.tree(fixturelib.FOLDER / "char-lstm" / "after")


def test_what_config_shows_can_be_put_into_a_file(run, tmp_path):
    base = tmp_path / "base.toml"
    base.write_text('extend-exclude = ["a"]\nmin-risk = "low"\n')
    file = tmp_path / "clipcheck.toml"
    file.write_text(
        'extend = "base.toml"\nextend-exclude = ["\u00fc\\u001b"]\nmax-norm = 2\n'
        "per-file-ignores = {'l\"ab/**' = ['CLP1', 'CLP203']}\nrules = ['.']\n", "utf-8"
    )  # fmt: skip
    before = config.load(tmp_path)
    status, out, _ = run("config")
    assert status == 0
    assert "\x1b" not in out
    shown = {line.partition(" = ")[0]: line for line in out.splitlines()}
    assert shown["max-norm"] == f"max-norm = 2.0  # {file}"
    assert shown["min-risk"] == f'min-risk = "low"  # {base}'
    assert shown["extend-exclude"].endswith(f"  # {base}, {file}")
    assert "# verify is not set" in out
    kept = (line for name, line in shown.items() if name != "extend")
    base.unlink()
    file.write_text("\n".join(kept), "utf-8")
    assert config.load(tmp_path) == replace(before, extend=None)


@pytest.mark.parametrize("key", ["select", "ignore"])
def test_a_code_that_no_rule_has_is_named_with_its_file_and_key(run, tmp_path, key):
    file = tmp_path / "clipcheck.toml"
    file.write_text(f'{key} = ["CLP1", "CLP999"]\n')
    for arguments in ([], ["config"]):
        status, _, err = run(*arguments)
        assert status == 2
        assert f"{file}: `{key}`: no rule has the code or prefix `CLP999`; did you mean `CLP901`?" in err


@pytest.mark.parametrize(("word", "near"), [("chek", "check"), ("confg", "config"), ("sever", "server")])
def test_a_word_that_is_nearly_a_command(run, tmp_path, word, near):
    status, _, err = run(word)
    assert (status, err) == (
        2,
        f"error: {word}: no such file or folder; did you mean the command `{near}`?\n",
    )
    (tmp_path / word).mkdir()
    assert run(word)[0] == 0


def test_what_a_settings_file_says_is_no_command_to_the_terminal(run, tmp_path):
    (tmp_path / "clipcheck.toml").write_text('"\\u001b[2J" = 1\n')
    status, _, err = run()
    assert status == 2
    assert "\x1b" not in err
    assert "unknown setting `\\x1b[2J`" in err
