"""``sessions tag``, ``pin``, ``archive`` and ``purge``, in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from baize_tui.engine.snapshots.snapshot_folder import conversation_folder
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.program_commands import RUN


class Terminal:
    """Runs commands, and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, and what was printed to stdout and stderr."""
        code = RUN["baize-tui"](["sessions", *arguments])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def titles(self, *options: str) -> list[str]:
        return [each["title"] for each in self.json("list", *options)["sessions"]]


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def ids(paths: Paths) -> dict[str, str]:
    """Conversations by their titles; the last was used last."""
    store = Store(paths.conversations_file)
    ids = {}
    for title in ("Bread", "Wine", "Salt"):
        ids[title] = store.new_conversation(system="", moderation=True, title=title).id
        store.add_message(ids[title], None, "user", f"{title}?")
    store.close()
    return ids


def test_tags_find_conversations(terminal: Terminal, ids: dict[str, str]) -> None:
    tagged = terminal.json("tag", ids["Bread"][:6], "Kitchen", "#red wine")
    assert tagged["tags"] == ["Kitchen", "red", "wine"]
    assert terminal.json("tag", ids["Wine"], "kitchen")["tags"] == ["kitchen"]
    assert terminal.json("tag", ids["Bread"], "--remove", "WINE")["tags"] == ["Kitchen", "red"]
    assert terminal.titles("--tag", "kitchen") == ["Wine", "Bread"]
    assert terminal.titles("--tag", "kitchen", "--tag", "red") == ["Bread"]
    assert "Bread  #Kitchen  #red" in terminal.run("list")[1]
    assert "has the tags Kitchen, red, new" in terminal.run("tag", ids["Bread"], "new")[2]
    assert "no conversation has this tag" in terminal.run("list", "--tag", "x")[2]
    found = terminal.json("search", "tag:RED", "bread")["results"]
    assert [result["place"] for result in found] == ["title", "question"]


def test_archived_ones_are_listed_on_request(terminal: Terminal, ids: dict[str, str]) -> None:
    assert terminal.json("archive", ids["Wine"])["archived"] is True
    assert terminal.json("pin", ids["Bread"])["pinned"] is True
    assert terminal.titles() == ["Salt", "Bread"]
    assert terminal.titles("--archived") == ["Wine"]
    assert "Bread  (pinned)" in terminal.run("list")[1]
    (found,) = terminal.json("search", "in:question", "wine")["results"]
    assert (found["session_id"], found["archived"]) == (ids["Wine"], True)
    assert "Wine  (archived)" in terminal.run("search", "wine")[1]
    assert terminal.json("archive", ids["Wine"], "--off")["archived"] is False
    assert terminal.json("pin", ids["Bread"], "--off")["pinned"] is False
    assert terminal.titles() == ["Salt", "Wine", "Bread"]
    assert "no conversation is archived" in terminal.run("list", "--archived")[2]


def test_purged_ones_are_gone_with_their_saved_states(
    terminal: Terminal, ids: dict[str, str], paths: Paths
) -> None:
    for title in ("Bread", "Wine"):
        assert terminal.run("delete", ids[title])[0] == 0
    states = conversation_folder(paths.snapshots_folder, ids["Bread"])
    states.mkdir(parents=True)
    code, _, err = terminal.run("purge", ids["Salt"], "--yes")
    assert (code, "is not deleted" in err) == (1, True)
    code, _, err = terminal.run("purge", ids["Bread"])
    assert (code, "add --yes" in err) == (1, True)
    assert terminal.json("purge", ids["Bread"], "--yes") == {"purged": [ids["Bread"]]}
    assert not states.exists()
    assert terminal.titles("--deleted") == ["Wine"]
    assert "removed 1 conversation for good" in terminal.run("purge", "--all", "-y")[2]
    assert "no conversation is deleted" in terminal.run("purge", "--all")[2]
    assert terminal.titles() == ["Salt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("tag", "ID", "#"),
        ("tag", "ID"),
        ("list", "--archived", "--deleted"),
        ("list", "--tag", "#"),
        ("purge",),
        ("purge", "ID", "--all"),
    ],
)
def test_wrong_usage(terminal: Terminal, ids: dict[str, str], arguments: tuple[str, ...]) -> None:
    given = [ids["Salt"] if argument == "ID" else argument for argument in arguments]
    assert terminal.run(*given)[:2] == (2, "")


@pytest.mark.parametrize("command", [("tag", "zz", "x"), ("pin", "zz"), ("purge", "zz", "--yes")])
def test_an_unknown_session_is_one_line(terminal: Terminal, command: tuple[str, ...]) -> None:
    code, out, err = terminal.run(*command)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "'zz'" in err
