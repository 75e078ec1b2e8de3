"""The language server, as an editor meets it: `clipcheck server` over standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("pygls")

from editing import FULL, Editor
from lsprotocol import types

HEAD = "import torch\nfrom torch import nn\n"
MODEL = "model = nn.LSTM(4, 8)\noptimizer = torch.optim.Adam(model.parameters())\n"
LOOP = (
    "for batch in range(9):\n    optimizer.zero_grad()\n    model(torch.randn(5, 1, 4))[0].sum().backward()\n"
)
STEP = "    optimizer.step()\n"
CLIP = "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
BAD, GOOD = HEAD + MODEL + LOOP + STEP, HEAD + MODEL + LOOP + CLIP + STEP
QUICK = types.CodeActionKind.QuickFix
LEAST = types.ClientCapabilities()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts editors in an empty folder, and ends them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    editors = []

    def begin(capabilities: types.ClientCapabilities = FULL) -> Editor:
        editors.append(Editor(folder, capabilities))
        return editors[-1]

    yield begin
    for editor in editors:
        if not editor.client.stopped:
            assert editor.leave() == 0
        assert editor.errors == [], "something else than the protocol on standard output"


@pytest.fixture
def editor(start):
    return start()


def write(editor: Editor, **files: str) -> None:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (editor.folder / f"{stem}.{suffix}").write_text(text, "utf-8", newline="")


# -- silent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "language", "text"),
    [
        pytest.param("a.py", "python", GOOD, id="clipped"),
        pytest.param("a.py", "python", "", id="empty"),
        pytest.param("a.py", "python", BAD + "# clipcheck: ignore-file\n", id="ignored"),
        pytest.param("build/a.py", "python", BAD, id="excluded"),
    ],
)
def test_nothing_to_show(editor, name, language, text):
    assert editor.diagnostics(editor.open(name, text, language)) == []
    assert editor.actions(editor.uri(name)) == []


def test_other_languages_and_other_schemes_are_not_scanned(editor):
    for name, language in (("a.yaml", "yaml"), ("n.ipynb", "json"), ("git:/a.py?x", "python")):
        editor.open(name, BAD, language)
    last = editor.open("last.py", "")
    assert editor.diagnostics(last) == []
    assert set(editor._published) == {last}, "scanned in the order in which they were opened, and not shown"
    assert editor.hover(editor.uri("a.yaml"), types.Position(0, 0)) is None
    assert editor.actions(editor.uri("n.ipynb")) == []


# -- shown -------------------------------------------------------------------------------------------


def test_a_finding_is_fixed_where_it_is_shown(editor):
    write(editor, train_py=BAD)
    uri = editor.open("train.py")
    (shown,) = editor.diagnostics(uri)
    assert (shown.code, shown.source, shown.severity) == (
        "CLP101",
        "clipcheck",
        types.DiagnosticSeverity.Error,
    )
    assert editor.words(uri, shown.range) == "optimizer.step()"
    assert shown.message == (
        "`optimizer.step()` uses gradients that nothing has clipped; it trains an LSTM [high risk]"
    )
    fix = next(one for one in editor.actions(uri, shown.range) if one.is_preferred)
    assert (fix.kind, *fix.diagnostics) == (QUICK, shown)
    assert fix.title == "CLP101: clip the gradient norm at 1.0 before `optimizer.step`"
    editor.apply(fix.edit)
    assert editor.texts[uri] == GOOD
    assert editor.diagnostics(uri) == []
    assert (editor.folder / "train.py").read_text() == BAD, "the file is the editor's to save"


def test_the_evidence_leads_to_the_places(editor):
    write(editor, models_py=HEAD + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
          "        self.rnn = nn.LSTM(4, 8)\n    def forward(self, x):\n        return self.rnn(x)[0]\n")  # fmt: skip
    body = HEAD + "from models import Net\nmodel = Net()\noptimizer = torch.optim.Adam(model.parameters())\n"
    uri = editor.open("train.py", body + LOOP.replace("[0]", "") + STEP)
    (shown,) = editor.diagnostics(uri)
    places = {
        (item.location.uri, item.location.range.start.line): item.message
        for item in shown.related_information
    }
    assert places[editor.uri("models.py"), 5] == "LSTM made here"
    own = next(item for item in shown.related_information if "Adam" in item.message).location
    assert (own.uri, editor.words(uri, own.range)) == (
        uri,
        "optimizer = torch.optim.Adam(model.parameters())",
    )


def test_unsaved_text_counts_of_every_file(editor):
    """Neither the model nor the loop is on disk as it is in the editor."""
    write(editor, models_py="", train_py="")
    body = HEAD + "from models import model\noptimizer = torch.optim.Adam(model.parameters())\n"
    train = editor.open("train.py", body + LOOP.replace("[0]", "") + STEP)
    assert editor.diagnostics(train) == []
    models = editor.open("models.py", HEAD + "model = nn.LSTM(4, 8)\n")
    assert editor.diagnostics(models) == []
    assert [one.severity for one in editor.again(train)] == [types.DiagnosticSeverity.Error]
    editor.type(models, "nn.LSTM(4, 8)", "nn.Linear(4, 8)")
    assert editor.diagnostics(models) == []
    assert editor.again(train) == []


def test_changes_are_followed_as_they_are_typed(editor):
    uri = editor.open("new.py", GOOD)
    assert editor.diagnostics(uri) == []
    editor.type(uri, CLIP, "")
    assert editor.codes(uri) == ["CLP101"]
    editor.type(uri, "nn.LSTM(4, 8)", "nn.LSTM(4,")
    (shown,) = editor.diagnostics(uri)
    assert "cannot be parsed" in shown.message
    editor.type(uri, "nn.LSTM(4,", "nn.LSTM(4, 8)")
    editor.type(uri, STEP, CLIP + STEP)
    assert editor.diagnostics(uri) == []


def test_closing_clears(editor):
    uri = editor.open("new.py", BAD)
    assert editor.codes(uri) == ["CLP101"]
    editor.close(uri)
    assert editor.diagnostics(uri) == []


def test_a_text_without_a_file_is_scanned(editor):
    uri = editor.open("untitled:Untitled-1", BAD)
    assert editor.codes(uri) == ["CLP101"]


@pytest.mark.parametrize("encodings", [None, ["utf-16"], ["utf-8", "utf-16"], ["utf-32"]])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_positions_count_as_the_editor_counts(start, encodings, end):
    """Astral letters before the finding, in its row and above; rows that only Python's splitlines would end."""
    general = types.GeneralClientCapabilities(position_encodings=encodings) if encodings else None
    editor = start(types.ClientCapabilities(general=general))
    assert editor.encoding == (encodings or ["utf-16"])[0]
    step = "    name = '𝒳é😀'; optimizer.step()  # 😀\n"
    text = f"# 𝒳\f\u2028\x0b\n{HEAD}\f\n{MODEL}{LOOP}{step}".replace("\n", end)
    uri = editor.open("a.py", text)
    (shown,) = editor.diagnostics(uri)
    assert editor.words(uri, shown.range) == "optimizer.step()"
    editor.type(uri, "é😀'", "😀😀é'")
    (shown,) = editor.diagnostics(uri)
    assert editor.words(uri, shown.range) == "optimizer.step()"
    before = editor.texts[uri]
    editor.apply(editor.actions(uri)[0].edit)
    assert editor.diagnostics(uri) == []
    assert editor.texts[uri] == before.replace("optimizer.step()", f"{CLIP.strip()}; optimizer.step()")


def test_hover_explains_the_rule(editor):
    uri = editor.open("a.py", BAD)
    (shown,) = editor.diagnostics(uri)
    told = editor.hover(uri, shown.range.start)
    assert told.contents.kind == types.MarkupKind.Markdown
    assert told.contents.value.startswith("# CLP101: unclipped-step")
    assert "## Why it matters" in told.contents.value
    assert told.range == shown.range
    assert editor.hover(uri, types.Position(0, 0)) is None


def test_an_editor_that_can_little_is_told_less(start):
    editor = start(LEAST)
    uri = editor.open("a.py", BAD)
    (shown,) = editor.diagnostics(uri)
    assert (shown.related_information, shown.tags) == (None, None)
    assert editor.hover(uri, shown.range.start).contents.kind == types.MarkupKind.PlainText
    fix = editor.actions(uri)[0]
    assert (fix.edit.document_changes, list(fix.edit.changes)) == (None, [uri])
    editor.apply(fix.edit)
    assert editor.diagnostics(uri) == []
    assert editor.registered == []


# -- what can be done --------------------------------------------------------------------------------


def test_a_finding_can_be_ignored(editor):
    uri = editor.open("a.py", BAD)
    silence = next(one for one in editor.actions(uri) if "ignore" in one.title)
    assert (silence.title, silence.kind) == ("CLP101: ignore this finding", QUICK)
    editor.apply(silence.edit)
    assert editor.texts[uri] == BAD.replace("step()\n", "step()  # clipcheck: ignore[CLP101]\n")
    assert editor.diagnostics(uri) == []


def test_a_comment_that_silences_nothing_is_faded_and_can_go(editor):
    uri = editor.open("a.py", GOOD.replace("step()", "step()  # clipcheck: ignore[CLP101]"))
    (shown,) = editor.diagnostics(uri)
    assert (shown.code, *shown.tags) == ("CLP901", types.DiagnosticTag.Unnecessary)
    (fix,) = editor.actions(uri, only=[QUICK])
    editor.apply(fix.edit)
    assert editor.texts[uri] == GOOD


def test_an_unsafe_fix_says_so(editor):
    text = BAD.replace("optimizer = torch.optim.Adam", "optimizer = torch.optim.LBFGS").replace(
        "    optimizer.zero_grad()\n    model(torch.randn(5, 1, 4))[0].sum().backward()\n    optimizer.step()\n",
        "    def closure():\n        optimizer.zero_grad()\n        loss = model(torch.randn(5, 1, 4))[0].sum()\n"
        "        loss.backward()\n        return loss\n    optimizer.step(closure)\n",
    )
    uri = editor.open("a.py", text)
    fix = editor.actions(uri, only=[QUICK])[0]
    assert fix.title.endswith(" (unsafe)")
    assert not fix.is_preferred
    assert editor.actions(uri, only=["source"]) == []
    editor.apply(fix.edit)
    assert editor.diagnostics(uri) == []


def test_no_fix_is_offered_in_a_text_that_libcst_cannot_follow(editor):
    deep = editor.open("a.py", BAD + "x = a" + "()" * 300 + "\n")
    assert [one.code for one in editor.diagnostics(deep)] == ["CLP101"]
    titles = [one.title for one in editor.actions(deep)]
    assert titles == ["CLP101: ignore this finding"]


def test_all_safe_fixes_at_once(editor):
    second = (
        "for batch in range(3):\n    model(torch.randn(5, 1, 4))[0].sum().backward()\n    optimizer.step()\n"
    )
    uri = editor.open("a.py", BAD + second)
    assert editor.codes(uri) == ["CLP101", "CLP101"]
    kinds = {one.kind for one in editor.actions(uri)}
    assert kinds == {QUICK, "source.fixAll.clipcheck"}
    for only in (["source"], ["source.fixAll"], ["source.fixAll.clipcheck"]):
        (action,) = editor.actions(uri, only=only)
        assert (action.kind, action.edit) == ("source.fixAll.clipcheck", None)
    editor.apply(editor.resolve(action).edit)
    assert editor.texts[uri].count("clip_grad_norm_(model.parameters(), max_norm=1.0)") == 2
    assert editor.diagnostics(uri) == []
    assert editor.actions(uri, only=["source.fixAll"]) == []


def test_all_safe_fixes_without_resolving(start):
    editor = start(LEAST)
    uri = editor.open("a.py", BAD)
    assert {one.kind for one in editor.actions(uri)} == {QUICK}
    (action,) = editor.actions(uri, only=["source.fixAll"])
    editor.apply(action.edit)
    assert editor.texts[uri] == GOOD


def test_an_action_is_for_the_text_as_it_is_now(editor):
    """No wait between the change and the question: an answer about the old text would be applied to the new one."""
    uri = editor.open("a.py", BAD)
    assert editor.codes(uri) == ["CLP101"]
    editor.type(uri, "import torch\n", "import torch\n\n\n\n")
    fix = editor.actions(uri)[0]
    editor.apply(fix.edit)
    assert editor.texts[uri] == GOOD.replace("import torch\n", "import torch\n\n\n\n")


# -- notebooks ---------------------------------------------------------------------------------------


def test_a_notebook_is_one_program_shown_by_cell(editor):
    sources = {"head": "%matplotlib inline\n" + HEAD + MODEL, "😀": "!ls\n" + LOOP + STEP.rstrip("\n")}
    cells = [types.NotebookCell(types.NotebookCellKind.Markup, editor.uri("n.ipynb") + "#text")]
    texts = []
    for name, source in sources.items():
        uri = f"vscode-notebook-cell:/n.ipynb#{name}"
        cells.append(types.NotebookCell(types.NotebookCellKind.Code, uri))
        texts.append(types.TextDocumentItem(uri, "python", 1, source))
        editor.texts[uri], editor.versions[uri] = source, 1
    book = types.NotebookDocument(editor.uri("n.ipynb"), "jupyter-notebook", 1, cells)
    editor.notify("notebook_document_did_open", types.DidOpenNotebookDocumentParams(book, texts))
    head, loop = (text.uri for text in texts)
    assert editor.diagnostics(head) == []
    (shown,) = editor.diagnostics(loop)
    assert editor.words(loop, shown.range) == "optimizer.step()"
    assert any(item.location.uri == head for item in shown.related_information)
    assert editor.hover(loop, shown.range.start).contents.value.startswith("# CLP101")
    fix, silence, every = editor.actions(loop)
    assert "ignore" in silence.title
    resolved = editor.resolve(every).edit.document_changes
    (change,) = fix.edit.document_changes
    assert [one.text_document for one in resolved] == [change.text_document]

    changed = types.NotebookDocumentCellContentChanges(
        types.VersionedTextDocumentIdentifier(2, loop),
        [types.TextDocumentContentChangePartial(edit.range, edit.new_text) for edit in change.edits],
    )
    editor.versions[loop] = 2
    editor.notify(
        "notebook_document_did_change",
        types.DidChangeNotebookDocumentParams(
            types.VersionedNotebookDocumentIdentifier(2, book.uri),
            types.NotebookDocumentChangeEvent(
                cells=types.NotebookDocumentCellChanges(text_content=[changed])
            ),
        ),
    )
    assert editor.diagnostics(loop) == []
    editor.notify(
        "notebook_document_did_close",
        types.DidCloseNotebookDocumentParams(
            types.NotebookDocumentIdentifier(book.uri),
            [types.TextDocumentIdentifier(one.uri) for one in texts],
        ),
    )
    editor.versions[loop] = None
    assert editor.diagnostics(loop) == []


# -- what goes wrong ---------------------------------------------------------------------------------


def test_a_wrong_configuration_is_told_and_mended(editor):
    write(editor, pyproject_toml='[tool.clipcheck]\nmin-rsk = "low"\n')
    uri = editor.open("a.py", BAD)
    told = editor.message()
    assert "pyproject.toml: unknown setting `min-rsk`; did you mean `min-risk`?" in told
    assert editor.diagnostics(uri) == []
    editor.type(uri, "range(9)", "range(8)")
    assert editor.diagnostics(uri) == []
    assert editor.messages == [], "told once"
    write(editor, pyproject_toml="[tool.clipcheck]\n")
    assert editor.registered == ["workspace/didChangeWatchedFiles"]
    editor.changed_on_disk("pyproject.toml")
    assert [one.code for one in editor.again(uri)] == ["CLP101"]
    write(editor, pyproject_toml='[tool.clipcheck]\nselect = ["CLP999"]\n')
    editor.save(uri)
    assert "no rule has the code or prefix `CLP999`" in editor.message()


def test_standard_output_carries_the_protocol_alone(tmp_path):
    """Whatever is printed by accident goes to standard error."""
    program = (
        "import sys\nfrom clipcheck.server import language\n"
        "language.Server.start_io = lambda self, stdin, stdout: (print('stray'), stdout.write(b'protocol'), stdout.flush())\n"
        "from clipcheck import cli\ncli.main(['server'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.stdout, done.stderr.split()) == (b"protocol", [b"stray"])


def test_the_server_ends_with_the_editor(start):
    editor = start()
    editor.open("a.py", BAD)
    assert editor.leave() == 0
    silent = start()
    silent.client._server.stdin.close()  # the editor died
    assert silent.ended() == 0


def test_without_the_extra_it_says_what_to_install(tmp_path):
    program = (
        "import sys\nsys.modules['pygls'] = None\nsys.modules['lsprotocol'] = None\n"
        "from clipcheck import cli\ncli.main(['server'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "pip install 'clipcheck[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_the_server_is_loaded_by_a_scan(tmp_path):
    program = (
        "import sys\nfrom clipcheck import cli\ntry:\n    cli.main(['.'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'pygls', 'lsprotocol', 'asyncio'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=tmp_path
    )
    assert json.loads(done.stdout.splitlines()[-1].replace("'", '"')) == []
