"""What ``--gpu-layers`` says. No typer here: a start without arguments does without it."""

from __future__ import annotations

import msgspec

from baize_tui.cli.failures import CommandError
from baize_tui.settings import Settings

AUTO = "auto"


def parse_gpu_layers(given: str | None) -> int | None:
    """The number that was given; None for auto.

    Raises:
        CommandError: it is neither.
    """
    if given is None or given == AUTO:
        return None
    try:
        layers = int(given)
    except ValueError:
        raise CommandError(f"--gpu-layers {given}: write auto, or a number of layers") from None
    if layers < -1:
        raise CommandError(f"--gpu-layers {given}: -1 is all of them, 0 none")
    return layers


def with_gpu_layers(settings: Settings, given: str | None) -> Settings:
    """``settings`` with what the flag says, if it was given.

    Raises:
        CommandError: it is no number of layers.
    """
    if given is None:
        return settings
    model = msgspec.structs.replace(settings.model, gpu_layers=parse_gpu_layers(given))
    return msgspec.structs.replace(settings, model=model)
