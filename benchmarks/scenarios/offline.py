"""Nothing connects anywhere unless it was asked to, and tokens reach their own host alone.

Commands run under strace, which records every network call of the process and its children, and
again in a network namespace without any interface. The refusals of ``--offline`` are traced too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from baize_tui.catalog.finding import find_model
from baize_tui.paths import Paths
from benchmarks.scenarios.figures import Figure, Options
from benchmarks.terminal import TimedTerminal
from tests.engine.remote.streaming_server import refuse, serve
from tests.hub.stand_in import serve as serve_hub

ELSEWHERE = "192.0.2.1"
"""An address for documentation, which no computer has (RFC 5737)."""
TOKEN = "hf_" + "t0ken" * 4
KEY = "sk-" + "k3y" * 6
ENTER, CTRL_Q, CTRL_S, ESCAPE, ALT_O, TAB = b"\r", b"\x11", b"\x13", b"\x1b", b"\x1bo", b"\t"
PAUSE_S = 1.0
QUESTION = "Name a colour."
_INTERNET = re.compile(rb"AF_INET6?\b|sa_family=AF_NETLINK")
TUI, CONVERT, TRAIN = ("-m", "baize_tui"), ("-m", "baize_convert"), ("-m", "baize_train")
LOCAL_COMMANDS: tuple[tuple[str, ...], ...] = (
    (*TUI, "ask", QUESTION),
    (*TUI, "sessions", "search", "colour"),
    (*TUI, "sessions", "export", "--all", "--format", "html", "--output", "exported"),
    (*TUI, "sessions", "list"),
    (*TUI, "models", "list"),
    (*TUI, "doctor"),
    (*CONVERT, "inspect", "MODEL"),
    (*TRAIN, "selfchat", "--speaker", "SPEAKER", "--seeds", "SEEDS", "--output", "corpus.jsonl"),
)
"""Commands that need no network, with the small model's file and a file with a topic."""
REFUSED_COMMANDS: tuple[tuple[str, ...], ...] = (
    (*TUI, "ask", "--model", f"server:http://{ELSEWHERE}/v1#plum", QUESTION),
    (*TUI, "models", "pull", "hf:owner/model"),
    (*TUI, "models", "pull", "--offline", "hf:owner/model"),
    (*CONVERT, "inspect", "hf:owner/model"),
    (*CONVERT, "merge", "hf:owner/model", "--output", "out.gguf"),
    (*TRAIN, "selfchat", "--speaker", f"http://{ELSEWHERE}/v1#plum", "--output", "c.jsonl"),
)
"""Commands that need a network, for ``HF_HUB_OFFLINE=1``."""


def run(options: Options) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="offline-") as folder:
        home = Path(folder)
        model = str(find_model(None, Paths(home, home, home, home)).path)
        seeds = home / "seeds.txt"
        seeds.write_text("Colours of the sea\n")
        files = {"MODEL": model, "SPEAKER": f"local:{model}", "SEEDS": str(seeds)}
        local = [
            tuple(files.get(word, word) for word in words)
            for words in LOCAL_COMMANDS[: max(2, round(options.part(len(LOCAL_COMMANDS))))]
        ]
        if shutil.which("strace") is None:
            yield Figure("nothing connects (strace is not installed)", 0)
        else:
            yield traced_commands("nothing connects", local, home, refused=False)
            yield traced_client(home / "client")
            yield traced_commands(
                "--offline refuses without connecting", REFUSED_COMMANDS, home, refused=True
            )
        if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
            yield Figure("everything works without a network (no namespaces here)", 0)
        else:
            yield without_network(local, home / "namespace")
        yield from tokens(home / "tokens", Path(model))


def _environment(home: Path, **more: str) -> dict[str, str]:
    folders = {"HOME": str(home), "BAIZE_HOME": str(home), "HF_HOME": str(home / "hf")}
    return {**os.environ, **folders, **more}


def _run(
    words: Sequence[str], home: Path, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    home.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [*before, sys.executable, *words],
        cwd=home,
        env=_environment(home, **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def strace(record: Path) -> list[str]:
    """Write the network calls of a program and all its children to ``record``."""
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=%network", "-o", str(record)]


def internet_calls(record: Path) -> list[str]:
    """The calls that have to do with another computer, or could."""
    return [
        line.decode(errors="replace")[:160]
        for line in record.read_bytes().splitlines()
        if _INTERNET.search(line)
    ]


def traced_commands(
    promise: str, commands: Sequence[Sequence[str]], home: Path, *, refused: bool
) -> Figure:
    """Run commands under strace; those that are ``refused`` have to say why in one line."""
    broken = []
    for number, words in enumerate(commands):
        record = home / "record"
        environment = {"HF_HUB_OFFLINE": "1"} if refused else {}
        done = _run(words, home / f"{refused}", strace(record), **environment)
        name = " ".join(words[1:4])
        if bool(done.returncode) != refused or "Traceback" in done.stderr:
            broken.append(f"{number} {name}: exit {done.returncode}: {done.stderr[-200:]}")
        if refused and len(done.stderr.strip().splitlines()) != 1:
            broken.append(f"{number} {name}: not one line: {done.stderr[-300:]}")
        broken += [f"{number} {name}: {call}" for call in internet_calls(record)[:3]]
    return Figure(promise, len(commands), tuple(broken))


def traced_client(home: Path) -> Figure:
    """Answer, search and export in the client, under strace."""
    home.mkdir(parents=True)
    record = home / "record"
    client = [*strace(record), sys.executable, *TUI]
    terminal = TimedTerminal(client, _environment(home))
    try:
        terminal.seconds_until(b"Ask something")
        for keys, shown in (
            (QUESTION.encode() + ENTER, b"tokens/s"),
            (CTRL_S, b"earch"),
            (ESCAPE, b""),
            (ALT_O, b"xport"),
            (TAB + ENTER, b""),  # from the format to the file
        ):
            terminal.forget()
            terminal.type(keys)
            terminal.seconds_until(shown)
            pause(terminal)
        wait_until(terminal, lambda: any(home.glob("*.md")), "no file was exported")
        terminal.type(CTRL_Q)
        wait_until(
            terminal,
            lambda: os.waitpid(terminal.pid, os.WNOHANG) != (0, 0),
            "the client did not quit",
        )
    except AssertionError as error:
        terminal.end()
        return Figure("the client connects nowhere", 1, (str(error)[:300],))
    return Figure("the client connects nowhere", 1, tuple(internet_calls(record)[:5]))


def pause(terminal: TimedTerminal) -> None:
    """Wait as a person does: Esc and a key right after it are one key with Alt."""
    end = time.monotonic() + PAUSE_S
    while (left := end - time.monotonic()) > 0:
        terminal.read(left)


def wait_until(terminal: TimedTerminal, condition: Callable[[], bool], failure: str) -> None:
    """Read the terminal until ``condition`` holds.

    Raises:
        AssertionError: it did not within half a minute.
    """
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end, failure
        terminal.read(0.05)


def without_network(commands: Sequence[Sequence[str]], home: Path) -> Figure:
    """Run commands in a network namespace that has not even a loopback interface."""
    broken = []
    for words in commands:
        done = _run(words, home, ["unshare", "-rn"])
        if done.returncode:
            broken.append(f"{' '.join(words[1:4])}: {done.stderr[-200:]}")
    return Figure("everything works without a network", len(commands), tuple(broken))


def tokens(home: Path, model: Path) -> Iterator[Figure]:
    """A token is sent to its own host alone, and never printed or written to a file."""
    repository = home / "repository"
    repository.mkdir(parents=True)
    (repository / "model.gguf").symlink_to(model)
    printed: dict[str, str] = {}
    with ExitStack() as stack:
        hub = stack.enter_context(serve_hub({"owner/private": repository}, TOKEN))
        server = stack.enter_context(serve(refuse(401, f"Incorrect API key provided: {KEY}")))
        hub_environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        for faults in ([], [401], [500, 500], [429]):
            hub.faults.errors[:] = faults
            name = f"a pull with {faults or 'no'} faults"
            pull = (*TUI, "models", "pull", "hf:owner/private", "--name", f"m{len(printed)}")
            done = _run(pull, home / "home", **hub_environment)
            printed[name] = done.stdout + done.stderr
        for debug in ((), ("--debug",)):
            words = (*TUI, "ask", *debug, "--model", server.spec, QUESTION)
            done = _run(words, home / "home", BAIZE_SERVER_KEY=f"{server.host}={KEY}")
            printed[f"a refused key {' '.join(debug)}"] = done.stdout + done.stderr
        elsewhere = [
            path
            for _, path, headers in hub.requests
            if path.startswith("/cdn/") and "authorization" in headers
        ]
        yield Figure("a token reaches no other host", len(hub.requests), tuple(elsewhere))
        yield Figure(
            "no token is printed",
            len(printed),
            tuple(name for name, text in printed.items() if TOKEN in text or KEY in text),
        )
    yield written_secrets(home / "home", {"hub token": TOKEN, "server key": KEY})


def written_secrets(folder: Path, secrets: Mapping[str, str]) -> Figure:
    """Whether any file below ``folder`` contains one of ``secrets``."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    small = [file for file in files if file.stat().st_size < 50_000_000]
    broken = [
        f"the {name} is in {file.relative_to(folder)}"
        for file in small
        for name, secret in secrets.items()
        if secret.encode() in file.read_bytes()
    ]
    return Figure("no token is written to a file", len(small), tuple(broken))
