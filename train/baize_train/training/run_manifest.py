"""``run.json``: what a run was made of and what became of it, beside the adapter."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from baize_shared.atomic_files import write_atomically
from baize_train.errors import TrainError
from baize_train.tokens.token_sets import TokenCounts

FILE = "run.json"
_PACKAGES = (
    "baize-tui",
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "llama-cpp-python",
)
_BLOCK = 1 << 20


class DataFile(Struct, frozen=True):
    path: str
    sha256: str
    dialogues: int


class LossPoint(Struct, frozen=True, omit_defaults=True):
    """A point of the curve; ``held_out`` marks the loss on dialogues that are not trained on."""

    step: int
    loss: float
    held_out: bool = False
    learning_rate: float | None = None


class RunManifest(Struct):
    """Settings, inputs by their hashes, versions and losses of one run."""

    kind: Literal["finetune", "sdf", "dpo"]
    base: str
    base_sha256: str
    settings: dict[str, Any]
    """All that has an effect on the weights; another run has others."""
    data: list[DataFile]
    held_out: list[DataFile]
    teachers: list[str]
    """Who wrote the corpus; their terms hold for what is made of it."""
    tokens: TokenCounts
    held_out_tokens: TokenCounts
    versions: dict[str, str]
    device: str
    parameters: int = 0
    trainable: int = 0
    steps: int = 0
    losses: list[LossPoint] = []
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    peak_memory: int = 0
    """Bytes, on the GPU where there is one."""
    finished: bool = False

    def begins_as(self, other: RunManifest) -> bool:
        """Whether both are one run, as far as what it is made of tells."""
        return self._identity() == other._identity()

    def _identity(self) -> bytes:
        # As JSON: read back, a tuple is a list.
        parts = [self.kind, self.base_sha256, self.settings, self.data, self.held_out]
        return msgspec.json.encode(parts, order="sorted")


def versions() -> dict[str, str]:
    """Of all that has a part in the weights."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def sha256_of(path: Path) -> str:
    """Of a file; of a folder, of the names and contents of its weights and configuration."""
    digest = hashlib.sha256()
    files: Sequence[Path] = [path]
    if path.is_dir():
        files = sorted(
            file
            for file in path.iterdir()
            if file.suffix in (".safetensors", ".bin", ".json", ".model", ".jinja")
        )
    try:
        for file in files:
            digest.update(b"" if file == path else file.name.encode())
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
    except OSError as error:
        raise TrainError(f"{error.filename}: {error.strerror}") from error
    return digest.hexdigest()


def read_manifest(folder: Path) -> RunManifest | None:
    """The manifest of a run; None where there is none.

    Raises:
        TrainError: it is no manifest.
    """
    file = folder / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunManifest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TrainError(f"{file} is no manifest of a run: {error}") from error


def write_manifest(manifest: RunManifest, folder: Path) -> None:
    """Replace the manifest in one step.

    Raises:
        TrainError: it cannot be written.
    """
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
