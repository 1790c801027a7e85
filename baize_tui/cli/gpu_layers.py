"""The value of ``--gpu-layers``. No typer here: a plain start would have to import it."""

from __future__ import annotations

import msgspec

from baize_tui.cli.failures import CommandError
from baize_tui.settings import Settings
from baize_tui.translation import tr

_AUTO = "auto"


def parse_gpu_layers(value: str) -> int | None:
    """The number of layers; None for auto.

    Raises:
        CommandError: it is neither.
    """
    if value == _AUTO:
        return None
    try:
        layers = int(value)
    except ValueError:
        raise CommandError(
            tr("--gpu-layers {value}: give auto, or a number of layers", value=value)
        ) from None
    if layers < -1:
        raise CommandError(
            tr("--gpu-layers {value}: give 0 for none, -1 for all of them", value=value)
        )
    return layers


def with_gpu_layers(settings: Settings, value: str | None) -> Settings:
    """``settings`` with the value of ``--gpu-layers``, if it was given.

    Raises:
        CommandError: it is not a number of layers.
    """
    if value is None:
        return settings
    model = msgspec.structs.replace(settings.model, gpu_layers=parse_gpu_layers(value))
    return msgspec.structs.replace(settings, model=model)
