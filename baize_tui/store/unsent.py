"""What a person has written and not sent: drafts, edits, and messages that wait."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from baize_shared.json_errors import JSON_ERRORS
from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.output_forms import OutputForm
from baize_tui.store.clients import is_running
from baize_tui.store.database import Database
from baize_tui.store.errors import StoreError
from baize_tui.store.records import DraftParts, Paste, Unsent


class _StoredPaste(Struct, frozen=True, omit_defaults=True):
    """Stands for a paste among the texts in the column ``parts``; all but its text."""

    sha256: str
    name: str = ""
    tokens: int = 0
    note: str = ""
    form: OutputForm | None = None

    @classmethod
    def of(cls, paste: Paste) -> _StoredPaste:
        return cls(_hash(paste.text), paste.name, paste.tokens, paste.note, paste.form)

    def restore(self, text: str) -> Paste:
        """The paste with its ``text``."""
        form = self.form
        if form is not None:
            form = OutputForm(form.kind, clean_text(form.source), clean_line(form.name))
        return Paste(
            clean_text(text), clean_line(self.name), self.tokens, clean_line(self.note), form
        )


_NOW_OR_LATER = "max(?, coalesce((SELECT max(updated_at) + 1e-6 FROM unsent), 0))"
"""A time that is after all others, even if the clock went back: messages wait in this order."""
_decode_parts = msgspec.json.Decoder(list[str | _StoredPaste]).decode


class UnsentStore:
    """The unsent words in a database; ``Store.add_message`` removes those that are sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, unsent: Unsent) -> None:
        """Write ``unsent`` as words of this client, in place of those with the same id."""
        pastes = {_hash(p.text): p.text for p in unsent.parts if isinstance(p, Paste)}
        parts = [
            _StoredPaste.of(part) if isinstance(part, Paste) else part for part in unsent.parts
        ]
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO unsent (id, kind, of_summary, conversation_id, message_id, is_open, "
                f"parts, client, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, {_NOW_OR_LATER}) "
                "ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, "
                "of_summary = excluded.of_summary, "
                "conversation_id = excluded.conversation_id, message_id = excluded.message_id, "
                "is_open = excluded.is_open, parts = excluded.parts, client = excluded.client, "
                "updated_at = excluded.updated_at",
                (
                    unsent.id,
                    # The column's values are fixed since its table was created.
                    "edit" if unsent.kind == "summary" else unsent.kind,
                    unsent.kind == "summary",
                    unsent.conversation_id,
                    unsent.message_id,
                    unsent.is_open,
                    msgspec.json.encode(parts).decode(),
                    self._database.client_name,
                    time.time(),
                ),
            )
            _replace_pastes(connection, unsent.id, pastes)

    def remove(self, id: str) -> None:
        """Remove what has this id, if it is there."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM unsent WHERE id = ?", (id,))

    def take_over(self, conversation_id: str | None) -> list[Unsent]:
        """This client's words in a conversation, oldest first, and those of clients that no longer
        run, which are this client's from now on. None: the conversation that is not created yet."""
        rows = self._database.rows(
            "SELECT * FROM unsent WHERE conversation_id IS ? ORDER BY updated_at", conversation_id
        )
        running = {row["client"]: self._is_running(row["client"]) for row in rows}
        own = self._database.client_name
        taken = [row for row in rows if row["client"] == own or not running[row["client"]]]
        adopted = [(own, row["id"], row["client"]) for row in taken if row["client"] != own]
        if adopted:
            # On a full disk, or in a read-only home, they can still be read.
            with contextlib.suppress(StoreError), self._database.transaction() as connection:
                connection.executemany(
                    "UPDATE unsent SET client = ? WHERE id = ? AND client = ?", adopted
                )
        return [self._read(row) for row in taken]

    def conversations(self) -> set[str]:
        """Ids of the conversations with words that ``take_over`` would return."""
        rows = self._database.rows(
            "SELECT DISTINCT conversation_id, client FROM unsent WHERE conversation_id IS NOT NULL"
        )
        own = self._database.client_name
        clients = {row["client"] for row in rows}
        ended = {client for client in clients if client != own and not self._is_running(client)}
        return {row["conversation_id"] for row in rows if row["client"] in {own, *ended}}

    def has_queued(self, conversation_id: str) -> bool:
        """Whether messages of any client wait in a conversation."""
        return bool(
            self._database.rows(
                "SELECT 1 FROM unsent WHERE conversation_id = ? AND kind = 'queued' LIMIT 1",
                conversation_id,
            )
        )

    def _is_running(self, client: str) -> bool:
        if self._database.file is None:
            return True
        return is_running(self._database.clients_folder, client)

    def _read(self, row: sqlite3.Row) -> Unsent:
        pastes = {
            paste["sha256"]: paste["text"]
            for paste in self._database.rows(
                "SELECT sha256, text FROM unsent_paste WHERE unsent_id = ?", row["id"]
            )
        }
        try:
            stored = _decode_parts(row["parts"])
        except JSON_ERRORS:
            stored = [row["parts"]]  # another program's, but still words
        parts: DraftParts = tuple(
            clean_text(part) if isinstance(part, str) else part.restore(pastes.get(part.sha256, ""))
            for part in stored
        )
        return Unsent(
            id=row["id"],
            kind="summary" if row["of_summary"] else row["kind"],
            conversation_id=row["conversation_id"],
            parts=parts,
            message_id=row["message_id"],
            is_open=bool(row["is_open"]),
        )


def _replace_pastes(connection: sqlite3.Connection, id: str, pastes: dict[str, str]) -> None:
    """Store ``pastes``, by hash, as those of the words ``id``; what is stored stays as it is."""
    rows = connection.execute("SELECT sha256 FROM unsent_paste WHERE unsent_id = ?", (id,))
    stored = {sha256 for (sha256,) in rows}
    obsolete: Sequence[tuple[str, str]] = [(id, sha256) for sha256 in stored - pastes.keys()]
    connection.executemany("DELETE FROM unsent_paste WHERE unsent_id = ? AND sha256 = ?", obsolete)
    connection.executemany(
        "INSERT INTO unsent_paste (unsent_id, sha256, text) VALUES (?, ?, ?)",
        [(id, sha256, text) for sha256, text in pastes.items() if sha256 not in stored],
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
