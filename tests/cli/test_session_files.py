"""``sessions export``, ``import``, ``backup`` and ``restore``, as a person runs them."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from baize_tui.cli.main import run
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.chat import foreign_exports as foreign


@pytest.fixture
def talk(paths: Paths) -> str:
    """The id of a conversation with two answers."""
    store = Store(paths.conversations_file)
    id = store.new_conversation(system="", moderation=True, title="A talk").id
    question = store.add_message(id, None, "user", "Why?")
    store.add_message(id, question.id, "assistant", "Because.")
    store.add_message(id, question.id, "assistant", "Therefore.")
    store.close()
    return id


Output = pytest.CaptureFixture[str]


def printed(output: Output) -> Any:
    return json.loads(output.readouterr().out)


def test_one_conversation_goes_to_stdout(talk: str, capsys: Output) -> None:
    assert run(["sessions", "export", talk[:6]]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith('---\ntitle: "A talk"\n')
    assert "Therefore." in shown.out
    assert "Because." in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("arguments", [["--format", "sharegpt"], ["--as", "good"]])
def test_json_contains_what_would_be_on_stdout(
    arguments: list[str], talk: str, capsys: Output
) -> None:
    assert run(["sessions", "export", talk, *arguments]) == 0
    content = capsys.readouterr().out
    assert run(["sessions", "export", talk, *arguments, "--json"]) == 0
    assert printed(capsys)["content"] == content


def test_what_sharegpt_has_no_room_for_is_said(talk: str, capsys: Output) -> None:
    assert run(["sessions", "export", talk, "--format", "sharegpt"]) == 0
    shown = capsys.readouterr()
    assert "Because." not in shown.out
    assert shown.err == "baize-tui: not in the file: 1 message; --format json has everything\n"


@pytest.mark.parametrize("format", ["markdown", "json", "sharegpt", "html"])
def test_a_file_is_named_private_and_not_replaced(
    format: str, talk: str, capsys: Output, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    export = ["sessions", "export", talk, "-f", format, "-o", str(file)]
    assert run([*export, "--json"]) == 0
    result = printed(capsys)
    assert result["files"] == [str(file)]
    assert (result["conversations"], result["format"]) == (1, format)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = file.read_bytes()
    file.write_bytes(b"mine")
    assert run(export) == 1
    assert capsys.readouterr().err == (f"baize-tui: {file} exists already; --force replaces it\n")
    assert file.read_bytes() == b"mine"
    assert run([*export, "--force"]) == 0
    assert file.read_bytes() == content


def test_all_conversations_go_into_a_folder(talk: str, capsys: Output, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    assert run(["sessions", "export", "--all", "--format", "html", "-o", str(folder)]) == 0
    assert [file.name for file in folder.iterdir()] == [f"a-talk-{talk}.html"]
    assert run(["sessions", "export", "--all", "--format", "html"]) == 1
    assert "name a folder with --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ID", "--all"],
        ["--all", "--format", "json", "--as", "good"],
        ["--all", "--format", "docx"],
    ],
)
def test_contradicting_options_are_wrong_usage(
    arguments: list[str], talk: str, capsys: Output
) -> None:
    assert run(["sessions", "export", *(talk if a == "ID" else a for a in arguments)]) == 2


def test_without_conversations_there_is_nothing_to_export(capsys: Output) -> None:
    assert run(["sessions", "export", "--all", "-f", "json"]) == 1
    assert capsys.readouterr().err == "baize-tui: no conversations yet\n"


def test_exported_json_is_the_same_after_an_import(
    talk: str, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "all.json"
    assert run(["sessions", "export", "--all", "-f", "json", "-o", str(file)]) == 0
    monkeypatch.setenv("BAIZE_HOME", str(tmp_path / "other"))
    assert run(["sessions", "import", str(file)]) == 0
    capsys.readouterr()
    assert run(["sessions", "export", "--all", "-f", "json"]) == 0
    assert capsys.readouterr().out == file.read_text("utf-8")


def test_an_import_says_what_it_did(capsys: Output, tmp_path: Path) -> None:
    file, wrong = tmp_path / "conversations.json", tmp_path / "wrong.json"
    broken = {"mapping": {"a": {"parent": "a"}}, "title": "Broken"}
    file.write_text(json.dumps([foreign.chatgpt_2025(), broken]))
    wrong.write_text("hello")
    assert run(["sessions", "import", str(file)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"baize-tui: {file}: {line}"
        for line in (
            "imported 1 conversation from ChatGPT",
            "only named in the texts: 1 file, 1 image, 1 tool call, 1 tool result, 1 citation",
            "left out: 1 hidden message",
            "left out conversation 2 (Broken): its messages form a circle",
        )
    ]
    assert run(["sessions", "import", str(wrong), str(file), "--json"]) == 1
    first, second = printed(capsys)["imports"]
    assert first["file"] == str(wrong)
    assert "not JSON" in first["error"]
    assert (second["present"], second["imported"], second["error"]) == (1, [], None)


def test_a_wrong_file_is_one_line(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "\x1b]0;title.json"
    file.write_text('[{"mapping": {"a": {"parent": "a"}}}]')
    assert run(["sessions", "import", str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "\x1b" not in shown.err
    assert "form a circle" in shown.err


def test_a_given_format_is_not_guessed(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps([foreign.claude_2026()]))
    assert run(["sessions", "import", str(file), "--format", "chatgpt"]) == 1
    assert "mapping" in capsys.readouterr().err
    assert run(["sessions", "import", str(file), "--format", "claude"]) == 0


def test_a_backup_is_restored_elsewhere_and_not_imported(
    talk: str, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "backup.db"
    assert run(["sessions", "backup", str(backup), "--json"]) == 0
    assert printed(capsys) == {
        **{"file": str(backup), "bytes": backup.stat().st_size, "conversations": 1}
    }
    assert run(["sessions", "backup", str(backup)]) == 1
    assert "--force replaces it" in capsys.readouterr().err
    assert run(["sessions", "backup", str(backup), "--force"]) == 0
    assert run(["sessions", "import", str(backup)]) == 1
    assert "sessions restore" in capsys.readouterr().err
    monkeypatch.setenv("BAIZE_HOME", str(tmp_path / "other"))
    for restored in (1, 0):
        assert run(["sessions", "restore", str(backup), "--json"]) == 0
        result = printed(capsys)
        assert (result["restored"], result["present"]) == (restored, 1 - restored)
    assert run(["sessions", "show", talk]) == 0
    assert "Therefore." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["conversations.db", "conversations.db-wal"])
def test_a_backup_never_replaces_the_conversations(
    name: str, talk: str, paths: Paths, capsys: Output
) -> None:
    target = paths.conversations_file.with_name(name)
    assert run(["sessions", "backup", str(target), "--force"]) == 1
    assert run(["sessions", "show", talk]) == 0


def test_a_backup_into_a_folder_gets_a_name(talk: str, capsys: Output, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert run(["sessions", "backup", str(folder)]) == 0
    (file,) = folder.iterdir()
    assert file.name.startswith("conversations-")
    assert run(["sessions", "backup", str(folder / "missing" / "x.db")]) == 1
