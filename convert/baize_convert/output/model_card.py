"""Name, licence and origin of a model, from its card, its config and the name of its folder.

As ``Metadata.load`` of the gguf package, whose heuristics are used, but in bounded time and with
values of the types that GGUF stores: people write lists, dates and numbers where texts belong.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import yaml

from baize_convert.failures import ConvertError, reason
from baize_convert.sources.json_content import decode_json
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.number_limits import LARGEST_FLOAT

_LARGEST_HEAD = 1 << 20
"""Bytes of a card that are looked at; one with a longer head (of benchmark results) is not used."""
_LONGEST_TEXT = 10_000
_MOST_ITEMS = 1000
_TEXT_LISTS = ("license", "tags", "pipeline_tag", "languages", "language")
_OBJECT_LISTS = (
    *("base_model", "base_models", "base_model_sources"),
    *("datasets", "dataset", "dataset_sources"),
)
_SAMPLING = {
    "sampling_sequence": ("sequence", str),
    "sampling_top_k": ("top_k", int),
    "sampling_top_p": ("top_p", float),
    "sampling_min_p": ("min_p", float),
    "sampling_xtc_probability": ("xtc_probability", float),
    "sampling_xtc_threshold": ("xtc_threshold", float),
    "sampling_temp": ("temperature", float),
    "sampling_penalty_last_n": ("penalty_last_n", int),
    "sampling_penalty_repeat": ("penalty_repeat", float),
    "sampling_mirostat": ("mirostat", int),
    "sampling_mirostat_tau": ("mirostat_tau", float),
    "sampling_mirostat_eta": ("mirostat_eta", float),
}
"""Fields of gguf's metadata, and the keys of ``generation_config.json`` with their types."""


def load_metadata(folder: Path, parameters: int) -> gguf.Metadata:
    """The metadata of a Hugging Face folder.

    Raises:
        ConvertError: a number in ``generation_config.json`` is none that GGUF can store.
        OSError, ValueError: a file cannot be read.
    """
    metadata = gguf.Metadata.apply_metadata_heuristic(
        gguf.Metadata(), _read_card(folder), _read_name(folder), folder, parameters
    )
    for field, value in vars(metadata).items():
        if isinstance(value, str):  # from the name of the folder, which may not be UTF-8
            setattr(metadata, field, value.encode("utf-8", "replace").decode())
    file = folder / "generation_config.json"
    defaults = _read_object(file)
    for name, (key, type) in _SAMPLING.items():
        if (value := defaults.get(key)) is not None:
            setattr(metadata, name, _sampling_value(file, key, value, type))
    return metadata


def card_problem(folder: Path) -> str | None:
    """Why the model card in a folder is not used; None if it can be, or there is none."""
    try:
        _parse_card(folder)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        return f"{folder / 'README.md'} is not used: its head is not YAML ({reason(error)})"
    return None


def read_license(folder: Path) -> str:
    """The licence that the card in a folder names; empty if there is none."""
    try:
        card = _read_card(folder)
    except OSError:
        return ""
    license = card.get("license")
    if license == "other":  # the name is in another field
        license = card.get("license_name")
    names = license if isinstance(license, list) else [license]
    return ", ".join(name for name in names if isinstance(name, str))


def _sampling_value(file: Path, key: str, value: object, type: type) -> object:
    if type is str and isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if type is float and abs(value) <= LARGEST_FLOAT:
            return float(value)
        if type is int and -(2**31) <= value < 2**31 and value == math.floor(value):
            return int(value)
    raise ConvertError(f"{file}: {key} is {str(value)[:40]}, which is not a value for it")


def _read_object(file: Path) -> dict[str, Any]:
    """A file with a JSON object; empty if it does not exist or is something else."""
    if not file.is_file():
        return {}
    try:
        return decode_json(file.read_bytes(), dict[str, Any])
    except JSON_ERRORS:
        return {}


def _read_name(folder: Path) -> dict[str, Any]:
    """The part of ``config.json`` that names the model."""
    name = _read_object(folder / "config.json").get("_name_or_path")
    return {"_name_or_path": name} if isinstance(name, str) and len(name) <= 1000 else {}


def _read_card(folder: Path) -> dict[str, Any]:
    """The YAML at the beginning of ``README.md``; empty if there is none, or it is none.

    No other program needs a card, and people write it by hand.

    Raises:
        OSError: the card cannot be read.
    """
    try:
        return _parse_card(folder)
    except (ValueError, RecursionError, yaml.YAMLError):
        return {}


def _parse_card(folder: Path) -> dict[str, Any]:
    file = folder / "README.md"
    if not file.is_file():
        return {}
    with file.open("rb") as opened:
        begin = opened.read(_LARGEST_HEAD)
    lines = begin.decode("utf-8", "ignore").splitlines()
    if lines[:1] != ["---"] or "---" not in lines[1:]:
        return {}
    head = "\n".join(lines[1 : lines.index("---", 1)]) + "\n"
    # As gguf does: no is a language, and YAML has no tabs.
    head = head.replace("- no\n", '- "no"\n').replace("\t", "  ")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    card = yaml.load(head, Loader=loader)
    if not isinstance(card, dict):
        return {}
    values = {key: _storable(key, value) for key, value in card.items() if isinstance(key, str)}
    return {key: value for key, value in values.items() if value is not None}


def _storable(key: str, value: object) -> object:
    """A text; for some keys a list of texts, or of objects with texts; None for anything else."""
    if not isinstance(value, list):
        return _text(value)
    if key not in (*_TEXT_LISTS, *_OBJECT_LISTS):
        return None
    convert = _text_or_object if key in _OBJECT_LISTS else _text
    items = [convert(item) for item in value[:_MOST_ITEMS]]
    return [item for item in items if item is not None]


def _text_or_object(value: object) -> object:
    if isinstance(value, dict):
        texts = {str(key)[:100]: _text(inner) for key, inner in list(value.items())[:_MOST_ITEMS]}
        return {key: text for key, text in texts.items() if text is not None}
    return _text(value)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, list | dict | set | tuple | bytes):
        return None
    return str(value)[:_LONGEST_TEXT]
