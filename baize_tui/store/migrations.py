"""The schema of the conversations file as a list of steps; ``PRAGMA user_version`` counts them.

A released step is never changed; a new step is added below it.
"""

from __future__ import annotations

import sqlite3

_CONVERSATIONS_AND_MESSAGES = """
CREATE TABLE conversation (
    id            TEXT PRIMARY KEY,
    title         TEXT NOT NULL,
    created_at    REAL NOT NULL,           -- seconds since 1970, UTC
    updated_at    REAL NOT NULL,
    deleted_at    REAL,
    leaf_id       INTEGER,                 -- the message at the end of the branch that is shown
    context_start INTEGER,                 -- first message the model still sees
    model         TEXT,
    system        TEXT NOT NULL,
    moderation    INTEGER NOT NULL,
    format        TEXT
) STRICT;

CREATE TABLE message (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL REFERENCES conversation(id),
    parent_id       INTEGER REFERENCES message(id),
    role            TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    state           TEXT NOT NULL
                    CHECK (state IN ('complete', 'streaming', 'stopped', 'interrupted', 'failed')),
    text            TEXT NOT NULL,
    reasoning       TEXT NOT NULL DEFAULT '',
    ids             BLOB,                  -- generated tokens, int32 little-endian
    tokenizer       TEXT,                  -- fingerprint of the vocabulary of ids
    writer          TEXT,                  -- the client that streams into it
    created_at      REAL NOT NULL,
    deleted_at      REAL,
    provenance      TEXT                   -- JSON: how the answer was made
) STRICT;

CREATE INDEX message_by_conversation ON message (conversation_id);
CREATE INDEX message_by_parent ON message (parent_id);
CREATE INDEX message_streaming ON message (state) WHERE state = 'streaming';
CREATE INDEX conversation_by_update ON conversation (updated_at DESC);
"""

_OPTIONS_MARKS_AND_PINS = """
-- JSON: the fields of the sampler that are set for this conversation
ALTER TABLE conversation ADD COLUMN sampling TEXT NOT NULL DEFAULT '{}';
-- 'drop' or 'stop'; NULL: as in the settings
ALTER TABLE conversation ADD COLUMN overflow TEXT;
-- 1 good, -1 bad
ALTER TABLE message ADD COLUMN mark INTEGER;
ALTER TABLE message ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
"""

_ADAPTERS = """
-- JSON: scale of each adapter over the model, by name
ALTER TABLE conversation ADD COLUMN adapters TEXT NOT NULL DEFAULT '{}';
"""

_MODEL_IDENTITY = """
-- what the model was: its file, and the SHA-256 of that; "model" is what it was called
ALTER TABLE conversation ADD COLUMN model_path TEXT;
ALTER TABLE conversation ADD COLUMN model_sha256 TEXT;
"""

_THINKING = """
-- 1 or 0: whether the model thinks before it answers; NULL: as in the settings
ALTER TABLE conversation ADD COLUMN think INTEGER;
"""

_UNSENT = """
CREATE TABLE unsent (
    id              TEXT PRIMARY KEY,
    kind            TEXT NOT NULL CHECK (kind IN ('draft', 'edit', 'recalled', 'queued')),
    conversation_id TEXT REFERENCES conversation(id),  -- NULL: it is not created yet
    message_id      INTEGER REFERENCES message(id),    -- the message that is edited
    is_open         INTEGER NOT NULL,      -- whether an edit was in the prompt
    parts           TEXT NOT NULL,         -- JSON: texts, and hashes of pastes
    client          TEXT NOT NULL,         -- the client whose words they are
    updated_at      REAL NOT NULL
) STRICT;

-- A paste is written once, not each time the text around it changes.
CREATE TABLE unsent_paste (
    unsent_id TEXT NOT NULL REFERENCES unsent(id) ON DELETE CASCADE,
    sha256    TEXT NOT NULL,
    text      TEXT NOT NULL,
    PRIMARY KEY (unsent_id, sha256)
) STRICT;

CREATE INDEX unsent_by_conversation ON unsent (conversation_id);
"""

_TITLE_SOURCES = """
-- 'none', 'question', 'model' or 'person': an unknown title may be the person's, which stays
ALTER TABLE conversation ADD COLUMN title_source TEXT NOT NULL DEFAULT 'person';
UPDATE conversation SET title_source = 'none' WHERE title = 'New conversation';
"""

_SUMMARIES = """
-- what the model is told in place of the turns above that it no longer sees; NULL: nothing
ALTER TABLE message ADD COLUMN summary TEXT;
-- 1: an edit of the summary above the message, not of the message
ALTER TABLE unsent ADD COLUMN of_summary INTEGER NOT NULL DEFAULT 0;
"""

_SEARCH = """
-- Messages that the index of their words (search_index.py) does not have as they are now. The other
-- columns are what it has of them; all are NULL if it has nothing. Triggers fill it, so it is also
-- right after a program that knows no index has written. It is no part of the index: a database is
-- opened and written where SQLite has no FTS5.
CREATE TABLE search_pending (
    message_id INTEGER PRIMARY KEY,
    role       TEXT,
    text       TEXT,
    reasoning  TEXT,
    provenance TEXT,
    mark       INTEGER,
    created_at REAL
) STRICT;

CREATE TRIGGER search_message_added AFTER INSERT ON message
BEGIN INSERT OR IGNORE INTO search_pending (message_id) VALUES (new.id); END;

-- Only the first of several changes is kept: an answer that grows is not indexed at each write.
CREATE TRIGGER search_message_changed
AFTER UPDATE OF role, text, reasoning, provenance, mark, created_at ON message
BEGIN INSERT OR IGNORE INTO search_pending VALUES (old.id, old.role, old.text, old.reasoning, \
old.provenance, old.mark, old.created_at); END;

CREATE TRIGGER search_message_removed AFTER DELETE ON message
BEGIN INSERT OR IGNORE INTO search_pending VALUES (old.id, old.role, old.text, old.reasoning, \
old.provenance, old.mark, old.created_at); END;
"""

_ORGANIZING = """
-- JSON: the names that the person gave the conversation, to find it by
ALTER TABLE conversation ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
-- 1: it stays at the top of the list
ALTER TABLE conversation ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- 1: it is not in the list, and still found
ALTER TABLE conversation ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
-- what the person calls the branch that begins with this message; NULL: nothing
ALTER TABLE message ADD COLUMN name TEXT;
CREATE INDEX conversation_pinned ON conversation (updated_at DESC) WHERE pinned <> 0;
"""

_FILES_FORMS_AND_PERSONAS = """
-- JSON: the parts of the text that came from files; NULL: none
ALTER TABLE message ADD COLUMN attachments TEXT;
-- JSON: the form that answers to a question have to have; NULL: none
ALTER TABLE message ADD COLUMN form TEXT;
-- the name of the persona whose settings the conversation was given
ALTER TABLE conversation ADD COLUMN persona TEXT NOT NULL DEFAULT '';
-- JSON: strings that end an answer
ALTER TABLE conversation ADD COLUMN stop TEXT NOT NULL DEFAULT '[]';
"""

STEPS: tuple[str, ...] = (
    _CONVERSATIONS_AND_MESSAGES,
    _OPTIONS_MARKS_AND_PINS,
    _ADAPTERS,
    _MODEL_IDENTITY,
    _THINKING,
    _UNSENT,
    _TITLE_SOURCES,
    _SUMMARIES,
    _SEARCH,
    _ORGANIZING,
    _FILES_FORMS_AND_PERSONAS,
)
VERSION = len(STEPS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an older or empty file to ``VERSION``; each step is one transaction.

    Two clients may start at once: the version is read again inside the transaction.
    """
    for number, step in enumerate(STEPS, start=1):
        if _version(connection) >= number:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) < number:
                for statement in step.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
