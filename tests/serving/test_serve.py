"""Other programs reach a model through ``baize-tui serve``, with the token and not without it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam

from baize_tui.cli.main import run as run_here
from baize_tui.serving.endpoint_process import llama_server_arguments
from baize_tui.serving.order import ServeOrder
from baize_tui.serving.tokens import TOKEN_VARIABLE
from tests.cli.test_commands import run
from tests.conftest import wait_for
from tests.processes import children_of, wait_until_gone
from tests.serving import llama_server
from tests.serving.served import Served, serve

PARIS = "What is the capital of France?"
CHAT: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are a helpful AI assistant."},
    {"role": "user", "content": PARIS},
]
TOKEN = "plum-0123456789-0123456789"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One endpoint for all that only ask it."""
    home = tmp_path_factory.mktemp("home")
    with serve(
        environment={"BAIZE_HOME": str(home), "BAIZE_FLASH_ATTENTION": "on", "VERBOSE": "x"}
    ) as running:
        yield running


def answers_there(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


def test_the_client_of_openai_gets_an_answer(served: Served) -> None:
    client = served.client()
    assert [model.id for model in client.models.list()] == [served.model]
    answer = client.chat.completions.create(
        model=served.model,
        messages=CHAT,
        temperature=0,
        max_tokens=16,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    parts = client.chat.completions.create(
        model=served.model,
        messages=CHAT,
        temperature=0,
        max_tokens=16,
        stream=True,
    )
    streamed = [part.choices[0].delta.content or "" for part in parts]
    assert "".join(streamed) == answer.choices[0].message.content
    assert len(streamed) > 4


def test_our_own_client_gets_an_answer(served: Served) -> None:
    done = run(
        *("ask", PARIS, "--model", served.spec, "--temperature", "0", "--max-tokens", "16"),
        BAIZE_SERVER_KEY=served.key,
    )
    assert (done.returncode, b"Paris" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("GET", "/docs"), ("GET", "/none")],
)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "TOKEN"}, {"x-api-key": "TOKEN"}],
    ids=str,
)
def test_without_the_token_nothing_is_answered(
    served: Served, method: str, path: str, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    sent = {name: value.replace("TOKEN", served.token) for name, value in headers.items()}
    connection.request(method, path, body=b"{}" if method == "POST" else None, headers=sent)
    response = connection.getresponse()
    assert response.status == 401
    assert "token" in json.loads(response.read())["error"]["message"]
    connection.close()


def test_the_error_is_the_one_that_the_client_of_openai_knows(served: Served) -> None:
    with pytest.raises(openai.AuthenticationError, match="token"):
        served.client("wrong").models.list()


def test_it_listens_on_this_computer_alone(served: Served) -> None:
    process = psutil.Process(served.process.pid)
    (child,) = process.children()
    listening = [c.laddr for c in child.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", served.port)]


def test_the_token_is_in_no_command_line_and_in_no_log(served: Served) -> None:
    process = psutil.Process(served.process.pid)
    for each in (process, *process.children(recursive=True)):
        assert served.token not in " ".join(each.cmdline())
    home = Path(process.environ()["BAIZE_HOME"])
    logs = [file for file in home.rglob("*") if file.is_file() and file.suffix == ".log"]
    assert logs
    assert not any(served.token.encode() in file.read_bytes() for file in logs)


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    with serve("--token-file", str(file)) as served:
        assert served.token == TOKEN
        children = children_of(served.process.pid)
        assert len(children) == 1
        served.process.kill()
        wait_for(lambda: not answers_there(served.port))
        wait_until_gone(children)


def test_two_answers_at_once_are_both_complete(served: Served) -> None:
    """The second program waits; it does not end the answer of the first."""

    def finish_reason(client: openai.OpenAI) -> str | None:
        parts = client.chat.completions.create(
            model="any", messages=CHAT, temperature=0, max_tokens=24, stream=True
        )
        return [part.choices[0].finish_reason for part in parts][-1]

    with ThreadPoolExecutor() as threads:
        reasons = list(threads.map(finish_reason, [served.client(), served.client()]))
    assert reasons == ["stop", "stop"]


# --- what cannot be served ----------------------------------------------------------------------


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What ``serve`` with arguments says on stderr when it fails."""

    def fail(*arguments: str) -> str:
        assert run_here([*arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return fail


def test_a_port_in_use_is_one_line(refusal: Callable[..., str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal("serve", "--port", str(port))
    assert line == (
        f"baize-tui: port {port} is in use by another program: choose another one with --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0 can be reached from other computers"),
        (("--host", "192.0.2.7", "--listen-on-network"), "192.0.2.7 is not an address of this"),
        (("--host", "nowhere.invalid"), "nowhere.invalid can be reached from other computers"),
        (("--model", "server:http://127.0.0.1:1#a"), "is on a server"),
        (("--model", "no-such-model"), "no-such-model"),
        (("--server", "llama-server"), "llama-server is not on the PATH"),
        (("--token-file", "/nowhere/token"), "/nowhere/token: No such file"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_one_line(
    arguments: tuple[str, ...],
    why: str,
    refusal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    *warnings, last = refusal("serve", "--port", "0", *arguments).splitlines()
    assert why in last
    assert all("warning: " in line for line in warnings)


def test_the_network_is_a_flag_away_and_offline_forbids_it(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    line = refusal("serve", "--host", "0.0.0.0", "--listen-on-network")
    assert "--offline forbids" in line


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_can_read_is_refused(
    mode: int, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    assert refusal("serve", "--token-file", str(file)) == (
        f"baize-tui: others can read the token in {file}: chmod 600 {file}\n"
    )


@pytest.mark.parametrize("token", ["short", "with a space in the middle", "\N{BELL}" * 20, ""])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(
    token: str, tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    file.chmod(0o600)
    line = refusal("serve", "--token-file", str(file))
    assert f"the token in {file} must" in line
    if token:
        assert token not in line
        monkeypatch.setenv(TOKEN_VARIABLE, token)
        assert f"the token in {TOKEN_VARIABLE} must" in refusal("serve")


def test_without_a_server_the_line_says_how_to_get_one(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "pip install 'baize-tui[serve]'" in refusal("serve")


# --- llama-server -------------------------------------------------------------------------------


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder for the PATH, with a program called llama-server."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "llama-server"
    source = Path(llama_server.__file__).read_text("utf-8")
    program.write_text(f"#!{sys.executable}\n{source}")
    program.chmod(0o700)
    return folder


def test_llama_server_runs_where_it_is_installed(stand_in: Path, smollm2: Path) -> None:
    with serve(
        *("--model", str(smollm2), "--server", "llama-server"),
        environment={"PATH": f"{stand_in}{os.pathsep}{os.environ['PATH']}"},
    ) as served:
        assert [model.id for model in served.client().models.list()] == ["stand-in"]
        with pytest.raises(openai.AuthenticationError):
            served.client("wrong").models.list()
        pid, arguments = json.loads((stand_in / "llama-server.json").read_text())
        assert served.token not in arguments
        assert arguments[arguments.index("--model") + 1] == str(smollm2)
        served.process.kill()
        wait_for(lambda: not psutil.pid_exists(pid))


ORDER = ServeOrder(
    program="llama-server",
    model="m.gguf",
    name="m",
    host="127.0.0.1",
    port=1,
    token=TOKEN,
    n_ctx=2048,
    threads=3,
    threads_batch=4,
    gpu_layers=-1,
    flash_attention=False,
    kv_type="q8_0",
    profile="no-extra-buffers",
)


def test_llama_server_gets_the_profile_of_the_machine() -> None:
    arguments = " ".join(llama_server_arguments(ORDER, has_amx=False))
    for part in (
        "--ctx-size 2048",
        "--threads 3 --threads-batch 4",
        "--flash-attn off",
        "--cache-type-k q8_0 --cache-type-v q8_0",
        "--no-repack",
    ):
        assert part in arguments
    assert TOKEN not in arguments


def test_llama_server_never_uses_amx() -> None:
    fast = msgspec.structs.replace(ORDER, profile="full")
    assert "--no-repack" in llama_server_arguments(fast, has_amx=True)
    assert "--no-repack" not in llama_server_arguments(fast, has_amx=False)


@pytest.mark.skipif(shutil.which("llama-server") is None, reason="llama-server is not installed")
def test_the_real_llama_server_answers(smollm2: Path) -> None:
    with serve("--model", str(smollm2), "--server", "llama-server") as served:
        answer = served.client().chat.completions.create(
            model="any",
            messages=CHAT,
            temperature=0,
            max_tokens=16,
        )
        assert "Paris" in (answer.choices[0].message.content or "")
