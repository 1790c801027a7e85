"""A page as a story: its commands run one after the other, as a reader would type them."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from baize_tui.paths import project_paths
from baize_tui.store.conversations import Store
from tests.docs.shell_lines import commands
from tests.serving.server_process import run_server
from tests.terminal.pty_session import CTRL_Q, ENTER, PtySession, has_answered

SESSION = "3f2a"
"""The conversation of the examples."""
BACKUP = "conversations-20261129-060000.db"
"""The backup of the examples."""
_EXPORT = re.compile(r"export (\w+)=(.*)")
_SERVERS = ({"serve"}, {"web"})


@dataclass
class Story:
    """Runs lines in ``folder``, which is the home folder too.

    ``values`` are written in the place of what a page can only give as an example, such as the
    address of a server. ``added`` is put at the end of the commands that begin with these words.
    """

    folder: Path
    values: Mapping[str, str]
    added: Mapping[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    _served: ExitStack = field(default_factory=ExitStack)
    _addresses: dict[str, str] = field(default_factory=dict)

    def run(self, text: str) -> None:
        """Run a line to its end; a screen is asked something and left, a server keeps running."""
        if exported := _EXPORT.fullmatch(text):
            (self.environment[exported[1]],) = shlex.split(self._real(exported[2]))
            return
        words = list(commands(text))[-1]
        line = self._complete(self._real(text))
        if words[0] == "baize-tui" and len(words) > 1 and {words[1]} in _SERVERS:
            self._serve(line)
        elif opens_screen(words):
            self._chat(line)
        else:
            self._run_to_end(line)

    def _real(self, text: str) -> str:
        """``text`` with what is true here for what is an example."""
        values = {**self.values, **self._addresses}
        if SESSION in text:
            values[SESSION] = newest_session()
        if BACKUP in text:
            (backup,) = (self.folder / "backups").iterdir()
            values[BACKUP] = backup.name
        for example, value in values.items():
            text = text.replace(example, value)
        return text

    def _complete(self, line: str) -> str:
        """``line`` with ``added``, before a pipe or a redirection."""
        begun, ends = line, ""
        if end := re.search(r"\s[|>]\s", line.partition("\n")[0]):
            begun, ends = line[: end.start()], line[end.start() :]
            if not begun.startswith("baize-"):  # what comes through the pipe
                begun, ends = line, ""
        words = next(iter(commands(begun)))
        for beginning, more in self.added.items():
            if words[: len(beginning.split())] == beginning.split():
                begun += f" {more}"
        return begun + ends

    @property
    def _variables(self) -> dict[str, str]:
        programs = str(Path(sys.executable).parent)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **self.environment, "PATH": path, "HOME": str(self.folder)}

    def _run_to_end(self, line: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, f"{line}\n{done.stderr}"

    def _chat(self, line: str) -> None:
        command = f"cd {shlex.quote(str(self.folder))} && exec {_without_assignments(line)}"
        with PtySession(
            program=("bash", "-c", command), environment={**self._variables, **_assigned(line)}
        ) as client:
            client.wait_for(is_loaded)
            client.type("Name a river." + ENTER)
            client.wait_for(has_answered)
            client.type(CTRL_Q)
            assert client.wait_for_end() == 0, client.screen

    def _serve(self, line: str) -> None:
        self.end_server()
        command = ["bash", "-c", f"exec {line} --port 0 --json"]
        printed = self._served.enter_context(
            run_server(command, self._variables, self.folder)
        ).printed
        host = printed["url"].partition("//")[2].partition("/")[0]
        self._addresses = {
            "127.0.0.1:8080=TOKEN": f"{host}={printed.get('token', '')}",
            "127.0.0.1:8080": host,
        }

    def end_server(self) -> None:
        """Interrupt the server, if one runs."""
        self._served.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_server()


def opens_screen(words: list[str]) -> bool:
    """Whether a command is the client: it has options alone."""
    values = {"--model", "--draft", "--session"}
    plain = [
        word
        for before, word in itertools.pairwise(words)
        if not word.startswith("-") and before not in values
    ]
    return words[0] == "baize-tui" and not plain


def is_loaded(screen: str) -> bool:
    """Whether the status line names a model that can answer."""
    status = screen.rpartition("\n")[2]
    return bool(status.strip()) and "loading" not in screen and "starting" not in status


def newest_session() -> str:
    """The id of the conversation used last."""
    store = Store(project_paths().conversations_file)
    deleted = store.conversations(deleted=True)
    conversation = (store.conversations() or deleted)[0]
    store.close()
    return str(conversation.id)


def _assigned(line: str) -> dict[str, str]:
    found = re.match(r"([A-Z_]+)=(\"[^\"]*\"|\S+)\s", line)
    return {found[1]: found[2].strip('"')} if found else {}


def _without_assignments(line: str) -> str:
    return re.sub(r"^[A-Z_]+=(\"[^\"]*\"|\S+)\s+", "", line)
