"""Hostile conversations: exports of other programs, backups, stores, and what is made of them."""

from __future__ import annotations

import functools
import io
import json
import random
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

from baize_tui.paths import project_paths
from baize_tui.store.backups import back_up
from baize_tui.store.conversations import Store
from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.subjects import Subject, Use
from tests.chat import foreign_exports
from tests.convert.hostile.mutations import mutate_bytes, mutate_json, mutate_text
from tests.terminal.terminal_bytes import NUL, hostile

_EXPORTS: tuple[Callable[[], object], ...] = (
    lambda: [foreign_exports.chatgpt_2023()],
    lambda: [foreign_exports.chatgpt_2025()],
    lambda: [foreign_exports.claude_2024()],
    lambda: [foreign_exports.claude_2026()],
    lambda: [foreign_exports.open_webui()],
    lambda: [foreign_exports.open_webui_first_version()],
    lambda: [foreign_exports.sharegpt()],
    lambda: foreign_exports.messages_record(),
    lambda: foreign_exports.baize(),
)


def _import(rng: random.Random, sandbox: Sandbox) -> Use:
    raw = json.dumps(rng.choice(_EXPORTS)()).encode()
    for _ in range(rng.choice((1, 1, 2, 3))):
        raw = rng.choice((mutate_json, mutate_json, mutate_text))(rng, raw)
    name = "conversations.json"
    if rng.random() < 0.2:
        name, raw = "export.zip", _zipped(rng, raw)
    file = sandbox.write(name, raw)
    more = rng.choice(((), (), ("--json",), ("--copies",), ("--format", "chatgpt")))
    return Use("baize-tui", ("sessions", "import", file, *more))


def _zipped(rng: random.Random, raw: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(rng.choice(("../../x", "/x", "a/b.html", "x\x1b[2J")), b"x")
        name = rng.choice(("conversations.json", "a/conversations.json", "../conversations.json"))
        archive.writestr(name, raw if rng.random() < 0.8 else b"[" + b" " * (600 << 20))
    made = output.getvalue()
    return made if rng.random() < 0.6 else mutate_bytes(rng, made)


# --- databases ------------------------------------------------------------------------------------


@functools.cache
def _backup(folder: Path) -> bytes:
    """A backup of a store with two conversations."""
    store = Store(folder / "store" / "conversations.db")
    for title in ("One", "Two"):
        id = store.new_conversation(system="S", moderation=True, title=title).id
        question = store.add_message(id, None, "user", f"{title}?")
        answer = store.add_message(id, question.id, "assistant", "**Yes**", ids=[1], tokenizer="t")
        store.add_message(id, question.id, "assistant", "No")
        store.set_leaf(id, answer.id)
    back_up(store.database, folder / "backup.db")
    store.close()
    return (folder / "backup.db").read_bytes()


_SCHEMA = (
    "CREATE TRIGGER t AFTER INSERT ON conversation BEGIN DELETE FROM message; END",
    "CREATE TRIGGER t AFTER UPDATE ON message BEGIN SELECT writefile('{canary}', 'x'); END",
    "CREATE TRIGGER t AFTER INSERT ON message BEGIN SELECT load_extension('{canary}'); END",
    "CREATE VIEW v AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT 1 "
    "FROM r",
    "DROP TABLE message",
    "ALTER TABLE message RENAME TO m; CREATE VIEW message AS WITH RECURSIVE r(n) AS (SELECT 1 "
    "UNION ALL SELECT n + 1 FROM r) SELECT n AS id, n AS conversation FROM r",
    "ALTER TABLE conversation ADD COLUMN evil TEXT DEFAULT 'x'",
    "PRAGMA user_version = 999999",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 1",
    "CREATE TABLE sqlar(name TEXT, data BLOB)",
    "UPDATE message SET parent = id",
    "UPDATE message SET parent = 'nothing'",
    "UPDATE conversation SET leaf = 'nothing'",
    "UPDATE message SET role = 'root'",
    "DELETE FROM conversation",
    "CREATE INDEX i ON message(text COLLATE NOCASE)",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'CREATE TABLE message(x)' WHERE "
    "name = 'message'",
    "CREATE TABLE big(x); WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 99) "
    "INSERT INTO big SELECT zeroblob(100000) FROM r",
)
_VALUES: tuple[object, ...] = (
    *(None, "", 0, -1, 2**62, 1e300, float("inf"), b"\xff\xfe", b"\0" * 1000, "x" * 1_000_000),
    *("[" * 50_000, "{", '{"a": NaN}', "../../x", hostile("Q", NUL), "\x1b]0;1337\x07", "1" * 5000),
    *("/" * 300, "con", ".", "..", "a" * 400, "\u202e1337", "<script>alert(1)</script>", "`" * 500),
)


def _spoil_database(rng: random.Random, file: Path, canary: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        for _ in range(rng.choice((1, 1, 2, 4))):
            try:
                if rng.random() < 0.4:
                    connection.executescript(rng.choice(_SCHEMA).format(canary=canary))
                else:
                    _set_value(rng, connection)
            except (sqlite3.Error, OverflowError):
                continue
    finally:
        connection.close()


def _set_value(rng: random.Random, connection: sqlite3.Connection) -> None:
    table = rng.choice(("conversation", "message", "message", "unsent"))
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    if columns:
        column = rng.choice(columns)
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute(f'UPDATE {table} SET "{column}" = ?', (rng.choice(_VALUES),))


def _spoiled_database(rng: random.Random, sandbox: Sandbox, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = _backup(sandbox.seeds)
    if rng.random() < 0.25:
        file.write_bytes(mutate_bytes(rng, raw))
        return file
    file.write_bytes(raw)
    _spoil_database(rng, file, sandbox.canary)
    return file


def _restore(rng: random.Random, sandbox: Sandbox) -> Use:
    file = _spoiled_database(rng, sandbox, sandbox.given / "backup.db")
    return Use("baize-tui", ("sessions", "restore", file, *rng.choice(((), ("--copies",)))))


def _use_store(rng: random.Random, sandbox: Sandbox) -> Use:
    """Commands on a store in which another program has written."""
    _spoiled_database(rng, sandbox, project_paths().conversations_file)
    format = rng.choice(("markdown", "html", "json", "sharegpt"))
    uses: tuple[tuple[object, ...], ...] = (
        ("sessions", "list"),
        ("sessions", "list", "--json"),
        ("sessions", "search", "yes"),
        ("sessions", "export", "--all", "--format", format, "--output", sandbox.out),
        ("sessions", "export", "--all", "--format", format, "--output", sandbox.out),
        ("sessions", "export", "--all", "--as", "good", "--output", sandbox.out / "x.jsonl"),
        ("sessions", "backup", sandbox.out / "backup.db"),
        ("sessions", "purge", "--all", "--yes"),
    )
    return Use("baize-tui", rng.choice(uses), most_lines=2)


_COMMANDS = ("rename", "tag", "pin", "archive", "delete", "undelete", "show", "export", "search")


def _organize(rng: random.Random, sandbox: Sandbox) -> Use:
    """Titles, tags and questions as they are typed."""
    file = project_paths().conversations_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_backup(sandbox.seeds))
    with sqlite3.connect(file) as connection:
        (id,) = connection.execute("SELECT id FROM conversation LIMIT 1").fetchone()
    connection.close()
    command = rng.choice(_COMMANDS)
    typed = mutate_text(rng, b"a title").replace(b"\0", b"\x01")[:100_000]
    text = typed.decode("utf-8", "surrogateescape")
    words: tuple[str, ...] = (text,)
    if command in ("rename", "tag"):
        words = (id, text) if rng.random() < 0.8 else (text, id)
    elif command == "search" and rng.random() < 0.5:
        words = (rng.choice(("tag:", "after:", "is:", "in:", "NEAR(", '"', "*", "-")) + text,)
    return Use("baize-tui", ("sessions", command, "--", *words), codes=(0, 1, 2))


SUBJECTS = (
    Subject("exports of other programs", 500, _import),
    Subject("backups", 250, _restore),
    Subject("stores", 250, _use_store),
    Subject("titles, tags and searches", 200, _organize),
)
