"""An editor for tests: the real `clipcheck server` at the other end of a pipe, and buffers that take its edits."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.client import BaseLanguageClient

T = TypeVar("T")
PATIENCE = 60  # seconds until a server that does not answer fails the test
_BYTES = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
_CODEC = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
FULL = types.ClientCapabilities(
    workspace=types.WorkspaceClientCapabilities(
        workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True),
        did_change_watched_files=types.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True),
    ),
    text_document=types.TextDocumentClientCapabilities(
        hover=types.HoverClientCapabilities(content_format=[types.MarkupKind.Markdown]),
        publish_diagnostics=types.PublishDiagnosticsClientCapabilities(
            related_information=True,
            tag_support=types.ClientDiagnosticsTagOptions([*types.DiagnosticTag]),
        ),
        code_action=types.CodeActionClientCapabilities(
            resolve_support=types.ClientCodeActionResolveOptions(["edit"])
        ),
    ),
    notebook_document=types.NotebookDocumentClientCapabilities(
        types.NotebookDocumentSyncClientCapabilities()
    ),
)


class Editor:
    """One editor with one server. Everything waits for what it asks for; nothing waits for time to pass."""

    def __init__(self, folder: Path, capabilities: types.ClientCapabilities = FULL) -> None:
        self.folder = folder
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.messages: list[str] = []
        self.registered: list[str] = []
        self.errors: list[Exception] = []
        self._published: dict[str, types.PublishDiagnosticsParams] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self.client = _client(self)
        self._run(self.client.start_io(sys.executable, "-m", "clipcheck", "server", cwd=folder))
        answer = self._run(
            self.client.initialize_async(
                types.InitializeParams(
                    capabilities=capabilities,
                    root_uri=folder.as_uri(),
                    workspace_folders=[types.WorkspaceFolder(folder.as_uri(), folder.name)],
                )
            )
        )
        self.server = answer.capabilities
        self.encoding = str(getattr(self.server.position_encoding, "value", self.server.position_encoding))
        self._codec = _CODEC[self.encoding]
        self.client.initialized(types.InitializedParams())

    def _run(self, awaited: Awaitable[T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(awaited, PATIENCE))

    def uri(self, name: str) -> str:
        return name if ":" in name else (self.folder / name).as_uri()

    # -- buffers

    def open(self, name: str, text: str | None = None, language: str = "python") -> str:
        uri = self.uri(name)
        if text is None:
            text = (self.folder / name).read_bytes().decode()
        self.texts[uri], self.versions[uri] = text, 1
        item = types.TextDocumentItem(uri, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def type(self, uri: str, old: str, new: str) -> None:
        """Replace what stands once in a buffer, as an incremental change."""
        text = self.texts[uri]
        assert text.count(old) == 1
        start = text.index(old)
        where = types.Range(self.position(text, start), self.position(text, start + len(old)))
        self.edit(uri, [types.TextEdit(where, new)])

    def edit(self, uri: str, edits: Sequence[types.TextEdit]) -> None:
        """Apply edits to a buffer, last first, and tell the server."""
        text, changes = self.texts[uri], []
        for edit in sorted(edits, key=lambda one: self.offset(text, one.range.start), reverse=True):
            start, end = (self.offset(text, place) for place in (edit.range.start, edit.range.end))
            text = text[:start] + edit.new_text + text[end:]
            changes.append(types.TextDocumentContentChangePartial(edit.range, edit.new_text))
        self.texts[uri] = text
        self.versions[uri] += 1
        identifier = types.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, changes))

    def apply(self, edit: types.WorkspaceEdit) -> None:
        for change in edit.document_changes or ():
            assert change.text_document.version == self.versions[change.text_document.uri]
            self.edit(change.text_document.uri, change.edits)
        for uri, edits in (edit.changes or {}).items():
            self.edit(uri, edits)

    def save(self, uri: str) -> None:
        Path(self.folder / uri.rpartition("/")[2]).write_bytes(self.texts[uri].encode())
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))

    def close(self, uri: str) -> None:
        del self.texts[uri], self.versions[uri]
        self._published.pop(uri, None)
        self.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )

    # -- positions, counted here by encoding the row

    def offset(self, text: str, place: types.Position) -> int:
        starts = [0, *(end.end() for end in re.finditer("\r\n|\n|\r", text))]
        if place.line >= len(starts):
            return len(text)
        row = re.split("[\r\n]", text[starts[place.line] :], maxsplit=1)[0].encode(
            self._codec, "surrogatepass"
        )
        left = row[: place.character * _BYTES[self.encoding]]
        return starts[place.line] + len(left.decode(self._codec, "surrogatepass"))

    def position(self, text: str, offset: int) -> types.Position:
        before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        row = before.rpartition("\n")[2].encode(self._codec, "surrogatepass")
        return types.Position(before.count("\n"), len(row) // _BYTES[self.encoding])

    def words(self, uri: str, where: types.Range) -> str:
        """What a range of a buffer holds."""
        text = self.texts[uri]
        return text[self.offset(text, where.start) : self.offset(text, where.end)]

    # -- what the server says

    def diagnostics(self, uri: str) -> list[types.Diagnostic]:
        """The diagnostics of a buffer as it is now (closed: those that clear it)."""
        version = self.versions.get(uri)

        async def wait() -> list[types.Diagnostic]:
            while uri not in self._published or self._published[uri].version != version:
                self._changed.clear()
                await self._changed.wait()
            return list(self._published[uri].diagnostics)

        return self._run(wait())

    def again(self, uri: str) -> list[types.Diagnostic]:
        """The next diagnostics of a buffer that has not changed."""
        del self._published[uri]
        return self.diagnostics(uri)

    def message(self) -> str:
        async def wait() -> str:
            while not self.messages:
                self._changed.clear()
                await self._changed.wait()
            return self.messages.pop(0)

        return self._run(wait())

    def codes(self, uri: str) -> list[str]:
        return [str(one.code) for one in self.diagnostics(uri)]

    def actions(
        self, uri: str, where: types.Range | None = None, only: list[str] | None = None
    ) -> list[types.CodeAction]:
        whole = types.Range(types.Position(0, 0), types.Position(10**6, 0))
        params = types.CodeActionParams(
            types.TextDocumentIdentifier(uri), where or whole, types.CodeActionContext([], only)
        )
        return list(self._run(self.client.text_document_code_action_async(params)) or ())

    def resolve(self, action: types.CodeAction) -> types.CodeAction:
        return self._run(self.client.code_action_resolve_async(action))

    def hover(self, uri: str, place: types.Position) -> types.Hover | None:
        params = types.HoverParams(types.TextDocumentIdentifier(uri), place)
        return self._run(self.client.text_document_hover_async(params))

    def changed_on_disk(self, name: str) -> None:
        event = types.FileEvent(self.uri(name), types.FileChangeType.Changed)
        self.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))

    def notify(self, method: str, params: Any) -> None:
        getattr(self.client, method)(params)

    def leave(self) -> int:
        """Shut the server down, and return its exit status once it has ended."""
        self._run(self.client.shutdown_async(None))
        self.client.exit(None)
        return self.ended()

    def ended(self) -> int:
        process = self.client._server
        status = self._run(process.wait())
        self._run(self.client.stop())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        process._transport.close()
        self._loop.close()
        return status

    def heard(self) -> None:
        self._changed.set()


def _client(editor: Editor) -> BaseLanguageClient:
    class Client(BaseLanguageClient):
        def report_server_error(self, error, source):
            editor.errors.append(error)

    client = Client("editor", "1")

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def published(params: types.PublishDiagnosticsParams) -> None:
        editor._published[params.uri] = params
        editor.heard()

    @client.feature(types.WINDOW_SHOW_MESSAGE)
    def told(params: types.ShowMessageParams) -> None:
        editor.messages.append(params.message)
        editor.heard()

    @client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def register(params: types.RegistrationParams) -> None:
        editor.registered += [one.method for one in params.registrations]
        editor.heard()

    return client
