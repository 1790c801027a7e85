"""What the process of an endpoint is told, in one line of JSON on its stdin."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from baize_tui.engine.profiles import ProfileName
from baize_tui.settings import KvType

Program = Literal["llama-cpp-python", "llama-server"]
READY = b"ready\n"
"""What the process writes once it answers."""


class ServeOrder(Struct, frozen=True, kw_only=True):
    """The model and how to run it, as a trial on this machine has shown, and who may ask."""

    program: Program
    executable: str = ""
    """The path of llama-server."""
    model: str
    """A GGUF file."""
    name: str
    """What the model is called in ``/v1/models``."""
    host: str
    port: int
    token: str
    listener: int = -1
    """The descriptor of the socket that listens already; llama-server opens its own."""
    n_ctx: int
    threads: int
    threads_batch: int
    gpu_layers: int
    """-1 for all."""
    flash_attention: bool
    kv_type: KvType
    profile: ProfileName
    template: str = ""
    """A chat template in place of the model's own."""
    stop: list[str] = []
    """Where an answer in that template ends."""
    template_name: str = ""
