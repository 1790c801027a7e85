"""What a command line names: speakers, their keys, and seeds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from baize_train.errors import TrainError
from baize_train.selfchat.domain_seeds import PREFIX, seeds_of
from baize_train.selfchat.seed_files import dataset_seeds, is_dataset, read_seeds
from baize_train.speakers.speaker import Speaker

KEY_VARIABLE = "OPENAI_API_KEY"


def speaker_named(spec: str, key_file: Path | None) -> Speaker:
    """``local:MODEL`` or ``server:URL#model``.

    Raises:
        TrainError: it is neither, or not there.
    """
    if spec.startswith("local:"):
        from baize_train.speakers.gguf_speaker import gguf_named

        return gguf_named(spec)
    if spec.startswith("server:"):
        from baize_train.speakers.server_speaker import server_named

        return server_named(spec, _key(key_file))
    raise TrainError(f"{spec}: write local:MODEL or server:URL#model")


def seeds_in(one: str, column: str | None) -> Iterable[str]:
    """The seeds of a file, a dataset, or a domain."""
    if one.startswith(PREFIX):
        return seeds_of(one)
    return dataset_seeds(one, column) if is_dataset(one) else read_seeds(Path(one), column)


def all_domains(seeds: list[str]) -> bool:
    return all(one.startswith(PREFIX) for one in seeds)


def _key(file: Path | None) -> str:
    """Never an argument: every program on a machine sees those."""
    if file is None:
        return os.environ.get(KEY_VARIABLE, "")
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError(f"--key-file {file}: {error}") from error
