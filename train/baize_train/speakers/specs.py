"""Open the speaker that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.errors import TrainError
from baize_train.speakers.speaker import Backend
from baize_train.speakers.steady_speaker import SteadySpeaker

LOCAL_PREFIX, SERVER_PREFIX, BATCH_PREFIX = "local:", "server:", "batch:"
_FORMS = "local:MODEL, server:URL#model or batch:FOLDER#model"


class ServerAccess(Struct, frozen=True):
    """How the servers of a command are reached and asked."""

    key_files: tuple[str, ...] = ()
    """``FILE`` for the only server, or ``HOST=FILE``."""
    extra: dict[str, Any] = {}
    """Parameters of each request; None leaves one out."""
    thought_tokens: int = 0
    timeout_s: float | None = None
    at_once: int | None = None


def open_speaker(specs: Sequence[str], access: ServerAccess) -> SteadySpeaker:
    """The speaker ``local:MODEL``, ``server:URL#model`` or ``batch:FOLDER#model``.

    Several servers have the same model.

    Raises:
        TrainError: a spec has another form, or there is no such model or key.
    """
    return SteadySpeaker([_open_backend(spec, access) for spec in specs], access.at_once)


def _open_backend(spec: str, access: ServerAccess) -> Backend:
    # Imported here because a command uses one kind of speaker, rarely both.
    if spec.startswith(LOCAL_PREFIX):
        from baize_train.speakers.gguf_speaker import open_gguf_speaker

        return open_gguf_speaker(spec.removeprefix(LOCAL_PREFIX))
    if spec.startswith(SERVER_PREFIX):
        return _open_server(spec.removeprefix(SERVER_PREFIX), access)
    if spec.startswith(BATCH_PREFIX):
        from baize_train.speakers.batch_backend import BatchBackend

        folder, _, model = spec.removeprefix(BATCH_PREFIX).rpartition("#")
        if folder and model:
            return BatchBackend(Path(folder), model, access.extra, access.thought_tokens)
    raise TrainError(f"{spec}: write {_FORMS}")


def _open_server(address: str, access: ServerAccess) -> Backend:
    from baize_train.speakers.server_speaker import ServerOptions, ServerSpeaker, parse_server
    from baize_tui.engine.client import EngineFailure
    from baize_tui.engine.remote.server_keys import find_key, how_to_give
    from baize_tui.paths import project_paths

    server = parse_server(address)
    keys_file = project_paths().server_keys_file
    try:
        key = _key_in_files(server.host, access.key_files) or find_key(server, keys_file)
    except EngineFailure as error:
        raise TrainError(str(error)) from error
    options = ServerOptions(
        thought_tokens=access.thought_tokens,
        extra=access.extra,
    )
    if access.timeout_s is not None:
        options = msgspec.structs.replace(options, timeout_s=access.timeout_s)
    how = f"{how_to_give(server.host, keys_file)}, or give --key-file FILE"
    return ServerSpeaker(server, key, options, how)


def check_key_files(key_files: Sequence[str], specs: Sequence[str]) -> None:
    """Check that a key file without a host belongs to one server for certain.

    Raises:
        TrainError: the command has several servers.
    """
    from baize_train.speakers.server_speaker import parse_server

    servers = [spec.removeprefix(SERVER_PREFIX) for spec in specs if spec.startswith(SERVER_PREFIX)]
    hosts = list(dict.fromkeys(parse_server(server).host for server in servers))
    if len(hosts) > 1 and any(_split_key_file(each)[0] == "" for each in key_files):
        raise TrainError(f"--key-file: whose key is it? Write HOST=FILE, as in {hosts[0]}=FILE")


def _split_key_file(argument: str) -> tuple[str, Path]:
    """Host and file of ``HOST=FILE``; the host is empty in ``FILE`` alone."""
    host, equals, name = argument.partition("=")
    if not equals or Path(argument).exists():
        return "", Path(argument)
    return host.strip().lower(), Path(name)


def _key_in_files(host: str, key_files: Sequence[str]) -> str:
    """The key for ``host``. It is never an argument: every program on a machine can read those."""
    for argument in key_files:
        wanted, file = _split_key_file(argument)
        if wanted not in ("", host):
            continue
        try:
            key = file.read_text("utf-8").strip()
        except OSError as error:
            raise TrainError(f"--key-file {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise TrainError(f"--key-file {file}: not UTF-8") from error
        if not key.isascii() or not key.isprintable() or " " in key:
            raise TrainError(f"--key-file {file}: it has characters that no key has")
        return key
    return ""
