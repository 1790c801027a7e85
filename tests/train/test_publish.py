"""``baize-train publish`` as a process, against a stand-in of the hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.convert.make_goldens import FOLDER
from tests.hub.upload_stand_in import LARGE, Repository, UploadHub, serve_uploads
from tests.terminal.pty_session import PtySession
from tests.warm_start import PROGRAMS, as_text

TOKEN = "hf_" + "s3cr3t" * 6
BASE = "meta/base"
NAME = "me/my-lora"
Publish = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def hub() -> Iterator[UploadHub]:
    with serve_uploads(TOKEN, {"me"}) as hub:
        hub.repositories[BASE] = Repository(private=False)
        yield hub


@pytest.fixture
def environment(hub: UploadHub, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": TOKEN,
        # Chunks of Xet go to a service of its own; large files go to the store here.
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "BAIZE_HOME": str(tmp_path / "home"),
    }


@pytest.fixture
def publish(environment: dict[str, str]) -> Publish:
    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ("publish", *map(str, arguments))
        done = as_text(PROGRAMS.run("baize_train", command, {**environment, **variables}))
        assert TOKEN not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter as a run leaves it: trained on a base and on data of this machine."""
    folder = tmp_path / "somewhere" / "my-lora"
    shutil.copytree(FOLDER / "plain", folder, ignore=shutil.ignore_patterns("merged*", "*.bin"))
    config = json.loads((folder / "adapter_config.json").read_text())
    base, data = str(tmp_path / "llama"), str(tmp_path / "corpora" / "chats.jsonl")
    config["base_model_name_or_path"] = base
    (folder / "adapter_config.json").write_text(json.dumps(config))
    manifest = {"base": base, "data": [{"path": data, "sha256": "0", "dialogues": 1}]}
    (folder / "run.json").write_text(json.dumps(manifest))
    (folder / "README.md").write_text(
        f"---\nlibrary_name: peft\n---\n\n# my-lora\n\nA LoRA on {base}.\n\n- {data}: 1 dialogue\n"
    )
    (folder / "baize_prompt.json").write_text('{"format": "baize", "system": ""}')
    for private in ("optimizer.pt", "train.jsonl", ".env", "token"):
        (folder / private).write_text(TOKEN)
    (folder / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-3" / "adapter_model.safetensors").write_text("old")
    return folder


def test_an_adapter_is_published_without_what_belongs_to_this_machine(
    hub: UploadHub, publish: Publish, adapter: Path, tmp_path: Path
) -> None:
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    assert len(weights) >= LARGE
    done = publish(adapter, NAME, "--base", BASE, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/{NAME}" in done.stdout
    for part in ("private repository me/my-lora", f"base: {BASE}", f"{len(weights):,} bytes"):
        assert part in done.stdout
    assert "not sent: .env, checkpoints/, optimizer.pt, token, train.jsonl" in done.stderr
    repository = hub.repositories[NAME]
    assert repository.private
    assert sorted(repository.files) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors"),
        *("baize_prompt.json", "run.json"),
    ]
    assert repository.files["adapter_model.safetensors"] == weights
    assert json.loads(repository.files["adapter_config.json"])["base_model_name_or_path"] == BASE
    assert f"base_model: {BASE}\n" in repository.files["README.md"].decode()
    assert json.loads(repository.files["run.json"])["data"][0]["path"] == "chats.jsonl"
    for name, content in repository.files.items():
        assert str(tmp_path).encode() not in content, name
    assert str(tmp_path) in (adapter / "run.json").read_text(), "the folder stays as it is"


def test_the_token_goes_to_the_hub_alone(hub: UploadHub, publish: Publish, adapter: Path) -> None:
    assert publish(adapter, NAME, "--base", BASE, "--yes").returncode == 0
    elsewhere = [sent for _, url, sent in hub.requests if url.startswith(hub.store_url)]
    assert len(elsewhere) == 2, "a large file, and the check that the hub asks for"
    assert elsewhere == [None, None]
    own = [sent for _, url, sent in hub.requests if url.startswith(hub.url)]
    assert set(own) == {f"Bearer {TOKEN}"}


def test_the_same_command_continues_after_a_failure(
    hub: UploadHub, publish: Publish, adapter: Path
) -> None:
    second = adapter / "adapter.gguf"
    second.write_bytes(b"GGUF" + bytes(2 * LARGE))
    hub.breaks = 1
    failed = publish(adapter, NAME, "--base", BASE, "--yes")
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 2, failed.stderr
    assert "run the same command again" in failed.stderr
    assert hub.repositories[NAME].files == {}, "nothing is half published"
    assert publish(adapter, NAME, "--base", BASE, "--yes").returncode == 0
    assert sorted(hub.arrivals) == sorted(hub.objects), "what has arrived is not sent again"
    assert len(hub.objects) == 2
    assert len(hub.repositories[NAME].files) == 6
    again = publish(adapter, NAME, "--base", BASE, "--yes")
    assert again.returncode == 0
    assert (len(hub.arrivals), hub.repositories[NAME].commits) == (2, 1)


def test_a_folder_of_ggufs_needs_a_card(hub: UploadHub, publish: Publish, tmp_path: Path) -> None:
    folder = tmp_path / "ggufs"
    folder.mkdir()
    (folder / "mine-Q4_K_M.gguf").write_bytes(b"GGUF" + bytes(100))
    refused = publish(folder, "me/mine", "--yes")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "README.md" in refused.stderr
    (folder / "README.md").write_text("# Mine")
    done = publish(folder, "hf:me/mine", "--public", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["repository"], told["public"]) == ("me/mine", True)
    assert told["files"][1] == {"name": "mine-Q4_K_M.gguf", "size": 104}
    assert not hub.repositories["me/mine"].private


def test_nothing_is_sent_without_a_yes(
    hub: UploadHub, environment: dict[str, str], publish: Publish, adapter: Path
) -> None:
    refused = publish(adapter, NAME, "--base", BASE)
    assert refused.returncode == 1
    assert "add --yes" in refused.stderr
    arguments = ("publish", str(adapter), NAME, "--base", BASE)
    program = [sys.executable, "-m", "baize_train"]
    with PtySession(*arguments, program=program, environment=environment) as terminal:
        terminal.wait_for("Send 5 files")
        assert hub.requests == []
        terminal.type("n\r")
        terminal.wait_for("nothing was sent")
    assert hub.requests == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: (f / "adapter_model.safetensors").unlink(), "has not finished"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x" * 20), "safetensors"),
        (lambda f: (f / "adapter_config.json").write_text("[]"), "not a JSON object"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "peft_type"),
        (lambda f: (f / "README.md").unlink(), "no model card"),
        (lambda f: (f / "README.md").write_text(f"my {f}/x"), "a path of this machine"),
        (lambda f: (f / "README.md").write_text(f"my token {TOKEN}"), "a Hugging Face token"),
        (lambda f: (f / "old.gguf").write_bytes(b"GG"), "not a GGUF"),
        (lambda f: shutil.rmtree(f), "not a folder"),
    ],
)
def test_a_folder_that_others_cannot_use_is_refused(
    hub: UploadHub,
    publish: Publish,
    adapter: Path,
    spoil: Callable[[Path], object],
    reason: str,
) -> None:
    spoil(adapter)
    refused = publish(adapter, NAME, "--base", BASE, "--yes")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert reason in refused.stderr
    assert hub.requests == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("base", ["/home/me/llama", "./llama", "llama", ""])
def test_a_base_on_this_machine_is_refused(
    hub: UploadHub, publish: Publish, adapter: Path, base: str
) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": base})
    )
    refused = publish(adapter, NAME, "--yes")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "--base owner/name" in refused.stderr
    assert hub.requests == []


def test_each_refusal_of_the_hub_is_one_line(
    hub: UploadHub, publish: Publish, adapter: Path
) -> None:
    hub.echo = True
    hub.repositories["me/open"] = Repository(private=False)
    hub.repositories["me/closed"] = Repository(private=True)
    command = (adapter, NAME, "--base", BASE, "--yes")
    for arguments, variables, reason in [
        (command, {"HF_TOKEN": "hf_" + "wrong" * 7}, "does not accept this token"),
        (command, {"HF_TOKEN": ""}, "hf auth login"),
        ((adapter, "others/my-lora", *command[2:]), {}, "may not write there"),
        ((adapter, NAME, "--base", "no/such", "--yes"), {}, "no such owner or repository"),
        ((adapter, "me/open", *command[2:]), {}, "add --public"),
        ((adapter, "me/closed", *command[2:], "--public"), {}, "leave --public out"),
        ((adapter, "no name", *command[2:]), {}, "write owner/name"),
        # The hub here has no service of chunks.
        ((adapter, "me/x", *command[2:]), {"HF_HUB_DISABLE_XET": "0"}, "run the same command"),
        (command, {"HF_HUB_OFFLINE": "1"}, "the network is off"),
        (command, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
    ]:
        refused = publish(*arguments, **variables)
        messages = [line for line in refused.stderr.splitlines() if "not sent: " not in line]
        assert (refused.returncode, len(messages)) == (1, 1), refused.stderr
        assert reason in messages[0]
        assert "wrongwrong" not in refused.stdout + refused.stderr
    assert NAME not in hub.repositories


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>Please log in</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"files": 3}'),
        (502, "text/html", b"<html>bad gateway</html>"),
    ],
)
def test_an_answer_that_is_not_the_hub_s_is_one_line(
    hub: UploadHub, publish: Publish, adapter: Path, answer: tuple[int, str, bytes]
) -> None:
    hub.answer = answer
    failed = publish(adapter, NAME, "--base", BASE, "--yes")
    messages = [line for line in failed.stderr.splitlines() if "not sent: " not in line]
    assert (failed.returncode, len(messages)) == (1, 1), failed.stderr
    assert "unexpected error" not in messages[0]
