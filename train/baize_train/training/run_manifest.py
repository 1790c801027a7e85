"""``run.json``: what a run was made from and its results, next to the adapter."""

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
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.private_files import private_folder
from baize_train.errors import TrainError
from baize_train.tokens.token_sets import TokenCounts
from baize_train.training.base_model import Device

MANIFEST_FILE = "run.json"
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
_BLOCK_BYTES = 1 << 20
RunKind = Literal["finetune", "sdf", "dpo", "kto"]


class DataFile(Struct, frozen=True):
    """A file of dialogues that a run reads."""

    path: str
    sha256: str
    dialogues: int


class LossPoint(Struct, frozen=True, omit_defaults=True):
    """A point of the loss curve; ``held_out`` is for dialogues that are not trained on."""

    step: int
    loss: float
    held_out: bool = False
    learning_rate: float | None = None


class RunManifest(Struct):
    """Settings, hashes of the inputs, versions and losses of one run."""

    kind: RunKind
    base: str
    base_sha256: str
    settings: dict[str, Any]
    """Everything that affects the weights: runs with different settings are different runs."""
    data: list[DataFile]
    held_out: list[DataFile]
    teachers: list[str]
    """Models that wrote the corpus; their terms apply to the result."""
    tokens: TokenCounts
    held_out_tokens: TokenCounts
    versions: dict[str, str]
    device: Device
    parameters: int = 0
    trainable: int = 0
    steps: int = 0
    best_step: int | None = None
    """The step whose weights were kept for their held-out loss; None if they are the last ones."""
    losses: list[LossPoint] = []
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    peak_memory: int = 0
    """Bytes, of the GPU if there is one."""
    finished: bool = False

    def is_same_run(self, other: RunManifest) -> bool:
        """Whether both have the same kind, inputs and settings."""
        return self._identity() == other._identity()

    def _identity(self) -> bytes:
        # Compared as JSON, because a tuple read back from the file is a list.
        parts = [self.kind, self.base_sha256, self.settings, self.data, self.held_out]
        return msgspec.json.encode(parts, order="sorted")


def held_out_text(manifest: RunManifest) -> str:
    """The loss on held-out dialogues before training, and with the weights that were kept; empty
    if it was not measured."""
    points = [point for point in manifest.losses if point.held_out]
    if not points:
        return ""
    best = manifest.best_step
    kept = next((point for point in points if point.step == best), points[-1])
    return f"loss on held-out dialogues: {points[0].loss:.3f} before, {kept.loss:.3f} after"


def best_step_text(manifest: RunManifest) -> str:
    """Which step's weights were kept for their held-out loss, and what it is."""
    loss = min(p.loss for p in manifest.losses if p.held_out and p.step == manifest.best_step)
    return f"weights of step {manifest.best_step}, with the lowest held-out loss: {loss:.3f}"


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect the weights."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def sha256_digest(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of the names and contents of its weights,
    configuration and vocabulary.

    Raises:
        TrainError: a file cannot be read.
    """
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
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
    except OSError as error:
        raise TrainError(f"{error.filename}: {error.strerror}") from error
    return digest.hexdigest()


def read_manifest(folder: Path) -> RunManifest | None:
    """The manifest of the run in ``folder``, or None if there is none.

    Raises:
        TrainError: the file is not a manifest.
    """
    file = folder / MANIFEST_FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunManifest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    except JSON_ERRORS as error:
        raise TrainError(f"{file} is not the manifest of a run: {error}") from error


def write_manifest(manifest: RunManifest, folder: Path) -> None:
    """Replace the manifest in ``folder`` atomically.

    Raises:
        TrainError: it cannot be written.
    """
    file = folder / MANIFEST_FILE
    try:
        private_folder(folder)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
