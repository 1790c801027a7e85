"""What a command downloads from the hub: known from headers, before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baize_convert.lora.adapter import Adapter
from baize_convert.output.model_card import read_license
from baize_convert.sources.checkpoint import Checkpoint

Source = Checkpoint | Adapter


@dataclass(frozen=True)
class Download:
    """The weights of a model or an adapter that are on the hub, and not on this machine."""

    source: str
    """``hf:owner/name``, with the folder and the revision."""
    bytes: int
    license: str
    """As its card names it; empty if it does not."""


def find_downloads(sources: Sequence[Source]) -> list[Download]:
    """What has to be downloaded to read the weights of ``sources``."""
    downloads = []
    for source in sources:
        remote = [file for file in source.files if not file.is_local]
        if remote:
            name, size = str(remote[0].path.parent), sum(map(len, remote))
            downloads.append(Download(name, size, read_license(source.path)))
    return downloads


def close_files(sources: Sequence[Source]) -> None:
    """End the requests of ``sources``: they are opened again."""
    for source in sources:
        for file in source.files:
            file.close()
