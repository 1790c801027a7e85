"""Which files of a folder have the weights of a checkpoint.

The order is that of transformers (``_get_resolved_checkpoint_files`` of modeling_utils.py): one
safetensors file, then shards with an index, then the same in PyTorch's format. Beyond it, shards
without an index count, and shards that an outdated index does not name; and a variant
(``model.fp16.safetensors``) if there is nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from baize_convert.failures import ConvertError
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.folder_files import download_text
from baize_convert.sources.foreign_weights import foreign_weights
from baize_convert.sources.json_content import decode_json
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_convert.sources.tensors import Tensor
from baize_convert.sources.torch_file import parse_torch_file
from baize_shared.json_errors import JSON_ERRORS

Parser = Callable[[ByteSource], Mapping[str, Tensor]]

_SHARD = re.compile(
    r"(?P<stem>(?:pytorch_)?model(?:\.safetensors|\.bin)?)(?:\.(?P<variant>[\w-]+?))?"
    r"-(?P<number>\d+)-of-(?P<total>\d+)(?P<suffix>\.safetensors|\.bin)"
)
_VARIANTS = (
    re.compile(r"(?:pytorch_)?model\.(?P<variant>[\w-]+)\.(?:safetensors|bin)"),
    re.compile(r"(?:pytorch_)?model\.(?:safetensors|bin)\.index\.(?P<variant>[\w-]+)\.json"),
    _SHARD,
)
_WEIGHTS = re.compile(r".+\.safetensors|pytorch_model.*\.bin|consolidated.*\.pth")
_NOT_THE_MODEL = re.compile(r"adapter_model.*|optimizer.*|.*rng_state.*")
_MOST_SHARDS = 9999
_MOST_NAMES = 4
"""Names in a message."""


@dataclass(frozen=True)
class WeightFiles:
    """The files with the weights, and the parser of a file."""

    names: tuple[str, ...]
    parse: Parser
    indexed: frozenset[str] = frozenset()
    """The tensors that the index names."""
    missing: tuple[str, ...] = ()
    """Files that the index names and the folder lacks."""
    notes: tuple[str, ...] = ()
    """Why these files count, a line each."""
    ignored: tuple[str, ...] = ()
    """Indexes that do not count."""
    choice: str | None = None
    """What counts and what does not, if there are others; the last of the notes."""


@dataclass(frozen=True)
class _Format:
    stem: str
    suffix: str
    parse: Parser

    def single(self, variant: str) -> str:
        return f"{self.stem}{variant and f'.{variant}'}{self.suffix}"

    def index(self, variant: str) -> str:
        return f"{self.stem}{self.suffix}.index{variant and f'.{variant}'}.json"


_SAFETENSORS = _Format("model", ".safetensors", parse_safetensors)
_TORCH = _Format("pytorch_model", ".bin", parse_torch_file)
_FORMATS = (_SAFETENSORS, _TORCH)


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Config(msgspec.Struct):
    transformers_weights: str | None = None


def find_weight_files(folder: Path, files: Collection[str]) -> WeightFiles:
    """The files with the weights, among ``files``, the names of all files of the checkpoint.

    The indexes and the config are read from ``folder``.

    Raises:
        ConvertError: there are no weights, shards are missing, or it is unclear which count.
    """
    files = {name for name in files if "/" not in name}  # those of the hub have subfolders too
    stale: list[str] = []
    found = _named_by_config(folder, files) or _in_order(folder, files, "", stale)
    if found is None and (variant := _only_variant(folder, files)):
        found = _in_order(folder, files, variant, stale)
        if found is not None:
            note = f"{folder} has nothing but the variant {variant}, which counts"
            found = replace(found, notes=(note, *found.notes))
    if found is None:
        lost = [file for index in stale for file in _read_index(folder, index).values()]
        raise ConvertError(
            incomplete_text(folder, lost, files) if lost else _nothing_text(folder, files)
        )
    for name in found.names:
        if f"{name}.aria2" in files:
            raise ConvertError(
                f"{folder}: {name}.aria2 says that {name} is not complete: finish the download"
            )
    others = (
        name
        for name in set(files) - set(found.names)
        if _WEIGHTS.fullmatch(name) and not _NOT_THE_MODEL.fullmatch(name)
    )
    if ignored := [*sorted(others), *stale, *found.ignored]:
        verb = "counts" if len(found.names) == 1 else "count"
        choice = f"{_summary(found.names)} {verb}; ignored: {_summary(ignored)}"
        found = replace(found, notes=(*found.notes, f"{folder}: {choice}"), choice=choice)
    return found


def incomplete_text(folder: Path, names: Iterable[str], files: Collection[str]) -> str:
    """A message about the shards of ``names`` that are not among ``files``, with what to do."""
    wanted = sorted(set(names))
    missing = [name for name in wanted if name not in files]
    text = (
        f"{folder}: {len(wanted) - len(missing)} of {len(wanted)} shards are there, "
        f"{_summary(missing)} missing"
    )
    return f"{text}: {download_text(folder)}"


def _in_order(
    folder: Path, files: Collection[str], variant: str, stale: list[str]
) -> WeightFiles | None:
    """The first weights of this variant in the order of transformers; None if there are none.

    Indexes that name no existing file are added to ``stale``.
    """
    for format in _FORMATS:
        if format.single(variant) in files:
            return _single(folder, format, variant)
        if (folder / format.index(variant)).is_file():
            found = _indexed(folder, files, format, variant, stale)
            if found is not None:
                return found
    for format in _FORMATS:
        shards = _complete_sets(files, format, variant)
        if len(shards) > 1:
            raise ConvertError(_unclear_text(folder, shards))
        if shards:
            note = f"{folder} has no index: {_summary(shards[0])} count"
            return WeightFiles(shards[0], format.parse, notes=(note,))
        if partial := _partial_set(files, format, variant):
            raise ConvertError(incomplete_text(folder, partial, files))
    return None


def _single(folder: Path, format: _Format, variant: str) -> WeightFiles:
    name, index = format.single(variant), format.index(variant)
    if not (folder / index).is_file():
        return WeightFiles((name,), format.parse)
    try:
        named = _read_index(folder, index)
    except ConvertError:
        named = {}
    if set(named.values()) == {name}:
        return WeightFiles((name,), format.parse, frozenset(named))
    return WeightFiles((name,), format.parse, ignored=(index,))


def _indexed(
    folder: Path, files: Collection[str], format: _Format, variant: str, stale: list[str]
) -> WeightFiles | None:
    index = format.index(variant)
    complete = _complete_sets(files, format, variant)
    try:
        weight_map = _read_index(folder, index)
    except ConvertError as error:
        if len(complete) != 1:
            raise
        note = f"{error}; {_summary(complete[0])} count without it"
        return WeightFiles(complete[0], format.parse, notes=(note,))
    named = set(weight_map.values())
    missing = sorted(named - set(files))
    if len(missing) == len(named):  # of a checkpoint that is no longer in this folder
        stale.append(index)
        if len(complete) > 1:
            raise ConvertError(_unclear_text(folder, complete))
        return WeightFiles(complete[0], format.parse) if complete else None
    others = [shards for shards in complete if named.isdisjoint(shards)]
    if missing and others:
        raise ConvertError(
            f"{incomplete_text(folder, named, files)}; or remove the others, if "
            f"{_summary(others[0])} are the model"
        )
    notes = []
    names = set(named)
    for shards in complete:
        if not names.isdisjoint(shards) and not names.issuperset(shards):
            notes.append(f"{folder}: {_summary(shards)} count, though {index} lacks some of them")
            names |= set(shards)
    return WeightFiles(
        tuple(sorted(names - set(missing))),
        format.parse,
        frozenset(weight_map),
        tuple(missing),
        tuple(notes),
    )


def _named_by_config(folder: Path, files: Collection[str]) -> WeightFiles | None:
    """The file that ``transformers_weights`` names; None if the config does not have that key."""
    try:
        config = decode_json((folder / "config.json").read_bytes(), _Config)
    except (OSError, *JSON_ERRORS):
        return None  # the reader of the config reports it
    name = config.transformers_weights
    if name is None:
        return None
    note = f"{folder}: {name} counts, as transformers_weights in config.json says"
    if name.endswith(".safetensors") and name in files:
        return WeightFiles((name,), parse_safetensors, notes=(note,))
    if name.endswith(".safetensors.index.json") and name in files:
        weight_map = _read_index(folder, name)
        named = set(weight_map.values())
        if not named:
            raise ConvertError(f"{folder / name}: it names no file")
        if not named <= set(files):
            raise ConvertError(incomplete_text(folder, named, files))
        return WeightFiles(
            tuple(sorted(named)), parse_safetensors, frozenset(weight_map), notes=(note,)
        )
    raise ConvertError(
        f"{folder / 'config.json'}: transformers_weights names {name!r}, which is no safetensors "
        "file in the folder"
    )


def _only_variant(folder: Path, files: Collection[str]) -> str | None:
    """The variant among ``files``; None if there is none."""
    matches = (pattern.fullmatch(name) for name in files for pattern in _VARIANTS)
    names = sorted({match["variant"] for match in matches if match and match["variant"]})
    if len(names) > 1:
        raise ConvertError(
            f"{folder} has the variants {', '.join(names)}, and no model without a variant: rename "
            "the files of the one that counts"
        )
    return names[0] if names else None


def _complete_sets(files: Collection[str], format: _Format, variant: str) -> list[tuple[str, ...]]:
    """Sets of numbered shards of which none is missing."""
    return [tuple(names) for names, total in _sets(files, format, variant) if len(names) == total]


def _partial_set(files: Collection[str], format: _Format, variant: str) -> list[str]:
    """All names of a set of which some shards are missing; empty if there is no such set."""
    for names, total in _sets(files, format, variant):
        match = _SHARD.fullmatch(names[0])
        assert match is not None
        begin, digits = names[0][: match.start("number")], len(match["number"])
        end = names[0][match.end("number") :]
        return [f"{begin}{number:0{digits}}{end}" for number in range(1, total + 1)]
    return []


def _sets(files: Collection[str], format: _Format, variant: str) -> Iterator[tuple[list[str], int]]:
    """Numbered shards that belong together, and how many there should be."""
    sets: dict[tuple[str, str], set[str]] = {}
    for name in files:
        match = _SHARD.fullmatch(name)
        if match is None or (match["suffix"], match["variant"] or "") != (format.suffix, variant):
            continue
        if 1 <= int(match["number"]) <= int(match["total"]) <= _MOST_SHARDS:
            sets.setdefault((match["stem"], match["total"]), set()).add(name)
    for (_, total), names in sorted(sets.items()):
        yield sorted(names), int(total)


def _read_index(folder: Path, name: str) -> dict[str, str]:
    try:
        index = decode_json((folder / name).read_bytes(), _Index)
    except (OSError, *JSON_ERRORS) as error:
        raise ConvertError(f"{folder / name}: {error}") from error
    weight_map = {tensor: shard.removeprefix("./") for tensor, shard in index.weight_map.items()}
    for shard in weight_map.values():
        if Path(shard).name != shard or "\0" in shard:
            raise ConvertError(f"{folder / name}: the shard {shard!r} is not in the folder")
    return weight_map


def _nothing_text(folder: Path, files: Collection[str]) -> str:
    text = f"{folder} has no {_SAFETENSORS.single('')}, no {_SAFETENSORS.index('')} and no "
    text += _TORCH.single("")
    if foreign := foreign_weights(files):
        return f"{text}: {foreign}"
    return f"{text}: {download_text(folder)}"


def _unclear_text(folder: Path, sets: list[tuple[str, ...]]) -> str:
    alternatives = " and ".join(_summary(names) for names in sets)
    return f"{folder} has {alternatives}, and no index says which count: remove the others"


def _summary(names: Iterable[str]) -> str:
    """Names on one line, with those of numbered shards as one pattern."""
    patterns: dict[str, list[str]] = {}
    for name in names:
        match = _SHARD.fullmatch(name)
        span = (0, 0) if match is None else match.span("number")
        pattern = name if match is None else f"{name[: span[0]]}*{name[span[1] :]}"
        patterns.setdefault(pattern, []).append(name)
    texts = [
        alike[0] if len(alike) == 1 else f"{pattern} ({len(alike)} files)"
        for pattern, alike in patterns.items()
    ]
    if len(texts) > _MOST_NAMES:
        texts = [*texts[: _MOST_NAMES - 1], f"{len(texts) - _MOST_NAMES + 1} more"]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
