"""Find the base that a command line names; one on the hub is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from baize_shared.licenses import UNKNOWN_LICENSE
from baize_shared.sizes import size_text
from baize_shared.user_paths import expand_user
from baize_train.cli.progress import BytesProgress
from baize_train.errors import TrainError, warn
from baize_train.training.processes import is_main_process

if TYPE_CHECKING:
    from baize_convert.hub.names import HubName
    from baize_convert.hub.repository import HubRepository

BaseUse = Literal["tokenize", "run", "train"]
"""What a base is for: its vocabulary alone, answers of llama.cpp, or training with PyTorch."""
_BYTES_PER_WEIGHT: dict[BaseUse, float] = {"run": 34 / 32, "train": 4}
"""Q8_0, to which a checkpoint is converted; and float32, as on a processor."""


def find_base(base: str, use: BaseUse) -> Path:
    """The folder or file of ``base``.

    One on the hub (``hf:``) is downloaded first, once its size, whether it fits and its licence
    were shown; to tokenize with it, its small files are enough.

    Raises:
        TrainError: there is no such base, there is too little disk, or the hub refuses it.
    """
    from baize_convert.failures import ConvertError
    from baize_convert.hub.names import HUB_PREFIX, parse_name
    from baize_convert.hub.repository import open_repository
    from baize_tui.catalog.finding import find_model, local_file
    from baize_tui.catalog.recipes import CatalogError
    from baize_tui.paths import project_paths

    if base.startswith(HUB_PREFIX):
        try:
            name = parse_name(base)
            repository = open_repository(name)
            if use != "tokenize":
                _download(name, repository, use)
        except ConvertError as error:
            raise TrainError(str(error)) from error
        return repository.folder / name.subfolder
    path = expand_user(base)
    if path.exists():
        return path.absolute()
    try:
        return local_file(find_model(base, project_paths()))
    except CatalogError as error:
        raise TrainError(f"{base}: no such folder or file, and {error}") from error


def _download(name: HubName, repository: HubRepository, use: BaseUse) -> None:
    """Download the weights of a checkpoint, unless the hub's cache has them.

    Raises:
        ConvertError: the hub refuses it, or it cannot be stored.
        TrainError: there is too little disk.
    """
    from baize_convert.hub.cache import cache_weights, missing_weights
    from baize_convert.output.model_card import read_license
    from baize_tui.catalog.fit import this_machine

    missing = missing_weights(repository, name.subfolder)
    if not missing:
        return
    machine = this_machine(repository.folder)
    if is_main_process():
        license = read_license(repository.folder / name.subfolder) or UNKNOWN_LICENSE
        memory = _memory_text(name, use, machine.memory_free)
        warn(
            f"{name}: {size_text(missing)} to download, of {size_text(machine.disk_free)} free on "
            f"the disk{memory}; licence: {license}"
        )
    if missing > machine.disk_free:
        raise TrainError(f"{repository.folder}: too little disk for {name}")
    with BytesProgress(str(name), missing) as progress:
        cache_weights(name, progress)


def _memory_text(name: HubName, use: BaseUse, free: int) -> str:
    """The memory that the weights take, from headers; empty for an unknown architecture, which
    fails where it is used."""
    from baize_convert.failures import ConvertError
    from baize_convert.opening import open_base

    try:
        checkpoint = open_base(str(name))
    except ConvertError:
        return ""
    weights = sum(tensor.rows * tensor.columns for tensor in checkpoint.tensors.values())
    for file in checkpoint.files:
        file.close()
    needed = int(weights * _BYTES_PER_WEIGHT[use])
    fit = "fits" if needed < free else "does not fit"
    return (
        f", {size_text(needed)} of memory for its weights on a processor, of {size_text(free)} "
        f"free: {fit}"
    )
