"""The one schema of all settings: defaults, validation with the key named, and the file.

``config.toml`` holds only what differs from the defaults below; a key that is not known, or a
value out of range, is refused with its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]
Count = Annotated[int, Meta(ge=0)]

DEFAULT_SYSTEM = "You are a helpful AI assistant."


class SettingsError(Exception):
    """The settings file cannot be used; the message names the file and the key."""


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """How the next token is chosen; the names are llama.cpp's."""

    temperature: NonNegative = 0.7
    """0 takes the likeliest token every time."""
    top_k: Count = 40
    """Keep the k likeliest; 0 keeps all (a top-k of 1024 still stands before top-p, for speed)."""
    top_p: Probability = 0.95
    min_p: Probability = 0.05
    repeat_penalty: Annotated[float, Meta(gt=0.0)] = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: Count = 64
    """How many of the last tokens the three penalties look at."""
    dry_multiplier: NonNegative = 0.0
    """Strength of DRY (no verbatim repetition); 0 turns it off."""
    dry_base: Annotated[float, Meta(ge=1.0)] = 1.75
    dry_allowed_length: Count = 2
    dry_penalty_last_n: Count = 1024
    xtc_probability: Probability = 0.0
    """Chance to exclude top choices (XTC); 0 turns it off."""
    xtc_threshold: Probability = 0.1
    mirostat: Annotated[int, Meta(ge=0, le=2)] = 0
    """1 or 2 replaces top-k, top-p, min-p and XTC by Mirostat of that version."""
    mirostat_tau: Annotated[float, Meta(gt=0.0)] = 5.0
    mirostat_eta: Annotated[float, Meta(gt=0.0)] = 0.1
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    """None draws a new seed for each answer; the seed used is kept with the answer."""


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model, and how llama.cpp runs it."""

    default: str | None = None
    """A model name or a path to a GGUF file; None takes the first model found."""
    context: Count = 4096
    """Tokens of context; never more than the model was trained with. 0 takes all of those."""
    threads: Count = 0
    """Threads that decode; 0 leaves one core to the screen."""
    threads_batch: Count = 0
    """Threads that read the prompt; 0 takes every core."""
    gpu_layers: Annotated[int, Meta(ge=-1)] = 0
    """Layers on the GPU; -1 is all of them."""


class ChatSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new conversation starts with."""

    system: str = DEFAULT_SYSTEM
    moderation: bool = True
    """Ask the model to decline unethical, controversial or sensitive topics."""
    format: str | None = None
    """Prompt format; None takes the model's own chat template."""
    max_tokens: Annotated[int, Meta(ge=1)] = 1024
    """Most tokens of one answer."""


class LookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How the screen looks."""

    theme: str = "baize-dark"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set; the tables of ``config.toml`` are these fields."""

    model: ModelSettings = field(default_factory=ModelSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    sampling: dict[str, Any] = {}
    """Fields of ``Sampling``; only what is written here overrides a model's recipe."""
    look: LookSettings = field(default_factory=LookSettings)


def load_settings(file: Path) -> Settings:
    """Read ``file``; a missing file gives the defaults.

    Raises:
        SettingsError: not readable, not TOML, an unknown key, or a value out of its range.
    """
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        settings = msgspec.toml.decode(raw, type=Settings)
        msgspec.convert(settings.sampling, Sampling)
        return settings
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error


def sampling_of(*choices: Mapping[str, Any]) -> Sampling:
    """The defaults with each of ``choices`` laid over the one before.

    Raises:
        SettingsError: a value is out of its range; the message names the key.
    """
    merged = {key: value for choice in choices for key, value in choice.items()}
    try:
        return msgspec.convert(merged, Sampling)
    except msgspec.ValidationError as error:
        raise SettingsError(f"sampling: {error}") from error
