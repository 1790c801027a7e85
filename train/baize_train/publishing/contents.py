"""Which files of a folder are published: an adapter or GGUFs, with their card.

Files are chosen by name, so that nothing is sent that was not meant to be: checkpoints, optimizer
states, training data, keys. Texts are published without the paths of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import MappedFile
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_shared.existing_paths import is_file, is_folder
from baize_shared.json_errors import JSON_ERRORS
from baize_shared.regular_files import open_regular
from baize_shared.trained_prompt import TRAINED_PROMPT_FILE
from baize_train.errors import TrainError
from baize_train.training.adapter_card import CARD_FILE
from baize_train.training.checkpoints import WEIGHTS
from baize_train.training.run_manifest import MANIFEST_FILE
from baize_tui.chat.attachments.secrets import secret_in_text

CONFIG_FILE = "adapter_config.json"
_BASE_FIELD = "base_model_name_or_path"
_GGUF_MAGIC = b"GGUF"
_LARGEST_TEXT = 64 << 20
"""Bytes; a ``tokenizer.json`` of 250,000 tokens has 33 million."""
_TEXTS = frozenset(
    {
        *(CARD_FILE, CONFIG_FILE, MANIFEST_FILE, TRAINED_PROMPT_FILE, "Modelfile"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
        *("added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja"),
        *("LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE"),
    }
)
_BINARIES = frozenset({WEIGHTS, "tokenizer.model", "loss.png"})
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_FRONT = "---\n"
_NAMES_A_BASE = re.compile(r"^base_model:", re.MULTILINE)


@dataclass(frozen=True)
class PublishedFile:
    """A file of a repository: one of the folder as it is, or a text that was changed for it."""

    name: str
    size: int
    """Bytes."""
    source: Path | bytes


@dataclass(frozen=True)
class FolderContents:
    """What of a folder is published."""

    files: tuple[PublishedFile, ...]
    left_out: tuple[str, ...]
    """Names of everything else in it; a folder's ends with a slash."""
    base: str | None
    """The adapter's base on the hub; None for a folder of GGUFs."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def is_hub_name(text: str) -> bool:
    """Whether ``text`` has the form ``owner/name``."""
    return _HUB_NAME.fullmatch(text) is not None and ".." not in text and "--" not in text


def read_contents(folder: Path, base: str | None) -> FolderContents:
    """Choose and check the files of ``folder``; ``base`` replaces the base that its config names.

    Raises:
        TrainError: it is neither an adapter nor GGUFs with a card, its base is not one of the hub,
            or a text contains a key or a path of this machine.
    """
    if not is_folder(folder):
        raise TrainError(f"{folder}: not a folder")
    entries = sorted(folder.iterdir())
    chosen = [file for file in entries if _is_published(file)]
    names = {file.name for file in chosen}
    ggufs = [file for file in chosen if file.suffix == ".gguf"]
    if CONFIG_FILE not in names and not ggufs:
        raise TrainError(f"{folder}: neither an adapter ({CONFIG_FILE}) nor a folder with a GGUF")
    if CARD_FILE not in names:
        raise TrainError(
            f"{folder}: there is no model card: write {CARD_FILE}, which says what the model is, "
            "what it was made from and under which licence"
        )
    for gguf in ggufs:
        _check_gguf(gguf)
    found = _check_adapter(folder, names, base) if CONFIG_FILE in names else base
    local = _local_names(folder, found)
    return FolderContents(
        tuple(_published_file(file, local, found, folder) for file in chosen),
        tuple(_shown_name(entry) for entry in entries if entry not in chosen),
        found,
    )


def _is_published(file: Path) -> bool:
    known = file.name in _TEXTS or file.name in _BINARIES or file.suffix == ".gguf"
    return known and is_file(file)


def _shown_name(entry: Path) -> str:
    return f"{entry.name}/" if is_folder(entry) else entry.name


def _check_gguf(file: Path) -> None:
    try:
        with open_regular(file) as opened:
            magic = opened.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    if magic != _GGUF_MAGIC:
        raise TrainError(f"{file}: not a GGUF, or an unfinished one")


def _check_adapter(folder: Path, names: set[str], base: str | None) -> str:
    """Check config and weights of an adapter; its base on the hub.

    Raises:
        TrainError: PEFT could not load it anywhere else.
    """
    if WEIGHTS not in names:
        raise TrainError(f"{folder}: {WEIGHTS} is missing: the training has not finished")
    config = _read_json(folder / CONFIG_FILE)
    if not isinstance(config.get("peft_type"), str):
        raise TrainError(f"{folder / CONFIG_FILE} has no peft_type: PEFT could not load it")
    try:
        parse_safetensors(MappedFile(folder / WEIGHTS))
    except ConvertError as error:
        raise TrainError(str(error)) from error
    found = base or config.get(_BASE_FIELD)
    if not isinstance(found, str) or not found:
        raise TrainError(f"{folder / CONFIG_FILE} names no base: add --base owner/name")
    if not is_hub_name(found) or (base is None and is_folder(folder / found)):
        raise TrainError(
            f"{found} is not a base that others can load: give its name on the hub with "
            "--base owner/name"
        )
    return found


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(_read_text(file))
    except JSON_ERRORS as error:
        raise TrainError(f"{file}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise TrainError(f"{file}: not a JSON object")
    return content


def _read_text(file: Path) -> str:
    try:
        with open_regular(file) as opened:
            raw = opened.read(_LARGEST_TEXT + 1)
    except OSError as error:
        raise TrainError(f"{file}: {error.strerror}") from error
    if len(raw) > _LARGEST_TEXT:
        raise TrainError(f"{file}: more than {_LARGEST_TEXT} bytes are too many for a text")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise TrainError(f"{file}: not a text in UTF-8") from error


def _local_names(folder: Path, base: str | None) -> dict[str, str]:
    """What replaces the paths of this machine: the base's name on the hub, the names of files."""
    names: dict[str, str] = {}
    if base is not None:
        named = _read_json(folder / CONFIG_FILE).get(_BASE_FIELD) if _has_config(folder) else None
        if isinstance(named, str) and named:
            names[named] = base
    if is_file(folder / MANIFEST_FILE):
        manifest = _read_json(folder / MANIFEST_FILE)
        used = manifest.get("base")
        if isinstance(used, str) and used:
            names[used] = base or Path(used).name
        for key in ("data", "held_out"):
            for file in manifest.get(key) or ():
                path = file.get("path") if isinstance(file, dict) else None
                if isinstance(path, str) and Path(path).name:
                    names[path] = Path(path).name
    return {path: name for path, name in names.items() if path != name}


def _has_config(folder: Path) -> bool:
    return is_file(folder / CONFIG_FILE)


def _published_file(
    file: Path, local: Mapping[str, str], base: str | None, folder: Path
) -> PublishedFile:
    """``file`` for the repository; a text is checked, and changed where it has local names."""
    if file.name not in _TEXTS:
        return PublishedFile(file.name, file.stat().st_size, file)
    text = _read_text(file)
    public = _public_text(file, text, local)
    if file.name == CONFIG_FILE and base is not None:
        config = msgspec.json.decode(public)
        if config.get(_BASE_FIELD) != base:
            public = _json_text({**config, _BASE_FIELD: base})
    if file.name == CARD_FILE and base is not None:
        public = _with_base(public, base)
    _check_private(file, public, folder)
    if public == text:
        return PublishedFile(file.name, file.stat().st_size, file)
    raw = public.encode()
    return PublishedFile(file.name, len(raw), raw)


def _public_text(file: Path, text: str, local: Mapping[str, str]) -> str:
    """``text`` with ``local`` names replaced, longest first; inside the values of JSON."""
    if not local or file.name not in (CARD_FILE, CONFIG_FILE, MANIFEST_FILE):
        return text

    def replace(value: Any) -> Any:
        if isinstance(value, str):
            for path in sorted(local, key=len, reverse=True):
                value = value.replace(path, local[path])
            return value
        if isinstance(value, list):
            return [replace(item) for item in value]
        if isinstance(value, dict):
            return {key: replace(item) for key, item in value.items()}
        return value

    if file.name == CARD_FILE:
        return str(replace(text))
    content = _read_json(file)
    changed = replace(content)
    return text if changed == content else _json_text(changed)


def _json_text(content: object) -> str:
    return msgspec.json.format(msgspec.json.encode(content)).decode() + "\n"


def _with_base(card: str, base: str) -> str:
    """``card`` with the base in its metadata, where the hub looks for it."""
    front, end, rest = card.removeprefix(_FRONT).partition(f"\n{_FRONT}")
    if not card.startswith(_FRONT) or not end or _NAMES_A_BASE.search(front):
        return card
    return f"{_FRONT}base_model: {base}\n{front}{end}{rest}"


def _check_private(file: Path, text: str, folder: Path) -> None:
    """Raises ``TrainError`` if ``text`` must not leave this machine."""
    if secret := secret_in_text(text):
        raise TrainError(f"{file}: it looks as if it contains {secret}: nothing was sent")
    places = {str(Path.home()), str(folder.absolute()), str(folder.resolve())}
    for place in sorted(places):
        if len(Path(place).parts) > 1 and re.search(rf"{re.escape(place)}(?![\w.-])", text):
            raise TrainError(
                f"{file}: it contains a path of this machine ({place}): replace it, nothing was "
                "sent"
            )
