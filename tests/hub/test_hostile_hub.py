"""A server that is not the hub: ``baize-convert`` as a process, which writes only to its cache."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.convert.hostile.hub_answers import BOMB, Answer, HostileHub, serve_hostile
from tests.warm_start import PROGRAMS, as_text

Run = Callable[..., "subprocess.CompletedProcess[str]"]
HTML = b"<!DOCTYPE html><title>Welcome to our hotel</title>"
INFO, CONFIG, WEIGHTS = "/api/models/", "/config.json", "/model.gguf"


@pytest.fixture(scope="module")
def server() -> HostileHub:
    return serve_hostile()


@pytest.fixture
def hostile(server: HostileHub) -> Iterator[HostileHub]:
    server.requests.clear()
    server.sent = 0
    yield server
    server.change = lambda path, answer: None


@pytest.fixture
def run(hostile: HostileHub, tmp_path: Path) -> Run:
    """Run a command; the hub's cache is the only thing that may appear in ``tmp_path``."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    home = tmp_path / "hf"

    def run(
        *arguments: object, program: str = "baize_convert", memory: int = resource.RLIM_INFINITY
    ) -> subprocess.CompletedProcess[str]:
        environment = {"HF_ENDPOINT": hostile.url, "HF_HOME": str(home), "HF_TOKEN": "hf_secret"}
        done = as_text(
            PROGRAMS.run(
                program,
                list(map(str, arguments)),
                {**kept, **environment},
                prepare=partial(resource.setrlimit, resource.RLIMIT_DATA, (memory, memory)),
            )
        )
        written = {path.name for path in tmp_path.iterdir()} - {"home"}
        assert written <= {"hf"}
        hub = home / "hub"
        inside = {path.name for path in hub.iterdir()} if hub.is_dir() else set()
        assert inside <= {"models--owner--name", ".locks"}
        assert "Traceback" not in done.stderr
        return done

    return run


def changed(path_part: str, **fields: object) -> Callable[[str, Answer], None]:
    """A change of the answers for paths with ``path_part``: fields, or headers in capitals."""

    def change(path: str, answer: Answer) -> None:
        if path_part not in path:
            return
        for name, value in fields.items():
            if name in ("status", "body", "length", "endless"):
                setattr(answer, name, value)
            else:
                answer.headers[name.replace("_", "-")] = str(value)

    return change


def siblings(*names: str) -> bytes:
    files = ", ".join(f'{{"rfilename": "{name}"}}' for name in names)
    return f'{{"sha": "{"0a" * 20}", "siblings": [{files}]}}'.encode()


@pytest.mark.sampled(9)
@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (changed(INFO, body=HTML, Content_Type="text/html"), "a web page came instead"),
        (changed(CONFIG, body=HTML, Content_Type="text/html", ETag=""), "a web page came instead"),
        (changed(INFO, body=b"[1, 2]"), "the answer is not the hub's"),
        (changed(INFO, body=b'{"sha": 5, "siblings": []}'), "the answer is not the hub's"),
        (changed(INFO, body=b'{"sha": "../../../../evil"}'), "the answer is not the hub's"),
        (changed(INFO, body=b"[" * 100_000), "the answer is not the hub's"),
        (changed(INFO, body=siblings("../x.gguf")), "'../x.gguf' is not the name of a file"),
        (changed(INFO, body=siblings("/etc/x.json")), "'/etc/x.json' is not the name of a file"),
        (changed(INFO, body=siblings("a/../../x.json")), "is not the name of a file"),
        (changed(INFO, body=siblings("..\\\\x.json")), "is not the name of a file"),
        (changed(INFO, body=siblings("C:\\\\x.json")), "is not the name of a file"),
        (changed(INFO, body=siblings("x\\u0000.json")), "is not the name of a file"),
        (changed(CONFIG, ETag='"../../../../evil"'), "lacks its size or its hash"),
        (changed(CONFIG, ETag='"' + "A" * 40 + '"'), "lacks its size or its hash"),
        (changed(CONFIG, length="-1"), "hf:owner/name"),
        (changed(CONFIG, X_Linked_Size="-5"), "lacks its size or its hash"),
        (changed(CONFIG, X_Linked_Size="9" * 30), "lacks its size or its hash"),
        (changed(CONFIG, X_Linked_Size="9" * 14), "too much for a file of its kind"),
        (changed(CONFIG, X_Repo_Commit="0b" * 20), "lacks its size or its hash"),
        (changed(INFO, status=302, Location="file:///etc/passwd"), "redirects to 'file:///etc"),
        (changed(INFO, status=302, Location="http://["), "redirects to 'http://['"),
        (changed(INFO, status=302, Location="http://localhost:9/login"), "is not JSON"),
        (changed(INFO, status=302, Location=f"{INFO}owner/name"), "redirected again and again"),
        (changed(INFO, Content_Encoding="br"), "compressed with 'br'"),
        (changed(INFO, endless=True, length=None), "is longer than"),
        (changed(CONFIG, endless=True, length=None), "hf:owner/name"),
    ],
)
def test_an_answer_that_is_not_the_hubs_is_one_line(
    change: Callable[[str, Answer], None], wrong: str, hostile: HostileHub, run: Run
) -> None:
    hostile.change = change
    done = run("plan", "hf:owner/name")
    assert done.returncode == 1
    assert wrong in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bomb_in_gzip_takes_no_memory(hostile: HostileHub, run: Run) -> None:
    hostile.change = changed(INFO, body=BOMB, Content_Encoding="deflate")
    done = run("plan", "hf:owner/name", memory=500_000_000)
    assert "is longer than" in done.stderr


def test_the_rest_of_an_endless_answer_is_not_read(hostile: HostileHub, run: Run) -> None:
    hostile.change = changed(INFO, endless=True, length=None)
    run("plan", "hf:owner/name")
    assert hostile.sent < 40 << 20


@pytest.mark.parametrize("place", ["http://localhost:{port}/elsewhere", "//localhost:{port}/x"])
def test_a_token_does_not_follow_a_redirect(
    place: str, hostile: HostileHub, run: Run, tmp_path: Path
) -> None:
    port = hostile.url.rpartition(":")[2]
    location = place.format(port=port)
    hostile.change = changed("/resolve/", status=302, Location=location)
    run("plan", "hf:owner/name")
    assert any(token for _, token in hostile.requests)
    assert not any(token for path, token in hostile.requests if path in ("/elsewhere", "/x"))


def test_what_is_downloaded_is_private(hostile: HostileHub, run: Run, tmp_path: Path) -> None:
    run("plan", "hf:owner/name")  # a config without sizes
    files = [path for path in (tmp_path / "hf" / "hub").rglob("*") if not path.is_symlink()]
    assert any(path.is_file() for path in files)
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


def test_a_redirect_within_the_hub_is_followed_with_the_token(
    hostile: HostileHub, run: Run
) -> None:
    hostile.change = changed("/resolve/", status=307, Location="/api/resolve-cache/config.json")
    done = run("plan", "hf:owner/name")
    assert "no model.safetensors" in done.stderr  # the config has come, and there are no weights
    assert ("/api/resolve-cache/config.json", "Bearer hf_secret") in hostile.requests
