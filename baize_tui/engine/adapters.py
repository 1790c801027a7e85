"""GGUF LoRAs: checked before llama.cpp sees them, and switched while their model is loaded.

llama.cpp explains only in its log why an adapter does not fit, or aborts.
"""

from __future__ import annotations

from pathlib import Path

from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama.gguf_header import TensorInfo, read_header, read_tensors
from baize_tui.engine.llama.model import Adapter, Model
from baize_tui.engine.model_header import read_model_header, read_model_tensors
from baize_tui.engine.protocol import AdapterUse
from baize_tui.engine.snapshots.state_key import AdapterIdentity, FileIdentity, file_identity
from baize_tui.shared_texts import file_error
from baize_tui.translation import msg, tr

_EMBEDDING = "token_embd.weight"


OTHER_TYPE = msg("{path} is an adapter of type {kind}: only LoRA can be used")
OTHER_ARCHITECTURE = msg(
    "{path} is an adapter for the architecture {theirs}, but this model has the architecture {ours}"
)
NO_TENSOR = msg("{path}: the model has no {tensor}: the adapter is for another model")
SHARED_HEAD = msg(
    "{path} changes {tensor}, which this model's head shares: merge the adapter with baize-convert "
    "merge"
)
OTHER_SHAPE = msg(
    "{path}: {tensor} is {ours} in this model, and the adapter's is {theirs}: the adapter is for "
    "another model"
)


def check_adapter(path: str, base: str) -> None:
    """Check that each pair of matrices in ``path`` fits the tensor with its name in ``base``.

    The rules are those of ``llama_adapter_lora_init_impl`` (src/llama-adapter.cpp).

    Raises:
        ModelFileError: it is not an adapter, or it is for another model; the message names the
            tensor and its shapes.
    """
    header, model = read_header(path), read_model_header(base)
    if header.metadata.get("general.type") != "adapter":
        raise ModelFileError(
            tr("{path} is a model, not an adapter: choose it as the model", path=path)
        )
    if (kind := header.metadata.get("adapter.type", "")) != "lora":
        raise ModelFileError(
            tr(
                "{path} is an adapter of type {kind}: only LoRA can be used",
                path=path,
                kind=repr(kind),
            )
        )
    if header.architecture != model.architecture:
        raise ModelFileError(
            tr(OTHER_ARCHITECTURE, path=path, theirs=header.architecture, ours=model.architecture)
        )
    parts, tensors = read_tensors(path), read_model_tensors(base)
    for name, a in parts.items():
        target, dot, part = name.rpartition(".lora_")
        b = parts.get(f"{target}.lora_b")
        if not dot or part not in ("a", "b") or b is None or f"{target}.lora_a" not in parts:
            raise ModelFileError(
                tr("{path}: {name} is not part of a pair lora_a, lora_b", path=path, name=name)
            )
        if part == "a":
            _check_pair(path, target, a, b, tensors)


def _check_pair(
    path: str, target: str, a: TensorInfo, b: TensorInfo, tensors: dict[str, TensorInfo]
) -> None:
    weight = tensors.get(target)
    if weight is None:
        raise ModelFileError(tr(NO_TENSOR, path=path, tensor=target))
    # An embedding has A and B the other way round, so that rows can be looked up in A.
    is_embedding = target == _EMBEDDING
    if is_embedding and "output.weight" not in tensors:
        raise ModelFileError(tr(SHARED_HEAD, path=path, tensor=target))
    wanted = (weight.shape[1], weight.shape[0]) if is_embedding else weight.shape[:2]
    if is_embedding:
        shape = (a.shape[1], b.shape[1])
        same_rank = a.shape[0] == b.shape[0]
    else:
        shape = (a.shape[0], b.shape[1])
        same_rank = a.shape[1] == b.shape[0]
    if shape != wanted or not same_rank:
        ours, theirs = f"{wanted[0]} x {wanted[1]}", f"{shape[0]} x {shape[1]}"
        raise ModelFileError(tr(OTHER_SHAPE, path=path, tensor=target, ours=ours, theirs=theirs))


class AdapterSwitch:
    """The adapters that are applied to a loaded model."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model = model
        self._context = context
        self._opened: dict[tuple[str, FileIdentity], Adapter] = {}
        self._latest: dict[str, FileIdentity] = {}
        """What was opened last, by path."""
        self._applied: list[tuple[str, AdapterIdentity]] = []

    def identities(self, uses: list[AdapterUse]) -> tuple[AdapterIdentity, ...]:
        """What a state that is computed with ``uses`` depends on.

        Raises:
            ModelFileError: one cannot be read.
        """
        return tuple(identity for _, identity in self._identified(uses))

    def apply(self, uses: list[AdapterUse]) -> bool:
        """Apply exactly these adapters from now on; return whether they differ from the last ones.

        A file that has changed is another adapter. One that was opened and is gone stays in use.

        Raises:
            ModelFileError: one is not for this model; the last ones stay applied.
        """
        wanted = self._identified(uses)
        if wanted == self._applied:
            return False
        self._context.set_adapters(
            [(self._open(path, identity.file), identity.scale) for path, identity in wanted]
        )
        self._applied = wanted
        return True

    def _identified(self, uses: list[AdapterUse]) -> list[tuple[str, AdapterIdentity]]:
        """The path and the identity of each of ``uses`` that has an effect.

        Raises:
            ModelFileError: one cannot be read.
        """
        return [
            (use.path, AdapterIdentity(self._identity(use.path), use.scale))
            for use in uses
            if use.scale != 0
        ]

    def _identity(self, path: str) -> FileIdentity:
        try:
            return file_identity(Path(path))
        except OSError as error:
            if path in self._latest:
                return self._latest[path]
            raise ModelFileError(file_error(path, error)) from error

    def _open(self, path: str, identity: FileIdentity) -> Adapter:
        key = path, identity
        if key not in self._opened:
            check_adapter(path, self._model.path)
            self._opened[key] = Adapter(self._model, path)
        self._latest[path] = identity
        return self._opened[key]
