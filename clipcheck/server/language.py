"""The server itself: what it answers, when it scans, and what it shows."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from clipcheck.config import UserError
from clipcheck.server import actions, present, scans
from clipcheck.server.documents import PYTHON, Document, OpenTexts, Places, open_documents, overlay
from clipcheck.server.present import Abilities
from clipcheck.server.scans import Outcome
from clipcheck.version import __version__

DEBOUNCE = 0.3  # seconds without a change before the text is scanned
_NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[
        types.NotebookDocumentFilterWithNotebook(
            notebook="jupyter-notebook", cells=[types.NotebookCellLanguage(PYTHON)]
        )
    ],
    save=True,
)
_WATCHED = ("**/*.py", "**/*.pyw", "**/pyproject.toml", "**/clipcheck.toml")


class Server(LanguageServer):
    """A language server for one editor. Scans run one at a time, in a thread of their own."""

    def __init__(self) -> None:
        super().__init__("clipcheck", __version__, notebook_document_sync=_NOTEBOOKS)
        self._scanner = ThreadPoolExecutor(1, thread_name_prefix="scan")
        self._round: asyncio.Task[None] | None = None
        self._abilities = Abilities()
        self._outcomes: dict[str, Outcome] = {}  # of each document, by the editor's name for it
        self._published: dict[str, set[str]] = {}  # which parts of it have been shown with diagnostics
        self._register()

    # -- what is open ----------------------------------------------------------------------------------

    def _documents(self) -> dict[str, Document]:
        return open_documents(self.workspace)

    def _places(self) -> Places:
        return Places(self.workspace.position_codec, self._documents().values())

    def _of(self, uri: str) -> Document | None:
        """The document that a text belongs to: a file is its own, a cell is of its notebook."""
        for document in self._documents().values():
            if any(part.uri == uri for part in document.parts.values()):
                return document
        return None

    # -- scanning --------------------------------------------------------------------------------------

    def scan_soon(self, first: str, delay: float = 0.0) -> None:
        """Scan everything that is open, `first` before the rest: what is known of one file may hang on another."""
        if self._round is not None:
            self._round.cancel()
        self._round = asyncio.get_running_loop().create_task(self._scan_all(first, delay))

    async def _scan_all(self, first: str, delay: float) -> None:
        await asyncio.sleep(delay)
        for uri in sorted(self._documents(), key=lambda uri: (uri != first, uri)):
            document = self._documents().get(uri)  # it may have been closed meanwhile
            if document is not None and document.python:
                await self._scan(document)

    async def _scan(self, document: Document) -> Outcome:
        """Scan a document as it is now, and show what is found."""
        texts = overlay(self._documents().values())
        outcome = await asyncio.get_running_loop().run_in_executor(self._scanner, scans.scan, document, texts)
        if self._documents().get(document.uri) == document:
            self._show(outcome)
        return outcome

    async def _outcome_now(self, document: Document) -> Outcome:
        """What a scan says of a document as it is now: the last one, unless the text has changed since."""
        known = self._outcomes.get(document.uri)
        return known if known is not None and known.document == document else await self._scan(document)

    def _show(self, outcome: Outcome) -> None:
        document = outcome.document
        before = self._outcomes.get(document.uri)
        self._outcomes[document.uri] = outcome
        if outcome.trouble and (before is None or before.trouble != outcome.trouble):
            self._tell(outcome.trouble)
        versions = {part.uri: part.version for part in document.parts.values()}
        found = present.diagnostics(outcome, self._places(), self._abilities)
        for gone in self._published.get(document.uri, set()) - set(found):
            self._publish(gone, [], None)
        self._published[document.uri] = set(found)
        for uri, shown in found.items():
            self._publish(uri, shown, versions[uri])

    def _publish(self, uri: str, shown: list[types.Diagnostic], version: int | None) -> None:
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, shown, version))

    def _tell(self, words: str) -> None:
        self.window_show_message(types.ShowMessageParams(types.MessageType.Error, f"clipcheck: {words}"))

    def forget(self, uri: str) -> None:
        """Clear what is shown of a document that was closed; the others may now see the file on disk."""
        self._outcomes.pop(uri, None)
        for part in self._published.pop(uri, set()):
            self._publish(part, [], None)
        self.scan_soon("")

    # -- answers ---------------------------------------------------------------------------------------

    async def hover(self, params: types.HoverParams) -> types.Hover | None:
        uri = params.text_document.uri
        document = self._of(uri)
        if document is None or not document.python:
            return None
        outcome = await self._outcome_now(document)
        return present.hover(outcome, uri, params.position, self._places(), self._abilities)

    async def code_actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        uri, only = params.text_document.uri, params.context.only
        document = self._of(uri)
        if document is None or not document.python:
            return []
        outcome = await self._outcome_now(document)
        found: list[types.CodeAction] = []
        if actions.asked_for(types.CodeActionKind.QuickFix, only):
            found += actions.quick_fixes(outcome, uri, params.range, self._places(), self._abilities)
        safe = any(one.fix is not None and one.fix.applicability == "safe" for one in outcome.findings)
        if safe and actions.asked_for(actions.FIX_ALL, only):
            if self._abilities.resolve:
                found.append(actions.fix_all(uri, None))
            elif only is not None:  # several scans: not for a menu that opens wherever the cursor goes
                edit = await self._fix_all(document)
                found += [actions.fix_all(uri, edit)] if edit is not None else []
        return found

    async def resolve(self, action: types.CodeAction) -> types.CodeAction:
        document = self._of(action.data["uri"]) if isinstance(action.data, dict) else None
        if document is not None:
            action.edit = await self._fix_all(document)
        return action

    async def _fix_all(self, document: Document) -> types.WorkspaceEdit | None:
        texts = overlay(self._documents().values())
        try:
            text = await asyncio.get_running_loop().run_in_executor(
                self._scanner, scans.fixed, document, texts
            )
        except UserError as error:
            self._tell(str(error))
            return None
        return actions.rewritten(document, text, self._places(), self._abilities)

    # -- wiring ----------------------------------------------------------------------------------------

    def begin(self, params: types.InitializeParams) -> None:
        """Note what the editor can do, and keep its texts in our own way."""
        self._abilities = Abilities.of(params.capabilities)
        given = self.workspace
        self.protocol._workspace = OpenTexts(  # noqa: SLF001 (pygls has no other way in)
            given.root_uri,
            types.TextDocumentSyncKind.Incremental,
            list(given.folders.values()),
            given.position_encoding,
        )

    async def watch(self) -> None:
        """Ask the editor to tell of files that change on disk: settings, and modules that are not open."""
        if not self._abilities.watch:
            return
        options = types.DidChangeWatchedFilesRegistrationOptions(
            [types.FileSystemWatcher(pattern) for pattern in _WATCHED]
        )
        registration = types.Registration(
            "clipcheck-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options
        )
        await self.client_register_capability_async(types.RegistrationParams([registration]))

    def end(self) -> None:
        """Stop scanning; the process goes when the editor says so."""
        if self._round is not None:
            self._round.cancel()
        self._scanner.shutdown(wait=False, cancel_futures=True)

    def _register(self) -> None:  # one line for each message of the protocol
        feature = self.feature

        @feature(types.INITIALIZE)
        def initialize(params: types.InitializeParams) -> None:
            self.begin(params)

        @feature(types.INITIALIZED)
        async def initialized(_params: types.InitializedParams) -> None:
            await self.watch()

        @feature(types.SHUTDOWN)
        def shutdown(_params: None) -> None:
            self.end()

        @feature(types.TEXT_DOCUMENT_DID_OPEN)
        def opened(params: types.DidOpenTextDocumentParams) -> None:
            self.scan_soon(params.text_document.uri)

        @feature(types.TEXT_DOCUMENT_DID_CHANGE)
        def changed(params: types.DidChangeTextDocumentParams) -> None:
            self.scan_soon(params.text_document.uri, DEBOUNCE)

        @feature(types.TEXT_DOCUMENT_DID_SAVE)
        def saved(params: types.DidSaveTextDocumentParams) -> None:
            self.scan_soon(params.text_document.uri)

        @feature(types.TEXT_DOCUMENT_DID_CLOSE)
        def closed(params: types.DidCloseTextDocumentParams) -> None:
            self.forget(params.text_document.uri)

        @feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
        def book_opened(params: types.DidOpenNotebookDocumentParams) -> None:
            self.scan_soon(params.notebook_document.uri)

        @feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
        def book_changed(params: types.DidChangeNotebookDocumentParams) -> None:
            self.scan_soon(params.notebook_document.uri, DEBOUNCE)

        @feature(types.NOTEBOOK_DOCUMENT_DID_SAVE)
        def book_saved(params: types.DidSaveNotebookDocumentParams) -> None:
            self.scan_soon(params.notebook_document.uri)

        @feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
        def book_closed(params: types.DidCloseNotebookDocumentParams) -> None:
            self.forget(params.notebook_document.uri)

        @feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
        def files_changed(_params: types.DidChangeWatchedFilesParams) -> None:
            self.scan_soon("", DEBOUNCE)

        @feature(types.TEXT_DOCUMENT_HOVER)
        async def hover(params: types.HoverParams) -> types.Hover | None:
            return await self.hover(params)

        options = types.CodeActionOptions(list(actions.KINDS), resolve_provider=True)

        @feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
        async def code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
            return await self.code_actions(params)

        @feature(types.CODE_ACTION_RESOLVE)
        async def resolve(action: types.CodeAction) -> types.CodeAction:
            return await self.resolve(action)
