"""The schema of all settings: defaults, bounds, descriptions, and reading the file.

``config.toml`` needs only the settings that differ from the defaults below. An unknown key or a
value out of range is an error that names the key. The settings screen and the settings page of the
docs are generated from this schema (``setting_fields.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from baize_shared.number_limits import LARGEST_FLOAT, LARGEST_INT, MOST_THREADS
from baize_shared.one_line_error import OneLineError
from baize_shared.toml_files import TomlError, decode_toml, read_toml
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import Language, msg, tr

DEFAULT_SYSTEM = "You are a helpful AI assistant."
Overflow = Literal["drop", "summarize", "shift", "stop"]
Reasoning = Literal["folded", "open"]
IdleTime = Literal["always", "plugged-in", "never"]
KvType = Literal["f16", "q8_0"]
Notify = Literal["auto", "osc9", "osc777", "bell", "off"]
Scale = Annotated[float, Meta(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT)]
"""How strongly an adapter is added to the weights."""


class SettingsError(OneLineError):
    """The settings file cannot be used; the message names the file and the key."""


def _about(label: str, description: str, **bounds: Any) -> Meta:
    """A setting with its name on the screen, and what it is."""
    meta: Meta = Meta(title=label, description=description, **bounds)
    return meta


def _number(label: str, description: str, **bounds: float) -> Meta:
    """A float of llama.cpp: with both bounds, so that neither ``inf`` nor ``nan`` is valid."""
    if not {"ge", "gt"} & set(bounds):
        bounds["ge"] = -LARGEST_FLOAT
    return _about(label, description, **{"le": LARGEST_FLOAT, **bounds})


def _count(label: str, description: str, *, ge: int, le: int = LARGEST_INT) -> Meta:
    """A whole number that llama.cpp takes as it is."""
    return _about(label, description, ge=ge, le=le)


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """How the next token is chosen; the names are llama.cpp's."""

    temperature: Annotated[
        float, _number("Temperature", "Randomness; 0 always takes the most likely token", ge=0)
    ] = 0.7
    top_k: Annotated[
        int,
        _count(
            "Top-k",
            "Keep the k most likely tokens; 0 keeps all (1024 before top-p, for speed)",
            ge=0,
        ),
    ] = 40
    top_p: Annotated[
        float,
        _number(
            "Top-p", "Keep the most likely tokens whose probabilities add up to this", ge=0, le=1
        ),
    ] = 0.95
    min_p: Annotated[
        float,
        _number(
            "Min-p", "Keep tokens at least this likely, relative to the most likely one", ge=0, le=1
        ),
    ] = 0.05
    repeat_penalty: Annotated[
        float,
        _number("Repeat penalty", "Make tokens that occurred before less likely; 1 is off", gt=0),
    ] = 1.0
    frequency_penalty: Annotated[
        float,
        _number(
            "Frequency penalty", "Make tokens less likely the more often they occurred; 0 is off"
        ),
    ] = 0.0
    presence_penalty: Annotated[
        float,
        _number("Presence penalty", "Make tokens less likely if they occurred at all; 0 is off"),
    ] = 0.0
    penalty_last_n: Annotated[
        int,
        _count("Penalized tokens", "How many of the last tokens these penalties consider", ge=0),
    ] = 64
    dry_multiplier: Annotated[
        float,
        _number("DRY strength", "Strength of DRY, against verbatim repetition; 0 is off", ge=0),
    ] = 0.0
    dry_base: Annotated[
        float, _number("DRY base", "How fast DRY grows with the length of a repetition", ge=1)
    ] = 1.75
    dry_allowed_length: Annotated[
        int,
        _count(
            "DRY allowed length", "Repetitions up to this length are not penalized by DRY", ge=0
        ),
    ] = 2
    dry_penalty_last_n: Annotated[
        int, _count("DRY looks back", "How many tokens DRY looks back", ge=0)
    ] = 1024
    xtc_probability: Annotated[
        float,
        _number(
            "XTC probability",
            "Chance to exclude the most likely tokens (XTC); 0 is off",
            ge=0,
            le=1,
        ),
    ] = 0.0
    xtc_threshold: Annotated[
        float,
        _number("XTC threshold", "How likely a token must be to be excluded by XTC", ge=0, le=1),
    ] = 0.1
    mirostat: Annotated[
        int,
        _count(
            "Mirostat", "1 or 2: use Mirostat in place of top-k, top-p, min-p and XTC", ge=0, le=2
        ),
    ] = 0
    mirostat_tau: Annotated[float, _number("Mirostat tau", "Target surprise of Mirostat", gt=0)] = (
        5.0
    )
    mirostat_eta: Annotated[float, _number("Mirostat eta", "Learning rate of Mirostat", gt=0)] = 0.1
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**32)] | None,
        _about("Seed", "The same seed gives the same answer; empty takes a new one each time"),
    ] = None


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model, and how llama.cpp runs it."""

    default: Annotated[
        str | None,
        _about(
            "Default model", "A name, GGUF file or server:URL; empty takes the first one installed"
        ),
    ] = None
    context: Annotated[
        int,
        _count(
            "Context",
            "Size of the context in tokens; 0 takes what the model was trained with",
            ge=0,
        ),
    ] = 4096
    threads: Annotated[
        int,
        _count(
            "Threads",
            "Threads that generate the answer; 0 adapts to the free cores",
            ge=0,
            le=MOST_THREADS,
        ),
    ] = 0
    threads_batch: Annotated[
        int,
        _count(
            "Threads for prompts",
            "Threads that read the prompt; 0 adapts in the same way",
            ge=0,
            le=MOST_THREADS,
        ),
    ] = 0
    gpu_layers: Annotated[
        Annotated[int, Meta(ge=-1, le=LARGEST_INT)] | None,
        _about("GPU layers", "Layers on the GPU; empty takes as many as fit, 0 none, -1 all"),
    ] = None
    kv_type: Annotated[
        KvType,
        _about(
            "KV cache", "Numbers in the KV cache: f16, or q8_0 with half the memory and snapshots"
        ),
    ] = "f16"
    prompt_lookup: Annotated[
        bool,
        _about(
            "Prompt lookup",
            "Guess tokens that occurred before, where it is faster; not with a fixed seed",
        ),
    ] = True
    draft: Annotated[
        str | None,
        _about(
            "Draft model",
            "A small model with the same vocabulary that guesses tokens, where it is faster; none "
            "to use no model's own",
        ),
    ] = None
    server_silence_s: Annotated[
        float,
        _number(
            "Server silence (s)",
            "Seconds that a server may send nothing before an answer fails",
            ge=1,
            le=86400,
        ),
    ] = 300.0
    snapshot_gib: Annotated[
        float,
        _number(
            "Snapshots (GiB)",
            "GiB on disk for the states of conversations, so that they open at once; 0 saves none",
            ge=0,
            le=1 << 20,
        ),
    ] = 4.0


class ChatSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new conversation starts with."""

    system: Annotated[
        str, _about("System prompt", "System prompt: what the model is told before the first turn")
    ] = DEFAULT_SYSTEM
    moderation: Annotated[
        bool,
        _about(
            "Moderation", "Ask the model to decline unethical, controversial or sensitive topics"
        ),
    ] = True
    format: Annotated[
        str | None,
        _about("Prompt format", "Prompt format; empty takes the model's own chat template"),
    ] = None
    max_tokens: Annotated[
        int, _count("Longest answer", "Maximum number of tokens in an answer", ge=1)
    ] = 1024
    think: Annotated[
        bool | None,
        _about(
            "Think first",
            "Whether the model thinks before it answers; empty leaves it to its template",
        ),
    ] = None
    max_thinking_tokens: Annotated[
        int,
        _count("Longest thought", "Maximum number of tokens in the thought before an answer", ge=0),
    ] = 2048
    overflow: Annotated[
        Overflow,
        _about(
            "When context is full",
            "When the context is full: drop, summarize or shift out the oldest turns that are not "
            "pinned, or stop",
        ),
    ] = "drop"


class IdleSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the model does while nobody waits for an answer."""

    work: Annotated[
        IdleTime,
        _about(
            "Read ahead",
            "When the open conversation is read ahead and titled: always, plugged-in or never",
        ),
    ] = "always"
    titles: Annotated[
        bool,
        _about(
            "Write titles",
            "Whether the model then writes a title for a conversation that has none yet",
        ),
    ] = True


class LookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How the screen looks."""

    theme: Annotated[
        str,
        _about(
            "Theme", "baize-dark, baize-light, a theme of Textual, or one from the folder themes"
        ),
    ] = "baize-dark"
    language: Annotated[
        Language,
        _about(
            "Language",
            "Language of the client from its next start on: en, zh, or auto for the locale's",
        ),
    ] = "auto"
    reasoning: Annotated[
        Reasoning, _about("Reasoning", "Whether the reasoning of a model is shown folded or open")
    ] = "folded"


class TerminalSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the terminal is told."""

    notify: Annotated[
        Notify,
        _about(
            "Notification",
            "When an answer ends while you are elsewhere: osc9 or osc777 show a notification, bell "
            "rings, auto takes what the terminal is known for, off does nothing",
        ),
    ] = "auto"
    notify_after_s: Annotated[
        float,
        _number(
            "Notify after", "Seconds from which an answer is long enough for that", ge=0, le=86400
        ),
    ] = 10.0
    title: Annotated[
        bool, _about("Window title", "Whether the title of the window is that of the conversation")
    ] = True


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings; each field is a table of ``config.toml``."""

    model: ModelSettings = field(default_factory=ModelSettings)
    chat: ChatSettings = field(default_factory=ChatSettings)
    sampling: dict[str, Any] = {}
    """Fields of ``Sampling``; those that are set override a model's recipe."""
    idle: IdleSettings = field(default_factory=IdleSettings)
    look: LookSettings = field(default_factory=LookSettings)
    terminal: TerminalSettings = field(default_factory=TerminalSettings)
    keys: dict[str, str] = {}
    """Keys of actions, by the action's id; ``app.actions`` has the defaults."""


UNREADABLE = msg("{file}: cannot be read: {why}")


def load_settings(file: Path) -> Settings:
    """Read ``file``; if it is missing, the defaults.

    Raises:
        SettingsError: it is unreadable or not TOML, or has an unknown key or a value out of range.
    """
    try:
        return _with_valid_sampling(read_toml(file, Settings), file)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(tr(UNREADABLE, file=file, why=tr_shared(error.strerror))) from error
    except TomlError as error:
        raise SettingsError(tr(NAMED, name=file, why=tr_shared(error))) from error


def decode_settings(raw: bytes, file: Path) -> Settings:
    """Check ``raw``, the content of ``file``.

    Raises:
        SettingsError: it is not TOML, or has an unknown key or a value out of range.
    """
    try:
        return _with_valid_sampling(decode_toml(raw, Settings), file)
    except TomlError as error:
        raise SettingsError(tr(NAMED, name=file, why=tr_shared(error))) from error


def _with_valid_sampling(settings: Settings, file: Path) -> Settings:
    try:
        msgspec.convert(settings.sampling, Sampling)
    except msgspec.ValidationError as error:
        raise SettingsError(tr(NAMED, name=file, why=tr_shared(error))) from error
    return settings


def merge_sampling(*choices: Mapping[str, Any]) -> Sampling:
    """The defaults, overridden by each of ``choices`` in turn.

    Raises:
        SettingsError: a value is out of range; the message names the key.
    """
    merged = {key: value for choice in choices for key, value in choice.items()}
    try:
        return msgspec.convert(merged, Sampling)
    except msgspec.ValidationError as error:
        raise SettingsError(tr("sampling: {why}", why=tr_shared(error))) from error
