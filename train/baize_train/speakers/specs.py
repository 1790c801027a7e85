"""Open the speaker that a command line names."""

from __future__ import annotations

import os
from pathlib import Path

from baize_train.errors import TrainError
from baize_train.speakers.speaker import Speaker

KEY_VARIABLE = "OPENAI_API_KEY"
LOCAL_PREFIX, SERVER_PREFIX = "local:", "server:"


def open_speaker(spec: str, key_file: Path | None) -> Speaker:
    """The speaker ``local:MODEL`` or ``server:URL#model``.

    Raises:
        TrainError: ``spec`` has another form, or there is no such model.
    """
    # Imported here because a command uses one kind of speaker, rarely both.
    if spec.startswith(LOCAL_PREFIX):
        from baize_train.speakers.gguf_speaker import open_gguf_speaker

        return open_gguf_speaker(spec.removeprefix(LOCAL_PREFIX))
    if spec.startswith(SERVER_PREFIX):
        from baize_train.speakers.server_speaker import open_server_speaker

        return open_server_speaker(spec.removeprefix(SERVER_PREFIX), _read_key(key_file))
    raise TrainError(f"{spec}: write local:MODEL or server:URL#model")


def _read_key(file: Path | None) -> str:
    """The server's key. It is never an argument: every program on a machine can read those."""
    if file is None:
        return os.environ.get(KEY_VARIABLE, "")
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"--key-file {file}: {error}") from error
